# docker buildx bake NAME: the targets of the Dockerfile by name, with their lanes.
#
#   docker buildx bake             the files in dist/, and the image that serves them
#   docker buildx bake quick       the same from TVM's wheel and Debian's Emscripten
#   docker buildx bake fleet       the same of many checkpoints, which are built side by side
#   docker buildx bake library     what a fleet's checkpoints share, for machines with one cache
#   docker buildx bake archive     the image as a file, the same bytes whenever it is built
#   MODELS=sd15 DTYPE=f16 docker buildx bake

variable "MODELS" {
  default = "tiny-sd15,tiny-sdxl,tiny-sd35"
}
variable "DTYPE" {
  default = ""
}
variable "LAYOUT" {
  default = "hashed"
}
variable "TAG" {
  default = "wsd"
}
# source; or wheel and debian.
variable "TVM_FROM" {
  default = null
}
variable "EMSCRIPTEN_FROM" {
  default = null
}
# Processors of the image that serves, such as linux/amd64,linux/arm64; the builder's unless given.
variable "PLATFORMS" {
  default = null
}
# Where layers are kept between builds, and for other machines: a repository of a registry, such as
# registry.site/wsd-cache, or a folder outside this one. Each target has a tag or a folder there.
variable "CACHE_REGISTRY" {
  default = null
}
variable "CACHE_FOLDER" {
  default = null
}
function "read_cache" {
  params = [names]
  result = concat(
    CACHE_REGISTRY == null ? [] : [for name in names : "type=registry,ref=${CACHE_REGISTRY}:${name}"],
    CACHE_FOLDER == null ? [] : [for name in names : "type=local,src=${CACHE_FOLDER}/${name}"]
  )
}
# mode: max keeps the layers of every stage, min those of the result alone.
function "write_cache" {
  params = [name, mode]
  result = concat(
    CACHE_REGISTRY == null ? [] : ["type=registry,ref=${CACHE_REGISTRY}:${name},mode=${mode}"],
    CACHE_FOLDER == null ? [] : ["type=local,dest=${CACHE_FOLDER}/${name},mode=${mode}"]
  )
}
variable "ARCHIVE" {
  default = "wsd.tar"
}
# The time of Debian's snapshot stands for that of every file (docker/pins.toml).
variable "SOURCE_DATE_EPOCH" {
  default = "1795305600"
}
# Of the site: docs/appliance.md.
variable "BASE" {
  default = null
}
variable "DEBIAN_SNAPSHOT" {
  default = null
}

group "default" {
  targets = ["artifacts", "serve"]
}
group "quick" {
  targets = ["artifacts-quick", "serve-quick"]
}
group "fleet" {
  targets = ["library", "fleet-artifacts", "fleet-serve"]
}

target "_common" {
  args = {
    MODELS          = MODELS
    DTYPE           = DTYPE
    LAYOUT          = LAYOUT
    BASE            = BASE
    DEBIAN_SNAPSHOT = DEBIAN_SNAPSHOT
    TVM_FROM        = TVM_FROM
    EMSCRIPTEN_FROM = EMSCRIPTEN_FROM
  }
}
target "_quick" {
  args = {
    TVM_FROM        = "wheel"
    EMSCRIPTEN_FROM = "debian"
  }
}

target "artifacts" {
  inherits   = ["_common"]
  target     = "artifacts"
  output     = ["type=local,dest=dist"]
  cache-from = read_cache(["artifacts"])
  cache-to   = write_cache("artifacts", "max")
}
target "serve" {
  inherits   = ["_common"]
  target     = "serve"
  tags       = ["${TAG}:latest"]
  platforms  = PLATFORMS == null ? [] : split(",", PLATFORMS)
  cache-from = read_cache(["serve"])
  cache-to   = write_cache("serve", "max")
}
target "archive" {
  inherits = ["serve"]
  args = {
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH
  }
  attest = ["type=provenance,disabled=true"]
  output = ["type=oci,dest=${ARCHIVE},rewrite-timestamp=true"]
}
target "test" {
  inherits = ["_common"]
  target   = "test"
  tags     = ["${TAG}:test"]
}
target "artifacts-quick" {
  inherits = ["artifacts", "_quick"]
}
target "serve-quick" {
  inherits = ["serve", "_quick"]
}
target "test-quick" {
  inherits = ["test", "_quick"]
}

# ---------------------------------------------------------------- a fleet
# Each entry of MODELS in each precision of DTYPE is a build of its own. BuildKit runs them side by
# side, and runs only once what they share: the toolchain, and the library of a family in a precision.
# A bake runs on one machine. Several machines share the work through a cache: one builds "library",
# then each builds some of the members, then one builds "fleet" (docs/appliance.md).

variable "DTYPES" {
  default = split(",", DTYPE == "" ? "f32" : DTYPE)
}
variable "FAMILIES" {
  default = distinct([
    for entry in split(",", MODELS) : regex("^(?:[a-z0-9-]+:)?([a-z0-9-]+)", entry)[0]
  ])
}
variable "LIBRARIES" {
  default = flatten([for family in FAMILIES : [for dtype in DTYPES : "library-${family}-${dtype}"]])
}
variable "MEMBERS" {
  default = flatten([for entry in split(",", MODELS) : [
    for dtype in DTYPES : "${regex("^[a-z0-9-]+", entry)}-${dtype}"
  ]])
}
target "library" {
  inherits = ["_common"]
  name     = "library-${family}-${dtype}"
  matrix = {
    family = FAMILIES
    dtype  = DTYPES
  }
  target = "library"
  args = {
    FAMILY = family
    DTYPE  = dtype
  }
  output     = ["type=cacheonly"]
  cache-from = read_cache(["library-${family}-${dtype}"])
  cache-to   = write_cache("library-${family}-${dtype}", "max")
}
target "toolchain" {
  inherits   = ["_common"]
  target     = "toolchain"
  output     = ["type=cacheonly"]
  cache-from = read_cache(LIBRARIES)
}
target "member" {
  inherits = ["_common"]
  name     = "member-${regex("^[a-z0-9-]+", entry)}-${dtype}"
  matrix = {
    entry = split(",", MODELS)
    dtype = DTYPES
  }
  target = "artifacts"
  args = {
    MODELS      = entry
    DTYPE       = dtype
    LAYOUT      = "hashed"
    FAMILY      = regex("^(?:[a-z0-9-]+:)?([a-z0-9-]+)", entry)[0]
    MODELS_FROM = "library"
  }
  output = ["type=cacheonly"]
  cache-from = read_cache([
    "library-${regex("^(?:[a-z0-9-]+:)?([a-z0-9-]+)", entry)[0]}-${dtype}",
    "member-${regex("^[a-z0-9-]+", entry)}-${dtype}"
  ])
  # The bundle alone: what was before it is in the cache of its library.
  cache-to = write_cache("member-${regex("^[a-z0-9-]+", entry)}-${dtype}", "min")
}
# What `wsd join` makes of them: in place of the stage of this name.
target "joined" {
  inherits = ["_common"]
  contexts = merge({ toolchain = "target:toolchain" }, {
    for name in MEMBERS : "bundle-${name}" => "target:member-${name}"
  })
  dockerfile-inline = <<-DOCKERFILE
    FROM toolchain AS joining
    %{for name in MEMBERS}
    COPY --from=bundle-${name} / /bundles/${name}/
    %{endfor}
    RUN wsd join /bundles/* --layout ${LAYOUT} --out /bundle && wsd verify /bundle
    FROM scratch
    COPY --from=joining /bundle/ /
  DOCKERFILE
  output = ["type=cacheonly"]
}
target "fleet-artifacts" {
  inherits = ["joined"]
  output   = ["type=local,dest=dist"]
}
target "fleet-serve" {
  inherits   = ["serve"]
  contexts   = { artifacts = "target:joined" }
  cache-from = read_cache(concat(["fleet-serve"], LIBRARIES))
  cache-to   = write_cache("fleet-serve", "min")
}

# docker buildx bake NAME: the targets of the Dockerfile by name, with their lanes.
#
#   docker buildx bake             the files in dist/, and the image that serves them
#   docker buildx bake quick       the same from TVM's wheel and Debian's Emscripten
#   docker buildx bake fleet       the same of many checkpoints, which are built side by side
#   docker buildx bake archive     the image as a file, the same bytes whenever it is built
#   MODELS=sd15 DTYPE=f16 docker buildx bake

variable "MODELS" {
  default = "tiny-sd15,tiny-sdxl"
}
variable "DTYPE" {
  default = ""
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
# Where layers are kept between builds, such as type=registry,ref=registry.site/wsd-cache.
variable "CACHE" {
  default = null
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
  targets = ["fleet-artifacts", "fleet-serve"]
}

target "_common" {
  args = {
    MODELS          = MODELS
    DTYPE           = DTYPE
    BASE            = BASE
    DEBIAN_SNAPSHOT = DEBIAN_SNAPSHOT
    TVM_FROM        = TVM_FROM
    EMSCRIPTEN_FROM = EMSCRIPTEN_FROM
  }
  cache-from = CACHE == null ? [] : [CACHE]
  cache-to   = CACHE == null ? [] : ["${CACHE},mode=max"]
}
target "_quick" {
  args = {
    TVM_FROM        = "wheel"
    EMSCRIPTEN_FROM = "debian"
  }
}

target "artifacts" {
  inherits = ["_common"]
  target   = "artifacts"
  output   = ["type=local,dest=dist"]
}
target "serve" {
  inherits  = ["_common"]
  target    = "serve"
  tags      = ["${TAG}:latest"]
  platforms = PLATFORMS == null ? [] : split(",", PLATFORMS)
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

variable "MEMBERS" {
  default = flatten([for entry in split(",", MODELS) : [
    for dtype in split(",", DTYPE == "" ? "f32" : DTYPE) :
    "${regex("^[a-z0-9-]+", entry)}-${dtype}"
  ]])
}
target "toolchain" {
  inherits = ["_common"]
  target   = "toolchain"
  output   = ["type=cacheonly"]
}
target "member" {
  inherits = ["_common"]
  name     = "member-${regex("^[a-z0-9-]+", entry)}-${dtype}"
  matrix = {
    entry = split(",", MODELS)
    dtype = split(",", DTYPE == "" ? "f32" : DTYPE)
  }
  target = "artifacts"
  args = {
    MODELS      = entry
    DTYPE       = dtype
    FAMILY      = regex("^(?:[a-z0-9-]+:)?([a-z0-9-]+)", entry)[0]
    MODELS_FROM = "library"
  }
  output = ["type=cacheonly"]
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
    RUN wsd join /bundles/* --out /bundle && wsd verify /bundle
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
  inherits = ["serve"]
  contexts = { artifacts = "target:joined" }
}

# docker buildx bake NAME: the targets of the Dockerfile by name, with their lanes.
#
#   docker buildx bake             the files in dist/, and the image that serves them
#   docker buildx bake quick       the same from TVM's wheel and Debian's Emscripten
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
# The commit of WSD's sources, for the provenance: WSD_COMMIT=$(git rev-parse HEAD).
variable "WSD_COMMIT" {
  default = null
}
# Of the site: docs/appliance.md.
variable "SECURITY_CONTACT" {
  default = null
}
variable "SECURITY_EXPIRES" {
  default = null
}
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

target "_common" {
  args = {
    MODELS          = MODELS
    DTYPE           = DTYPE
    BASE            = BASE
    DEBIAN_SNAPSHOT = DEBIAN_SNAPSHOT
    WSD_COMMIT      = WSD_COMMIT
  }
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
  inherits = ["_common"]
  target   = "serve"
  args = {
    SECURITY_CONTACT = SECURITY_CONTACT
    SECURITY_EXPIRES = SECURITY_EXPIRES
  }
  tags     = ["${TAG}:latest"]
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

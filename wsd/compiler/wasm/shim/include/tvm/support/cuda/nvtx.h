// Profiler ranges do nothing in WebAssembly (see README.md in this shim).
#pragma once

#include <string>

namespace tvm {
namespace support {

struct NVTXScopedRange {
  explicit NVTXScopedRange(const std::string&) {}
};

}  // namespace support
}  // namespace tvm

#define TVM_NVTX_FUNC_SCOPE()

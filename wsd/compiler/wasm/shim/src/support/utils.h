// String helpers of the tensor cache (see README.md in this shim).
#pragma once

#include <tvm/ffi/string.h>

#include <string>

namespace tvm {
namespace support {

inline bool StartsWith(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

}  // namespace support
}  // namespace tvm

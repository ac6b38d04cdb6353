// Base64 streams of tensor.cc's JSON debug form, which the browser never uses:
// both ends refuse (see README.md in this shim).
#pragma once

#include <tvm/ffi/error.h>
#include <tvm/support/io.h>

#include <string>

namespace tvm {
namespace support {

class Base64Refused : public Stream {
 public:
  using Stream::Read;
  using Stream::Write;
  explicit Base64Refused(Stream*) {}
  size_t Read(void*, size_t) override { return Refuse(); }
  size_t Write(const void*, size_t) override { return Refuse(); }
  void InitPosition() {}
  void Finish() {}

 private:
  static size_t Refuse() {
    TVM_FFI_THROW(InternalError) << "base64 tensors are left out of WSD's runtime";
    return 0;
  }
};

using Base64InStream = Base64Refused;
using Base64OutStream = Base64Refused;

}  // namespace support
}  // namespace tvm

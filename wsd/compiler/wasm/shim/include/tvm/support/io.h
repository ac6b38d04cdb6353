// Byte stream interface and the Serializer hook (see README.md in this shim).
#pragma once

#include <cstddef>
#include <cstdint>

namespace tvm {
namespace support {

template <typename T, typename = void>
struct Serializer {
  static constexpr bool enabled = false;
};

class Stream {
 public:
  virtual ~Stream() = default;
  // Both return the number of bytes moved.
  virtual size_t Read(void* ptr, size_t size) = 0;
  virtual size_t Write(const void* ptr, size_t size) = 0;

  template <typename T>
  void Write(const T& value) {
    static_assert(Serializer<T>::enabled, "type has no Serializer");
    Serializer<T>::Write(this, value);
  }
  template <typename T>
  bool Read(T* value) {
    static_assert(Serializer<T>::enabled, "type has no Serializer");
    return Serializer<T>::Read(this, value);
  }
  template <typename T>
  void WriteArray(const T* values, size_t count) {
    for (const T* end = values + count; values != end; ++values) Write<T>(*values);
  }
  template <typename T>
  bool ReadArray(T* values, size_t count) {
    for (T* end = values + count; values != end; ++values) {
      if (!Read<T>(values)) return false;
    }
    return true;
  }
};

}  // namespace support
}  // namespace tvm

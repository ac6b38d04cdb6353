// Little-endian serialisers: scalars as they lie in memory, every container as
// a uint64 count followed by its elements (see README.md in this shim).
// WebAssembly is little-endian by definition, so no byte order is swapped.
#pragma once

#include <dlpack/dlpack.h>
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/map.h>
#include <tvm/ffi/string.h>
#include <tvm/support/io.h>

#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tvm {
namespace support {

template <typename T>
struct Serializer<T, std::enable_if_t<std::is_arithmetic_v<T> || std::is_enum_v<T>>> {
  static constexpr bool enabled = true;
  static void Write(Stream* out, const T& value) { out->Write(&value, sizeof(T)); }
  static bool Read(Stream* in, T* value) { return in->Read(value, sizeof(T)) == sizeof(T); }
};

namespace shim {

template <typename Text>
struct TextSerializer {
  static constexpr bool enabled = true;
  static void Write(Stream* out, const Text& text) {
    out->Write<uint64_t>(text.size());
    if (text.size() != 0) out->Write(text.data(), text.size());
  }
  static bool Read(Stream* in, Text* text) {
    uint64_t count = 0;
    if (!in->Read(&count)) return false;
    std::string bytes(static_cast<size_t>(count), '\0');
    if (count != 0 && in->Read(&bytes[0], bytes.size()) != bytes.size()) return false;
    *text = Text(std::move(bytes));
    return true;
  }
};

// Reads a count, then hands `count` elements to `take`.
template <typename Element, typename Take>
bool ReadElements(Stream* in, Take take) {
  uint64_t count = 0;
  if (!in->Read(&count)) return false;
  for (uint64_t i = 0; i < count; ++i) {
    Element element{};
    if (!in->Read(&element)) return false;
    take(std::move(element));
  }
  return true;
}

}  // namespace shim

template <>
struct Serializer<std::string> : shim::TextSerializer<std::string> {};
template <>
struct Serializer<ffi::String> : shim::TextSerializer<ffi::String> {};
template <>
struct Serializer<ffi::Bytes> : shim::TextSerializer<ffi::Bytes> {};

template <typename A, typename B>
struct Serializer<std::pair<A, B>> {
  static constexpr bool enabled = true;
  static void Write(Stream* out, const std::pair<A, B>& pair) {
    out->Write<A>(pair.first);
    out->Write<B>(pair.second);
  }
  static bool Read(Stream* in, std::pair<A, B>* pair) {
    return in->Read(&pair->first) && in->Read(&pair->second);
  }
};

template <typename T>
struct Serializer<std::vector<T>> {
  static constexpr bool enabled = true;
  static void Write(Stream* out, const std::vector<T>& items) {
    out->Write<uint64_t>(items.size());
    for (const T& item : items) out->Write<T>(item);
  }
  static bool Read(Stream* in, std::vector<T>* items) {
    items->clear();
    return shim::ReadElements<T>(in, [&](T item) { items->push_back(std::move(item)); });
  }
};

template <typename T>
struct Serializer<ffi::Array<T>> {
  static constexpr bool enabled = true;
  static void Write(Stream* out, const ffi::Array<T>& items) {
    out->Write<uint64_t>(items.size());
    for (const T& item : items) out->Write<T>(item);
  }
  static bool Read(Stream* in, ffi::Array<T>* items) {
    std::vector<T> read;
    if (!in->Read(&read)) return false;
    *items = ffi::Array<T>(read.begin(), read.end());
    return true;
  }
};

template <typename K, typename V>
struct Serializer<std::unordered_map<K, V>> {
  static constexpr bool enabled = true;
  static void Write(Stream* out, const std::unordered_map<K, V>& map) {
    out->Write<uint64_t>(map.size());
    for (const auto& entry : map) out->Write(std::pair<K, V>(entry));
  }
  static bool Read(Stream* in, std::unordered_map<K, V>* map) {
    map->clear();
    using Entry = std::pair<K, V>;
    return shim::ReadElements<Entry>(in, [&](Entry entry) { map->insert(std::move(entry)); });
  }
};

template <typename K, typename V>
struct Serializer<ffi::Map<K, V>> {
  static constexpr bool enabled = true;
  static void Write(Stream* out, const ffi::Map<K, V>& map) {
    out->Write<uint64_t>(map.size());
    for (const auto& entry : map) {
      out->Write<K>(entry.first);
      out->Write<V>(entry.second);
    }
  }
  static bool Read(Stream* in, ffi::Map<K, V>* map) {
    uint64_t count = 0;
    if (!in->Read(&count)) return false;
    *map = ffi::Map<K, V>();
    for (uint64_t i = 0; i < count; ++i) {
      K key;
      V value;
      if (!in->Read(&key) || !in->Read(&value)) return false;
      map->Set(std::move(key), std::move(value));
    }
    return true;
  }
};

template <>
struct Serializer<DLDataType> {
  static constexpr bool enabled = true;
  static void Write(Stream* out, const DLDataType& dtype) {
    out->Write<uint8_t>(dtype.code);
    out->Write<uint8_t>(dtype.bits);
    out->Write<uint16_t>(dtype.lanes);
  }
  static bool Read(Stream* in, DLDataType* dtype) {
    return in->Read(&dtype->code) && in->Read(&dtype->bits) && in->Read(&dtype->lanes);
  }
};

template <>
struct Serializer<DLDevice> {
  static constexpr bool enabled = true;
  static void Write(Stream* out, const DLDevice& device) {
    out->Write<int32_t>(static_cast<int32_t>(device.device_type));
    out->Write<int32_t>(device.device_id);
  }
  static bool Read(Stream* in, DLDevice* device) {
    int32_t type = 0;
    if (!in->Read(&type) || !in->Read(&device->device_id)) return false;
    device->device_type = static_cast<DLDeviceType>(type);
    return true;
  }
};

}  // namespace support
}  // namespace tvm

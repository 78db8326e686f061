// SPDX-License-Identifier: Apache-2.0
// Bytes in and out of table rows: integers little-endian in values, big-endian in keys (so that order is meaning),
// strings with a varint length (LEB128, the shortest form only). A reader never reads past its end; every failure is
// `corrupt` and consumes nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libbase/digest.h"
#include "libbase/id.h"
#include "libbase/result.h"

namespace cairn::base {

class ByteWriter {
 public:
  ByteWriter& u8(std::uint8_t value);
  ByteWriter& u32(std::uint32_t value);      // little-endian
  ByteWriter& u64(std::uint64_t value);      // little-endian
  ByteWriter& i64(std::int64_t value) { return u64(static_cast<std::uint64_t>(value)); }
  ByteWriter& u32_key(std::uint32_t value);  // big-endian
  ByteWriter& u64_key(std::uint64_t value);  // big-endian
  ByteWriter& varint(std::uint64_t value);
  ByteWriter& raw(std::string_view bytes);
  ByteWriter& string(std::string_view bytes);  // varint length, then the bytes
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}
  Result<std::uint8_t> u8();
  Result<std::uint32_t> u32();
  Result<std::uint64_t> u64();
  Result<std::int64_t> i64();
  Result<std::uint32_t> u32_key();
  Result<std::uint64_t> u64_key();
  Result<std::uint64_t> varint();
  Result<std::string_view> raw(std::size_t size);
  Result<std::string_view> string();
  bool at_end() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  Status expect_end() const;  // corrupt if bytes are left

 private:
  std::string_view rest_;
};

// How a type is a key or a value of a table. A specialisation has
//   static std::string encode(const T&);   static Result<T> decode(std::string_view);
// Values begin with a version byte.
template <class T>
struct Codec;

template <>
struct Codec<std::string> {
  static std::string encode(const std::string& value) { return value; }
  static Result<std::string> decode(std::string_view bytes) { return std::string(bytes); }
};
template <class Meaning>
struct Codec<Id<Meaning>> {  // a key: big-endian
  static std::string encode(Id<Meaning> id) { return ByteWriter().u64_key(id.value()).take(); }
  static Result<Id<Meaning>> decode(std::string_view bytes) {
    ByteReader reader(bytes);
    auto value = TRY(reader.u64_key());
    TRY(reader.expect_end());
    return Id<Meaning>(value);
  }
};
template <class Meaning>
struct Codec<Digest<Meaning>> {
  static std::string encode(const Digest<Meaning>& digest) { return std::string(digest.raw()); }
  static Result<Digest<Meaning>> decode(std::string_view bytes) { return Digest<Meaning>::from_raw(bytes); }
};

}  // namespace cairn::base

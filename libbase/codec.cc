// SPDX-License-Identifier: Apache-2.0
// Integers as bytes. A varint is LEB128 in its shortest form; a longer form of the same number is corrupt, so that
// equal values have equal bytes.
#include "libbase/codec.h"

namespace cairn::base {

namespace {

template <class Integer>
void put_little(std::string& out, Integer value) {
  char bytes[sizeof value];
  for (std::size_t i = 0; i < sizeof value; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  out.append(bytes, sizeof value);
}

template <class Integer>
void put_big(std::string& out, Integer value) {
  char bytes[sizeof value];
  for (std::size_t i = 0; i < sizeof value; ++i) bytes[i] = static_cast<char>(value >> (8 * (sizeof value - 1 - i)));
  out.append(bytes, sizeof value);
}

template <class Integer>
Integer get_little(std::string_view bytes) {
  Integer value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    value |= static_cast<Integer>(static_cast<Integer>(static_cast<std::uint8_t>(bytes[i])) << (8 * i));
  }
  return value;
}

template <class Integer>
Integer get_big(std::string_view bytes) {
  Integer value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    value = static_cast<Integer>(value << 8 | static_cast<std::uint8_t>(bytes[i]));
  }
  return value;
}

}  // namespace

ByteWriter& ByteWriter::u8(std::uint8_t value) {
  out_ += static_cast<char>(value);
  return *this;
}
ByteWriter& ByteWriter::u32(std::uint32_t value) {
  put_little(out_, value);
  return *this;
}
ByteWriter& ByteWriter::u64(std::uint64_t value) {
  put_little(out_, value);
  return *this;
}
ByteWriter& ByteWriter::u32_key(std::uint32_t value) {
  put_big(out_, value);
  return *this;
}
ByteWriter& ByteWriter::u64_key(std::uint64_t value) {
  put_big(out_, value);
  return *this;
}
ByteWriter& ByteWriter::varint(std::uint64_t value) {
  while (value >= 0x80) {
    out_ += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out_ += static_cast<char>(value);
  return *this;
}
ByteWriter& ByteWriter::raw(std::string_view bytes) {
  out_ += bytes;
  return *this;
}
ByteWriter& ByteWriter::string(std::string_view bytes) { return varint(bytes.size()).raw(bytes); }

Result<std::string_view> ByteReader::raw(std::size_t size) {
  if (size > rest_.size()) return fail(ErrorCode::corrupt, "{} bytes wanted, {} left", size, rest_.size());
  const std::string_view bytes = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return bytes;
}

Result<std::uint8_t> ByteReader::u8() { return static_cast<std::uint8_t>(TRY(raw(1)).front()); }
Result<std::uint32_t> ByteReader::u32() { return get_little<std::uint32_t>(TRY(raw(4))); }
Result<std::uint64_t> ByteReader::u64() { return get_little<std::uint64_t>(TRY(raw(8))); }
Result<std::int64_t> ByteReader::i64() { return static_cast<std::int64_t>(TRY(u64())); }
Result<std::uint32_t> ByteReader::u32_key() { return get_big<std::uint32_t>(TRY(raw(4))); }
Result<std::uint64_t> ByteReader::u64_key() { return get_big<std::uint64_t>(TRY(raw(8))); }

Result<std::uint64_t> ByteReader::varint() {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < rest_.size() && i < 10; ++i) {
    const auto byte = static_cast<std::uint8_t>(rest_[i]);
    if (i == 9 && byte > 1) return fail(ErrorCode::corrupt, "varint above 64 bits");
    value |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
    if (byte & 0x80) continue;
    if (byte == 0 && i > 0) return fail(ErrorCode::corrupt, "varint not in its shortest form");
    rest_.remove_prefix(i + 1);
    return value;
  }
  return fail(ErrorCode::corrupt, "varint without an end");
}

Result<std::string_view> ByteReader::string() {
  const std::string_view before = rest_;
  const std::uint64_t size = TRY(varint());
  if (size > rest_.size()) {
    const std::size_t left = rest_.size();
    rest_ = before;  // A reader that failed has consumed nothing.
    return fail(ErrorCode::corrupt, "string of {} bytes, {} left", size, left);
  }
  return raw(static_cast<std::size_t>(size));
}

Status ByteReader::expect_end() const {
  if (!rest_.empty()) return fail(ErrorCode::corrupt, "{} bytes left at the end", rest_.size());
  return {};
}

}  // namespace cairn::base

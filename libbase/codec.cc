// SPDX-License-Identifier: Apache-2.0
#include "libbase/codec.h"

namespace cairn::base {
namespace {

template <class T>
void put_little(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i));
}
template <class T>
void put_big(std::string& out, T value) {
  for (std::size_t i = sizeof value; i-- > 0;) out += static_cast<char>(value >> (8 * i));
}
template <class T>
T get_little(std::string_view bytes) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) value |= static_cast<T>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return value;
}
template <class T>
T get_big(std::string_view bytes) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) value = static_cast<T>(value << 8) | static_cast<unsigned char>(bytes[i]);
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
  if (size > rest_.size()) return fail(ErrorCode::corrupt, "truncated: {} bytes wanted, {} left", size, rest_.size());
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
  for (int shift = 0; shift < 64; shift += 7) {
    const std::uint64_t byte = TRY(u8());
    if (shift == 63 && byte > 1) return fail(ErrorCode::corrupt, "varint of more than 64 bits");
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return fail(ErrorCode::corrupt, "varint without an end");
}
Result<std::string_view> ByteReader::string() {
  const std::uint64_t size = TRY(varint());
  if (size > rest_.size()) return fail(ErrorCode::corrupt, "truncated: {} bytes wanted, {} left", size, rest_.size());
  return raw(static_cast<std::size_t>(size));
}
Status ByteReader::expect_end() const {
  if (!rest_.empty()) return fail(ErrorCode::corrupt, "{} bytes too many", rest_.size());
  return {};
}

}  // namespace cairn::base

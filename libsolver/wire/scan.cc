// SPDX-License-Identifier: Apache-2.0
#include "libsolver/wire/scan.h"

#include <cstring>
#include <vector>

namespace cairn::solver::wire {
namespace {

using base::ErrorCode;
using base::fail;

constexpr std::uint64_t number_max = (1u << 29) - 1;
// Groups are obsolete and appear only as unknown fields; this is protobuf-go's own bound.
constexpr std::size_t group_depth_max = 10'000;

}  // namespace

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

base::Result<std::uint64_t> Scanner::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (at_ == bytes_.size()) return fail(ErrorCode::invalid_argument, "cut off in a varint at byte {}", at_);
    const auto byte = static_cast<std::uint8_t>(bytes_[at_++]);
    if (shift == 63 && byte > 1) return fail(ErrorCode::invalid_argument, "varint over 64 bits at byte {}", at_ - 1);
    value |= std::uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  return fail(ErrorCode::invalid_argument, "varint over 64 bits at byte {}", at_);
}

base::Result<Scanner::Tag> Scanner::tag() {
  const std::size_t start = at_;
  const std::uint64_t tag = TRY(varint());
  const std::uint64_t number = tag >> 3;
  if (number == 0 || number > number_max) {
    return fail(ErrorCode::invalid_argument, "field number {} at byte {} is out of range", number, start);
  }
  if ((tag & 7) > 5) return fail(ErrorCode::invalid_argument, "wire type {} at byte {} does not exist", tag & 7, start);
  return Tag{static_cast<std::uint32_t>(number), static_cast<WireType>(tag & 7)};
}

base::Result<std::string_view> Scanner::take(std::uint64_t size) {
  if (size > bytes_.size() - at_) {
    return fail(ErrorCode::invalid_argument, "length {} at byte {} is beyond the end, {} bytes are left", size, at_,
                bytes_.size() - at_);
  }
  const auto taken = bytes_.substr(at_, size);
  at_ += size;
  return taken;
}

base::Result<std::string_view> Scanner::prefixed() {
  const std::uint64_t size = TRY(varint());
  return take(size);
}

base::Status Scanner::skip_group(std::uint32_t number) {
  std::vector<std::uint32_t> open{number};
  while (!open.empty()) {
    const Tag inner = TRY(tag());
    switch (inner.type) {
      case WireType::varint: TRY(varint()); break;
      case WireType::fixed64: TRY(take(8)); break;
      case WireType::fixed32: TRY(take(4)); break;
      case WireType::bytes: TRY(prefixed()); break;
      case WireType::group:
        if (open.size() == group_depth_max) return fail(ErrorCode::invalid_argument, "groups nest too deep");
        open.push_back(inner.number);
        break;
      case WireType::group_end:
        if (open.back() != inner.number) {
          return fail(ErrorCode::invalid_argument, "group {} is closed as {} before byte {}", open.back(), inner.number, at_);
        }
        open.pop_back();
        break;
    }
  }
  return {};
}

base::Result<RawField> Scanner::next() {
  const std::size_t start = at_;
  const Tag head = TRY(tag());
  RawField field{head.number, head.type, 0, {}, {}};
  switch (head.type) {
    case WireType::varint: field.value = TRY(varint()); break;
    case WireType::fixed64: TRY(take(8)); break;
    case WireType::fixed32: TRY(take(4)); break;
    case WireType::bytes: field.payload = TRY(prefixed()); break;
    case WireType::group: TRY(skip_group(head.number)); break;
    case WireType::group_end:
      return fail(ErrorCode::invalid_argument, "end of a group that was not opened at byte {}", start);
  }
  field.whole = bytes_.substr(start, at_ - start);
  return field;
}

std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<std::uint8_t>(text[i]) : 0u; };
  const auto follows = [&](std::size_t i) { return (at(i) & 0xc0u) == 0x80u; };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if ((first == 0xe0 && at(1) < 0xa0) || (first == 0xed && at(1) > 0x9f)) return 0;
    return follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if ((first == 0xf0 && at(1) < 0x90) || (first == 0xf4 && at(1) > 0x8f)) return 0;
    return follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

bool is_utf8(std::string_view text) {
  constexpr std::uint64_t high_bits = 0x8080808080808080;
  while (!text.empty()) {
    for (std::uint64_t eight = 0; text.size() >= sizeof(eight); text.remove_prefix(sizeof(eight))) {  // mostly it is ASCII
      std::memcpy(&eight, text.data(), sizeof(eight));
      if ((eight & high_bits) != 0) break;
    }
    if (text.empty()) break;
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace cairn::solver::wire

// SPDX-License-Identifier: Apache-2.0
// The lowest layer of the wire format: varints, tags, and the cut of a message into its fields, without knowing what
// they mean.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::solver::wire {

enum class WireType : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, group = 3, group_end = 4, fixed32 = 5 };

void append_varint(std::string& out, std::uint64_t value);

// One field as it stands in a message. The views live as long as the scanned bytes.
struct RawField {
  std::uint32_t number = 0;
  WireType type = WireType::varint;
  std::uint64_t value = 0;   // of a varint
  std::string_view payload;  // of type bytes
  std::string_view whole;    // tag and value
};

// Errors of all of it: invalid_argument with the offset: cut off, overlong varint, number 0 or above 2^29-1, wire type
// 6 or 7, a group that is not closed.
class Scanner {
 public:
  explicit Scanner(std::string_view bytes) : bytes_(bytes) {}
  bool at_end() const { return at_ == bytes_.size(); }
  base::Result<RawField> next();
  base::Result<std::uint64_t> varint();

 private:
  struct Tag {
    std::uint32_t number;
    WireType type;
  };
  base::Result<Tag> tag();
  base::Result<std::string_view> take(std::uint64_t size);
  base::Result<std::string_view> prefixed();
  base::Status skip_group(std::uint32_t number);

  std::string_view bytes_;
  std::size_t at_ = 0;
};

// What a proto3 string must be: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);
// The length of the UTF-8 sequence that text (not empty) begins with; 0 if it is none.
std::size_t utf8_length(std::string_view text);

}  // namespace cairn::solver::wire

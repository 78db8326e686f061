// SPDX-License-Identifier: Apache-2.0
#include "libserve/reapi/fields.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;

// Unlike those of rows, these may be longer than they need.
Result<std::uint64_t> FieldReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (rest_.empty()) break;
    const auto byte = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    if (shift == 63 && byte > 1) break;
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return base::fail(ErrorCode::corrupt, "a message with a number that does not end");
}

Result<std::string_view> FieldReader::take(std::uint64_t size) {
  if (size > rest_.size()) return base::fail(ErrorCode::corrupt, "a message that ends within a field");
  const std::string_view bytes = rest_.substr(0, static_cast<std::size_t>(size));
  rest_.remove_prefix(bytes.size());
  return bytes;
}

Result<std::optional<Field>> FieldReader::next() {
  if (rest_.empty()) return std::optional<Field>();
  const std::uint64_t tag = TRY(varint());
  Field field;
  if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return base::fail(ErrorCode::corrupt, "a message with field {}", tag >> 3);
  field.number = static_cast<std::uint32_t>(tag >> 3);
  field.wire = static_cast<Field::Wire>(tag & 7);
  switch (field.wire) {
    case Field::Wire::varint: field.value = TRY(varint()); break;
    case Field::Wire::fixed64: field.bytes = TRY(take(8)); break;
    case Field::Wire::bytes: field.bytes = TRY(take(TRY(varint()))); break;
    case Field::Wire::fixed32: field.bytes = TRY(take(4)); break;
    default: return base::fail(ErrorCode::corrupt, "a message with a field of kind {}", tag & 7);
  }
  return std::optional<Field>(field);
}

}  // namespace cairn::serve

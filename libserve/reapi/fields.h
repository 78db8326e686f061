// SPDX-License-Identifier: Apache-2.0
// The fields of a protobuf message, one after the other, out of hostile bytes. Nothing is allocated.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "libbase/codec.h"
#include "libbase/result.h"

namespace cairn::serve {

struct Field {
  std::uint32_t number = 0;
  enum class Wire : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 } wire = Wire::varint;
  std::uint64_t value = 0;   // of a varint
  std::string_view bytes{};  // of bytes, a string or a message
};

class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : rest_(message) {}
  // nullopt: the end. Errors: corrupt (cut off, a group, a field without a number).
  base::Result<std::optional<Field>> next();

 private:
  base::Result<std::uint64_t> varint();
  base::Result<std::string_view> take(std::uint64_t size);
  std::string_view rest_;
};

}  // namespace cairn::serve

// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/raw.h"

#include "libbase/codec.h"
#include "libserve/grpc/resource_name.h"
#include "libserve/reapi/fields.h"

namespace cairn::serve {

// hash 1, size_bytes 2.
base::Result<SizedDigest> from_message(std::string_view digest) {
  FieldReader reader(digest);
  std::string_view hash;
  std::int64_t size = 0;
  while (const auto field = TRY(reader.next())) {
    if (field->number == 1 && field->wire == Field::Wire::bytes) hash = field->bytes;
    if (field->number == 2 && field->wire == Field::Wire::varint) size = static_cast<std::int64_t>(field->value);
  }
  return parse_digest(hash, size);
}

void add_message_field(std::string& into, std::uint32_t number, std::string_view message) {
  into += base::ByteWriter().varint(std::uint64_t{number} << 3 | 2).string(message).take();
}

}  // namespace cairn::serve

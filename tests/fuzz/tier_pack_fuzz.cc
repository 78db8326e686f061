// SPDX-License-Identifier: Apache-2.0
// Any bytes as the index of a pack in a bucket, as an entry that lies in one, and as the name of one: what is taken is
// what was encoded. The first byte says which.
#include <cstddef>
#include <cstdint>
#include <string>

#include "libremote/s3/pack_format.h"

namespace {

using cairn::base::ErrorCode;

void as_index(const std::string& bytes) {
  using namespace cairn;
  const auto items = remote::decode_pack_index(bytes);
  if (!items) {
    CHECK(items.error().code == ErrorCode::corrupt);
    return;
  }
  CHECK(remote::encode_pack_index(*items) == bytes, "another encoding of one index");
  std::uint64_t end = bytes.size();
  for (const remote::PackItem& item : *items)
    if (item.kind != remote::PackItem::Kind::loose) end += item.size;
  CHECK(end <= std::max<std::uint64_t>(remote::pack_bytes_max, bytes.size()), "a pack of {} bytes", end);
}

void as_entry(const std::string& bytes) {
  using namespace cairn;
  const auto entry = remote::decode_placed_entry(bytes);
  if (!entry) {
    CHECK(entry.error().code == ErrorCode::corrupt);
    return;
  }
  CHECK(remote::encode_placed_entry(*entry) == bytes, "another encoding of one entry");
  for (const auto& place : entry->places) CHECK(place.pack < entry->packs.size() + 2, "a pack that it does not name");
}

void as_name(const std::string& bytes) {
  const auto name = cairn::remote::PackName::parse(bytes);
  if (name) CHECK(name->str() == bytes, "another name of one pack");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'i') as_index(bytes);
  if (data[0] == 'e') as_entry(bytes);
  if (data[0] == 'n') as_name(bytes);
  return 0;
}

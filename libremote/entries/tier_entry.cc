// SPDX-License-Identifier: Apache-2.0
#include "libremote/entries/tier_entry.h"

#include "libbase/codec.h"
#include "libbase/hash/sha256.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using cache::TierEntry;

constexpr std::string_view magic = "cairn-entry";
constexpr std::uint8_t version = 1;
constexpr std::size_t checksum_bytes = sizeof(base::Sha256Bytes);
constexpr std::size_t blob_bytes_min = sizeof(base::Sha256Bytes) + 1;  // of one in the closure
enum Closure : std::uint8_t { unknown = 0, known = 1 };

Result<std::vector<cache::SizedBlob>> read_closure(base::ByteReader& reader) {
  const std::uint64_t count = TRY(reader.varint());
  // Before anything is reserved for it.
  if (count > reader.rest().size() / blob_bytes_min) return fail(ErrorCode::corrupt, "a closure of {} blobs", count);
  std::vector<cache::SizedBlob> closure(static_cast<std::size_t>(count));
  for (cache::SizedBlob& blob : closure) {
    blob.digest = TRY(BlobDigest::from_raw(TRY(reader.raw(sizeof(base::Sha256Bytes)))));
    blob.size = TRY(reader.varint());
  }
  return closure;
}

Result<TierEntry> decode(const KeyDigest& key, std::string_view bytes) {
  if (bytes.size() > tier_entry_bytes_max) return fail(ErrorCode::corrupt, "{} bytes", bytes.size());
  if (bytes.size() < checksum_bytes) return fail(ErrorCode::corrupt, "only {} bytes", bytes.size());
  const std::string_view checked = bytes.substr(0, bytes.size() - checksum_bytes);
  base::ByteReader reader(checked);
  if (TRY(reader.raw(magic.size())) != magic) return fail(ErrorCode::corrupt, "it begins as something else");
  if (const auto found = TRY(reader.u8()); found != version) return fail(ErrorCode::corrupt, "version {}", found);
  const base::Sha256Bytes sum = base::sha256(checked);
  if (std::memcmp(sum.data(), bytes.data() + checked.size(), checksum_bytes) != 0) {
    return fail(ErrorCode::corrupt, "it does not have its checksum");
  }
  if (TRY(KeyDigest::from_raw(TRY(reader.raw(sizeof(base::Sha256Bytes))))) != key)
    return fail(ErrorCode::corrupt, "it is another entry");
  TierEntry entry;
  const std::int64_t build_time_ns = TRY(reader.i64());
  if (build_time_ns < 0) return fail(ErrorCode::corrupt, "a build time of {} ns", build_time_ns);
  entry.build_time = std::chrono::nanoseconds(build_time_ns);
  entry.attributes = TRY(reader.string());
  if (entry.attributes.size() > cache::entry_attributes_bytes_max)
    return fail(ErrorCode::corrupt, "{} bytes of attributes", entry.attributes.size());
  const std::uint8_t closure = TRY(reader.u8());
  if (closure > known) return fail(ErrorCode::corrupt, "a closure of kind {}", closure);
  if (closure == known) entry.closure = TRY(read_closure(reader));
  entry.value = TRY(reader.string());
  TRY(reader.expect_end());
  return entry;
}

}  // namespace

Result<std::string> encode_tier_entry(const KeyDigest& key, const TierEntry& entry) {
  if (entry.attributes.size() > cache::entry_attributes_bytes_max) {
    return fail(ErrorCode::invalid_argument, "entry {}: {} bytes of attributes", key, entry.attributes.size());
  }
  base::ByteWriter writer;
  writer.raw(magic).u8(version).raw(key.raw());
  writer.i64(std::max<std::int64_t>(entry.build_time.count(), 0)).string(entry.attributes);
  writer.u8(entry.closure ? known : unknown);
  if (entry.closure) {
    writer.varint(entry.closure->size());
    for (const cache::SizedBlob& blob : *entry.closure) writer.raw(blob.digest.raw()).varint(blob.size);
  }
  std::string bytes = writer.string(entry.value).take();
  if (bytes.size() > tier_entry_bytes_max - checksum_bytes) {
    return fail(ErrorCode::invalid_argument, "entry {}: {} bytes, more than {}", key, bytes.size(),
                tier_entry_bytes_max - checksum_bytes);
  }
  bytes += KeyDigest(base::sha256(bytes)).raw();
  return bytes;
}

Result<TierEntry> decode_tier_entry(const KeyDigest& key, std::string_view bytes) {
  auto entry = decode(key, bytes);
  // A reader says `corrupt` of what is too short, too.
  if (!entry) return tl::unexpected(base::add_context(std::move(entry).error(), fmt::format("entry {}", key)));
  return entry;
}

}  // namespace cairn::remote

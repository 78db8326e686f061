// SPDX-License-Identifier: Apache-2.0
#include "libcache/trees/stat_rows.h"

#include "libbase/codec.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

StatFacts facts_of(const StatX& seen) {
  StatFacts facts;
  facts.inode = seen.stx_ino;
  facts.size = seen.stx_size;
  if ((seen.stx_mask & STATX_BTIME) != 0) {
    facts.birth_seconds = seen.stx_btime.tv_sec;
    facts.birth_nanoseconds = seen.stx_btime.tv_nsec;
  }
  facts.mtime_seconds = seen.stx_mtime.tv_sec;
  facts.mtime_nanoseconds = seen.stx_mtime.tv_nsec;
  facts.ctime_seconds = seen.stx_ctime.tv_sec;
  facts.ctime_nanoseconds = seen.stx_ctime.tv_nsec;
  return facts;
}

namespace {

// The row's version is its own: version 1 had no digests of attributes, and is read as well.
constexpr std::uint8_t stat_row_version = 2;
constexpr std::uint8_t differs = 1, has_xattrs = 2;

void write_entry(base::ByteWriter& writer, const StatEntry& entry) {
  const StatFacts& facts = entry.facts;
  const auto& [digests, xattrs] = entry.content;
  std::uint8_t flags = 0;
  if (digests.scan != digests.stream) flags |= differs;
  if (!xattrs.is_zero()) flags |= has_xattrs;
  writer.string(entry.name).u64(facts.inode).varint(facts.size);
  writer.i64(facts.birth_seconds).u32(facts.birth_nanoseconds);
  writer.i64(facts.mtime_seconds).u32(facts.mtime_nanoseconds);
  writer.i64(facts.ctime_seconds).u32(facts.ctime_nanoseconds);
  writer.u8(flags).raw(digests.scan.raw());
  if ((flags & differs) != 0) writer.raw(digests.stream.raw());
  if ((flags & has_xattrs) != 0) writer.raw(xattrs.raw());
}

base::Result<StatEntry> read_entry(base::ByteReader& reader, std::uint8_t version) {
  StatEntry entry;
  entry.name = std::string(TRY(reader.string()));
  entry.facts.inode = TRY(reader.u64());
  entry.facts.size = TRY(reader.varint());
  entry.facts.birth_seconds = TRY(reader.i64());
  entry.facts.birth_nanoseconds = TRY(reader.u32());
  entry.facts.mtime_seconds = TRY(reader.i64());
  entry.facts.mtime_nanoseconds = TRY(reader.u32());
  entry.facts.ctime_seconds = TRY(reader.i64());
  entry.facts.ctime_nanoseconds = TRY(reader.u32());
  const std::uint8_t flags = TRY(reader.u8());
  if (flags > (version == 1 ? differs : differs | has_xattrs)) {
    return base::fail(base::ErrorCode::corrupt, "stat entry with flags {}", flags);
  }
  EntryDigests& digests = entry.content.digests;
  digests.scan = TRY(read_key_part<TreeDigest>(reader));
  digests.stream = digests.scan;
  if ((flags & differs) != 0) digests.stream = TRY(read_key_part<TreeDigest>(reader));
  if ((flags & has_xattrs) != 0) entry.content.xattrs = TRY(read_key_part<XattrsDigest>(reader));
  return entry;
}

}  // namespace
}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::StatKey>::encode(const cache::StatKey& key) {
  const std::uint32_t of = static_cast<std::uint32_t>(key.of) << 24;
  return ByteWriter().u64_key(key.file_system).u64_key(key.directory).u32_key(of | key.part).take();
}

Result<cache::StatKey> Codec<cache::StatKey>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  cache::StatKey key;
  key.file_system = TRY(reader.u64_key());
  key.directory = TRY(reader.u64_key());
  const std::uint32_t part = TRY(reader.u32_key());
  key.of = static_cast<cache::StatsOf>(part >> 24);
  key.part = part & 0xff'ffff;
  if (key.of > cache::StatsOf::sent) return fail(ErrorCode::corrupt, "stat row of kind {}", part >> 24);
  TRY(reader.expect_end());
  return key;
}

std::string Codec<cache::StatRow>::encode(const cache::StatRow& row) {
  ByteWriter writer;
  writer.u8(cache::stat_row_version).u32(row.used_day).varint(row.entries.size());
  for (const cache::StatEntry& entry : row.entries) cache::write_entry(writer, entry);
  return writer.take();
}

Result<cache::StatRow> Codec<cache::StatRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  const std::uint8_t version = TRY(reader.u8());
  if (version != 1 && version != cache::stat_row_version) return fail(ErrorCode::corrupt, "stat row of version {}", version);
  cache::StatRow row;
  row.used_day = TRY(reader.u32());
  const std::uint64_t count = TRY(reader.varint());
  if (count > cache::stat_entries_per_row) return fail(ErrorCode::corrupt, "{} entries in a stat row", count);
  row.entries.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) row.entries.push_back(TRY(cache::read_entry(reader, version)));
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base

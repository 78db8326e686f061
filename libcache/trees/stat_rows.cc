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

void write_entry(base::ByteWriter& writer, const StatEntry& entry) {
  const StatFacts& facts = entry.facts;
  const bool differs = entry.digests.scan != entry.digests.stream;
  writer.string(entry.name).u64(facts.inode).varint(facts.size);
  writer.i64(facts.birth_seconds).u32(facts.birth_nanoseconds);
  writer.i64(facts.mtime_seconds).u32(facts.mtime_nanoseconds);
  writer.i64(facts.ctime_seconds).u32(facts.ctime_nanoseconds);
  writer.u8(differs ? 1 : 0).raw(entry.digests.scan.raw());
  if (differs) writer.raw(entry.digests.stream.raw());
}

base::Result<StatEntry> read_entry(base::ByteReader& reader) {
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
  const std::uint8_t differs = TRY(reader.u8());
  if (differs > 1) return base::fail(base::ErrorCode::corrupt, "stat entry with flag {}", differs);
  entry.digests.scan = TRY(read_key_part<TreeDigest>(reader));
  entry.digests.stream = entry.digests.scan;
  if (differs == 1) entry.digests.stream = TRY(read_key_part<TreeDigest>(reader));
  return entry;
}

}  // namespace
}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::StatKey>::encode(const cache::StatKey& key) {
  return ByteWriter().u64_key(key.file_system).u64_key(key.directory).u32_key(key.part).take();
}

Result<cache::StatKey> Codec<cache::StatKey>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  cache::StatKey key;
  key.file_system = TRY(reader.u64_key());
  key.directory = TRY(reader.u64_key());
  key.part = TRY(reader.u32_key());
  TRY(reader.expect_end());
  return key;
}

std::string Codec<cache::StatRow>::encode(const cache::StatRow& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).u32(row.used_day).varint(row.entries.size());
  for (const cache::StatEntry& entry : row.entries) cache::write_entry(writer, entry);
  return writer.take();
}

Result<cache::StatRow> Codec<cache::StatRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::StatRow row;
  row.used_day = TRY(reader.u32());
  const std::uint64_t count = TRY(reader.varint());
  if (count > cache::stat_entries_per_row) return fail(ErrorCode::corrupt, "{} entries in a stat row", count);
  row.entries.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) row.entries.push_back(TRY(cache::read_entry(reader)));
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base

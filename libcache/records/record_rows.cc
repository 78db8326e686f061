// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/record_rows.h"

#include <algorithm>

#include "libbase/hash/sha256.h"

namespace cairn::cache {

using base::ByteReader;
using base::ByteWriter;
using base::ErrorCode;
using base::Result;

namespace {

// One row names few parents; a count that the rest of the row cannot hold is damage, found before memory is taken.
Result<std::vector<RecordId>> read_parents(ByteReader& reader) {
  const std::uint64_t count = TRY(reader.varint());
  if (count > reader.rest().size() / 8) return base::fail(ErrorCode::corrupt, "{} parents in a short row", count);
  std::vector<RecordId> parents;
  parents.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    parents.emplace_back(TRY(reader.u64()));
    if (!parents.back()) return base::fail(ErrorCode::corrupt, "parent 0");
  }
  return parents;
}

void write_strings(ByteWriter& writer, const std::vector<std::string>& texts) {
  writer.varint(texts.size());
  for (const std::string& text : texts) writer.string(text);
}

}  // namespace

RecordRow to_row(const RecordInfo& info) {
  return {info.snapshot, info.parents, info.facts, info.usage, info.created, info.last_used};
}

RecordInfo to_info(RecordId id, RecordRow row) {
  return {id,        row.snapshot, std::move(row.parents), std::move(row.facts), row.usage,
          row.created, row.last_used};
}

SelectionsDigest digest_selections(const std::vector<Selection>& selections) {
  // Names that were given before there were policies stay what they are.
  const bool has_policy = std::any_of(selections.begin(), selections.end(),
                                      [](const Selection& selection) { return !selection.normalisation.is_off(); });
  ByteWriter writer;
  writer.raw(has_policy ? "cairn.selections.v2" : "cairn.selections.v1").varint(selections.size());
  for (const Selection& selection : selections) {
    writer.string(selection.path).u8(selection.follow_links ? 1 : 0).u8(selection.wildcard ? 1 : 0);
    write_strings(writer, selection.include_patterns);
    write_strings(writer, selection.exclude_patterns);
    write_strings(writer, selection.required_paths);
    if (has_policy) writer.string(name_of(selection.normalisation));
  }
  return base::digest_of<SelectionsDigest>(writer.take());
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::RecordRow>::encode(const cache::RecordRow& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).u8(static_cast<std::uint8_t>(row.facts.type));
  writer.u8(static_cast<std::uint8_t>(row.facts.rules)).u64(row.snapshot.value());
  writer.i64(row.usage.bytes).i64(row.usage.inodes);
  writer.i64(to_unix_ns(row.created)).i64(to_unix_ns(row.last_used));
  writer.u8(row.facts.chain.is_zero() ? 0 : 1);
  if (!row.facts.chain.is_zero()) writer.raw(row.facts.chain.raw());
  writer.varint(row.parents.size());
  for (const cache::RecordId parent : row.parents) writer.u64(parent.value());
  writer.string(row.facts.description);
  return writer.take();
}

Result<cache::RecordRow> Codec<cache::RecordRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::RecordRow row;
  const std::uint8_t type = TRY(reader.u8());
  if (type > static_cast<std::uint8_t>(cache::RecordType::exec_cache_mount))
    return fail(ErrorCode::corrupt, "record type {}", type);
  row.facts.type = static_cast<cache::RecordType>(type);
  const std::uint8_t rules = TRY(reader.u8());
  if (rules > static_cast<std::uint8_t>(cache::DigestRules::stream))
    return fail(ErrorCode::corrupt, "digest rules {}", rules);
  row.facts.rules = static_cast<cache::DigestRules>(rules);
  row.snapshot = snapshot::SnapshotId(TRY(reader.u64()));
  row.usage.bytes = TRY(reader.i64());
  row.usage.inodes = TRY(reader.i64());
  row.created = from_unix_ns(TRY(reader.i64()));
  row.last_used = from_unix_ns(TRY(reader.i64()));
  const std::uint8_t has_chain = TRY(reader.u8());
  if (has_chain > 1) return fail(ErrorCode::corrupt, "chain flag {}", has_chain);
  if (has_chain == 1) {
    row.facts.chain = TRY(cache::read_key_part<ChainId>(reader));
    if (row.facts.chain.is_zero()) return fail(ErrorCode::corrupt, "chain of zeros");
  }
  row.parents = TRY(cache::read_parents(reader));
  row.facts.description = std::string(TRY(reader.string()));
  TRY(reader.expect_end());
  return row;
}

std::string Codec<cache::TreeDigestRow>::encode(const cache::TreeDigestRow& row) {
  return ByteWriter().u8(cache::row_version).raw(row.digest.raw()).take();
}

Result<cache::TreeDigestRow> Codec<cache::TreeDigestRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  const TreeDigest digest = TRY(TreeDigest::from_raw(reader.rest()));
  return cache::TreeDigestRow{digest};
}

}  // namespace cairn::base

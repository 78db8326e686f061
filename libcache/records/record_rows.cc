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
  return {info.snapshot,  info.parents,   info.facts, info.usage, info.created,
          info.last_used, info.use_count, info.kind,  info.space};
}

RecordInfo to_info(RecordId id, RecordRow row) {
  return {id,          row.snapshot,  std::move(row.parents), std::move(row.facts), row.usage,
          row.created, row.last_used, row.use_count,          row.kind,             row.space};
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

namespace {

constexpr std::uint8_t record_version = 2;
constexpr auto last_type_of_version_1 = cache::RecordType::exec_cache_mount;

Result<cache::RecordType> read_type(ByteReader& reader, cache::RecordType last) {
  const std::uint8_t type = TRY(reader.u8());
  if (type > static_cast<std::uint8_t>(last)) return fail(ErrorCode::corrupt, "record type {}", type);
  return static_cast<cache::RecordType>(type);
}

Result<cache::DigestRules> read_rules(ByteReader& reader) {
  const std::uint8_t rules = TRY(reader.u8());
  if (rules > static_cast<std::uint8_t>(cache::DigestRules::stream)) return fail(ErrorCode::corrupt, "digest rules {}", rules);
  return static_cast<cache::DigestRules>(rules);
}

Result<cache::RecordKind> read_kind(ByteReader& reader) {
  const std::uint8_t kind = TRY(reader.u8());
  if (kind > static_cast<std::uint8_t>(cache::RecordKind::diff_to_none))
    return fail(ErrorCode::corrupt, "record kind {}", kind);
  return static_cast<cache::RecordKind>(kind);
}

Result<ChainId> read_chain(ByteReader& reader) {
  const std::uint8_t has_chain = TRY(reader.u8());
  if (has_chain > 1) return fail(ErrorCode::corrupt, "chain flag {}", has_chain);
  if (has_chain == 0) return ChainId();
  const auto chain = TRY(cache::read_key_part<ChainId>(reader));
  if (chain.is_zero()) return fail(ErrorCode::corrupt, "chain of zeros");
  return chain;
}

// Nothing was said of what is shared; Cache::open takes it from the snapshots' rows before anybody counts on it.
Result<cache::RecordRow> decode_version_1(ByteReader& reader) {
  cache::RecordRow row;
  row.facts.type = TRY(read_type(reader, last_type_of_version_1));
  row.facts.rules = TRY(read_rules(reader));
  row.snapshot = snapshot::SnapshotId(TRY(reader.u64()));
  row.usage.bytes = TRY(reader.i64());
  row.usage.inodes = TRY(reader.i64());
  row.created = from_unix_ns(TRY(reader.i64()));
  row.last_used = from_unix_ns(TRY(reader.i64()));
  row.facts.chain = TRY(read_chain(reader));
  row.parents = TRY(cache::read_parents(reader));
  row.facts.description = std::string(TRY(reader.string()));
  row.space = {.exclusive_bytes = row.usage.bytes, .exclusive_inodes = row.usage.inodes};
  return row;
}

Result<cache::RecordRow> decode_version_2(ByteReader& reader) {
  cache::RecordRow row;
  row.facts.type = TRY(read_type(reader, cache::RecordType::source_git_checkout));
  row.facts.rules = TRY(read_rules(reader));
  row.kind = TRY(read_kind(reader));
  const std::uint8_t retain = TRY(reader.u8());
  if (retain > static_cast<std::uint8_t>(cache::Retain::replaced)) return fail(ErrorCode::corrupt, "retain flag {}", retain);
  row.facts.retain = static_cast<cache::Retain>(retain);
  row.snapshot = snapshot::SnapshotId(TRY(reader.u64()));
  for (std::int64_t* field : {&row.usage.bytes, &row.usage.inodes, &row.usage.logical_bytes, &row.space.exclusive_bytes,
                              &row.space.exclusive_inodes, &row.space.shared_bytes, &row.space.blob_exclusive_bytes,
                              &row.space.blob_shared_bytes})
    *field = TRY(reader.i64());
  row.created = from_unix_ns(TRY(reader.i64()));
  row.last_used = from_unix_ns(TRY(reader.i64()));
  row.use_count = TRY(reader.varint());
  row.facts.build_time = std::chrono::nanoseconds(TRY(reader.i64()));
  row.facts.chain = TRY(read_chain(reader));
  row.parents = TRY(cache::read_parents(reader));
  row.facts.description = std::string(TRY(reader.string()));
  for (std::string* label : {&row.facts.owner.project, &row.facts.owner.build, &row.facts.owner.step})
    *label = std::string(TRY(reader.string()));
  if (const Status checked = cache::check_owner(row.facts.owner); !checked)
    return fail(ErrorCode::corrupt, "{}", checked.error().message);
  return row;
}

}  // namespace

std::string Codec<cache::RecordRow>::encode(const cache::RecordRow& row) {
  ByteWriter writer;
  writer.u8(record_version).u8(static_cast<std::uint8_t>(row.facts.type));
  writer.u8(static_cast<std::uint8_t>(row.facts.rules)).u8(static_cast<std::uint8_t>(row.kind));
  writer.u8(static_cast<std::uint8_t>(row.facts.retain));
  writer.u64(row.snapshot.value());
  writer.i64(row.usage.bytes).i64(row.usage.inodes).i64(row.usage.logical_bytes);
  writer.i64(row.space.exclusive_bytes).i64(row.space.exclusive_inodes).i64(row.space.shared_bytes);
  writer.i64(row.space.blob_exclusive_bytes).i64(row.space.blob_shared_bytes);
  writer.i64(to_unix_ns(row.created)).i64(to_unix_ns(row.last_used));
  writer.varint(row.use_count).i64(row.facts.build_time.count());
  writer.u8(row.facts.chain.is_zero() ? 0 : 1);
  if (!row.facts.chain.is_zero()) writer.raw(row.facts.chain.raw());
  writer.varint(row.parents.size());
  for (const cache::RecordId parent : row.parents) writer.u64(parent.value());
  writer.string(row.facts.description);
  writer.string(row.facts.owner.project).string(row.facts.owner.build).string(row.facts.owner.step);
  return writer.take();
}

Result<cache::RecordRow> Codec<cache::RecordRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  const std::uint8_t version = TRY(reader.u8());
  if (version != 1 && version != record_version) return fail(ErrorCode::corrupt, "row of version {}", version);
  auto row = TRY(version == 1 ? decode_version_1(reader) : decode_version_2(reader));
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

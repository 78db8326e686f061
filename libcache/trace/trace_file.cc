// SPDX-License-Identifier: Apache-2.0
// The bytes of a trace: docs/formats/trace.md.
#include <algorithm>
#include <cstring>

#include "libbase/codec.h"
#include "libbase/hash/sha256.h"
#include "libcache/history/history_rows.h"
#include "libcache/trace.h"

namespace cairn::cache {

using base::ByteReader;
using base::ByteWriter;
using base::ErrorCode;
using base::Result;

namespace {

constexpr std::string_view magic = "cairn trace ";
constexpr std::string_view header_start = "cairn trace 1\n";
constexpr std::uint8_t solve_row = 2;  // 1 and 3: Met

void write_keys(ByteWriter& writer, const std::vector<TracedKey>& keys) {
  writer.varint(keys.size());
  for (const TracedKey key : keys) writer.u64(key);
}

Result<std::vector<TracedKey>> read_keys(ByteReader& reader) {
  std::vector<TracedKey> keys;
  const std::uint64_t count = TRY(reader.varint());
  for (std::uint64_t i = 0; i < count; ++i) keys.push_back(TRY(reader.u64()));
  return keys;
}

void write_record(ByteWriter& writer, const TracedRecord& record) {
  writer.varint(record.id.value()).u8(static_cast<std::uint8_t>(record.type)).i64(record.bytes).i64(record.build_time.count());
  writer.i64(base::to_unix_ns(record.last_used)).varint(record.use_count).string(record.description);
  writer.varint(record.parents.size());
  for (const RecordId parent : record.parents) writer.varint(parent.value());
  write_keys(writer, record.keys);
}

Result<TracedRecord> read_record(ByteReader& reader) {
  TracedRecord record;
  record.id = RecordId(TRY(reader.varint()));
  const std::uint8_t type = TRY(reader.u8());
  if (!record.id || type > static_cast<std::uint8_t>(RecordType::source_git_checkout))
    return base::fail(ErrorCode::corrupt, "record {} of type {}", record.id.value(), type);
  record.type = static_cast<RecordType>(type);
  record.bytes = TRY(reader.i64());
  record.build_time = std::chrono::nanoseconds(TRY(reader.i64()));
  if (record.bytes < 0 || record.build_time.count() < 0) return base::fail(ErrorCode::corrupt, "record {}: less than nothing", record.id.value());
  record.last_used = base::from_unix_ns(TRY(reader.i64()));
  record.use_count = TRY(reader.varint());
  record.description = TRY(reader.string());
  const std::uint64_t parents = TRY(reader.varint());
  for (std::uint64_t i = 0; i < parents; ++i) record.parents.emplace_back(TRY(reader.varint()));
  record.keys = TRY(read_keys(reader));
  return record;
}

void write_lookup(ByteWriter& writer, const TracedLookup& lookup) {
  writer.u8(static_cast<std::uint8_t>(lookup.ended)).varint(lookup.record.value());
  write_keys(writer, lookup.keys);
  writer.varint(lookup.inputs.size());
  for (const TracedLookup::Input& input : lookup.inputs) writer.varint(std::uint64_t{input.lookup} * 2 + (input.by_content ? 1 : 0));
}

Result<TracedLookup> read_lookup(ByteReader& reader, std::uint64_t lookups) {
  TracedLookup lookup;
  const std::uint8_t ended = TRY(reader.u8());
  if (ended > static_cast<std::uint8_t>(TracedLookup::Ended::forced)) return base::fail(ErrorCode::corrupt, "a lookup that ended as {}", ended);
  lookup.ended = static_cast<TracedLookup::Ended>(ended);
  lookup.record = RecordId(TRY(reader.varint()));
  lookup.keys = TRY(read_keys(reader));
  const std::uint64_t inputs = TRY(reader.varint());
  for (std::uint64_t i = 0; i < inputs; ++i) {
    const std::uint64_t input = TRY(reader.varint());
    if (input / 2 >= lookups) return base::fail(ErrorCode::corrupt, "input {} of {} lookups", input / 2, lookups);
    lookup.inputs.push_back({static_cast<std::uint32_t>(input / 2), input % 2 == 1});
  }
  return lookup;
}

Result<TracedSolve> read_solve(ByteReader& reader) {
  TracedSolve solve;
  solve.started = base::from_unix_ns(TRY(reader.i64()));
  solve.duration = std::chrono::nanoseconds(TRY(reader.i64()));
  solve.project = TRY(reader.string());
  solve.other_bytes = TRY(reader.i64());
  if (solve.other_bytes < 0) return base::fail(ErrorCode::corrupt, "a solve with less than nothing");
  const std::uint64_t lookups = TRY(reader.varint());
  if (lookups > UINT32_MAX / 2) return base::fail(ErrorCode::corrupt, "{} lookups", lookups);
  for (std::uint64_t i = 0; i < lookups; ++i) solve.lookups.push_back(TRY(read_lookup(reader, lookups)));
  return solve;
}

base::Status read_row(std::string_view row, Trace& trace) {
  ByteReader reader(row);
  const std::uint8_t kind = TRY(reader.u8());
  if (kind == static_cast<std::uint8_t>(Met::at_begin) || kind == static_cast<std::uint8_t>(Met::later)) {
    const std::uint64_t count = TRY(reader.varint());
    for (std::uint64_t i = 0; i < count; ++i) trace.records.push_back(TRY(read_record(reader)));
    const bool is_at_begin = kind == static_cast<std::uint8_t>(Met::at_begin);
    if (is_at_begin && (!trace.solves.empty() || trace.present + count != trace.records.size()))
      return base::fail(ErrorCode::corrupt, "records of the beginning behind others");
    if (is_at_begin) trace.present = trace.records.size();
    return reader.expect_end();
  }
  if (kind != solve_row) return {};  // of a later build
  trace.solves.push_back(TRY(read_solve(reader)));
  return reader.expect_end();
}

}  // namespace

TracedKey traced(const KeyDigest& key) {
  TracedKey first = 0;
  std::memcpy(&first, key.raw().data(), sizeof(first));
  return first;
}

std::string trace_frame(std::string_view row) { return encode_waiting(row); }

std::string trace_header(std::uint64_t bytes_max) { return ByteWriter().raw(header_start).u64(bytes_max).take(); }

std::string trace_row(const std::vector<TracedRecord>& records, Met met) {
  ByteWriter writer;
  writer.u8(static_cast<std::uint8_t>(met)).varint(records.size());
  for (const TracedRecord& record : records) write_record(writer, record);
  return encode_waiting(writer.take());
}

std::string trace_row(const TracedSolve& solve) {
  ByteWriter writer;
  writer.u8(solve_row).i64(base::to_unix_ns(solve.started)).i64(solve.duration.count()).string(solve.project).i64(solve.other_bytes);
  writer.varint(solve.lookups.size());
  for (const TracedLookup& lookup : solve.lookups) write_lookup(writer, lookup);
  return encode_waiting(writer.take());
}

Result<Trace> parse_trace(std::string_view bytes) {
  if (!bytes.starts_with(magic)) return base::fail(ErrorCode::invalid_argument, "this is no trace");
  if (!bytes.starts_with(header_start) || bytes.size() < header_start.size() + 8)
    return base::fail(ErrorCode::invalid_argument, "a trace of another version than 1, or cut off in its header");
  const std::string_view body = bytes.substr(header_start.size() + 8);
  Trace trace;
  const std::vector<std::string_view> rows = decode_waiting(body);
  for (std::size_t i = 0; i < rows.size(); ++i) TRY(read_row(rows[i], trace), "row {} of the trace", i);
  const std::size_t read = rows.empty() ? 0 : static_cast<std::size_t>(rows.back().data() + rows.back().size() + 8 - body.data());
  trace.unread_bytes = body.size() - read;
  return trace;
}

}  // namespace cairn::cache

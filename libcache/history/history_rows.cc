// SPDX-License-Identifier: Apache-2.0
#include "libcache/history/history_rows.h"

#include <algorithm>
#include <charconv>

#include "libbase/compress/decoder.h"
#include "libbase/hash/sha256.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

using base::ByteReader;
using base::ByteWriter;
using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

constexpr std::uint8_t solve_row_version = 4;  // 1: without the keys that were looked for; 2: without what was made; 3: without inputs
constexpr std::size_t plain_max = 1024;  // what is larger is compressed
constexpr std::size_t error_max = 4096;
constexpr std::size_t checksum_size = 8;

std::string_view raw_of(const base::Sha256Bytes& digest) { return {reinterpret_cast<const char*>(digest.data()), digest.size()}; }

Result<base::Sha256Bytes> read_digest(ByteReader& reader) {
  const std::string_view raw = TRY(reader.raw(32));
  base::Sha256Bytes digest;
  std::copy(raw.begin(), raw.end(), reinterpret_cast<char*>(digest.data()));
  return digest;
}

template <class Enum>
Result<Enum> read_enum(ByteReader& reader, Enum last) {
  const std::uint8_t value = TRY(reader.u8());
  if (value > static_cast<std::uint8_t>(last)) return base::fail(ErrorCode::corrupt, "solve row: a strange {}", value);
  return static_cast<Enum>(value);
}

void write_step(ByteWriter& writer, const SolvedStep& step) {
  writer.raw(raw_of(step.digest)).string(step.name).u8(static_cast<std::uint8_t>(step.state));
  writer.i64(step.started.count()).i64(step.duration.count()).varint(step.keys_tried);
  const std::size_t keys = std::min(step.keys.size(), tried_keys_max);
  writer.varint(keys);
  for (std::size_t i = 0; i < keys; ++i) writer.raw(step.keys[i].raw());
  const auto known = step.hit ? std::find(step.keys.begin(), step.keys.begin() + static_cast<std::ptrdiff_t>(keys), *step.hit) : step.keys.end();
  const auto place = static_cast<std::size_t>(known - step.keys.begin());
  writer.u8(!step.hit ? 0 : place < keys ? 2 : 1);  // most often it is the only one
  if (step.hit && place < keys) writer.varint(place);
  if (step.hit && place >= keys) writer.raw(step.hit->raw());
  writer.u8(step.missed ? static_cast<std::uint8_t>(1 + static_cast<int>(*step.missed)) : 0);
  writer.varint(step.made.value()).varint(step.inputs.size());
  for (const std::uint32_t input : step.inputs) writer.varint(input);
}

Status read_keys(ByteReader& reader, SolvedStep& step, std::uint8_t version) {
  const std::uint64_t keys = version == 1 ? 0 : TRY(reader.varint());
  for (std::uint64_t i = 0; i < keys; ++i) step.keys.push_back(TRY(KeyDigest::from_raw(TRY(reader.raw(32)))));
  const std::uint8_t hit = TRY(reader.u8());
  if (hit > 2) return base::fail(ErrorCode::corrupt, "solve row: a strange {}", hit);
  if (hit == 1) step.hit = TRY(KeyDigest::from_raw(TRY(reader.raw(32))));
  if (hit == 2) {
    const std::uint64_t place = TRY(reader.varint());
    if (place >= step.keys.size()) return base::fail(ErrorCode::corrupt, "solve row: key {} of {} was hit", place, step.keys.size());
    step.hit = step.keys[place];
  }
  return {};
}

Result<SolvedStep> read_step(ByteReader& reader, std::uint8_t version) {
  SolvedStep step;
  step.digest = TRY(read_digest(reader));
  step.name = TRY(reader.string());
  step.state = TRY(read_enum(reader, SolvedStep::State::cancelled));
  step.started = std::chrono::nanoseconds(TRY(reader.i64()));
  step.duration = std::chrono::nanoseconds(TRY(reader.i64()));
  step.keys_tried = TRY(reader.varint());
  TRY(read_keys(reader, step, version));
  const std::uint8_t missed = TRY(reader.u8());
  if (missed > miss_causes) return base::fail(ErrorCode::corrupt, "solve row: a strange {}", missed);
  if (missed > 0) step.missed = static_cast<MissCause>(missed - 1);
  if (version > 2) step.made = RecordId(TRY(reader.varint()));
  const std::uint64_t inputs = version > 3 ? TRY(reader.varint()) : 0;
  for (std::uint64_t i = 0; i < inputs; ++i) step.inputs.push_back(static_cast<std::uint32_t>(TRY(reader.varint())));
  return step;
}

Result<SolveRow> read_body(std::string_view bytes, std::uint8_t version) {
  ByteReader reader(bytes);
  SolveRow row;
  row.id = SolveId(TRY(reader.u64()));
  row.duration = std::chrono::nanoseconds(TRY(reader.i64()));
  row.project = TRY(reader.string());
  row.build = TRY(reader.string());
  row.definition = TRY(read_digest(reader));
  row.outcome = TRY(read_enum(reader, SolveRow::Outcome::cancelled));
  row.error = TRY(reader.string());
  const std::uint64_t steps = TRY(reader.varint());
  for (std::uint64_t i = 0; i < steps; ++i) row.steps.push_back(TRY(read_step(reader, version)));
  TRY(reader.expect_end());
  for (const SolvedStep& step : row.steps)
    for (const std::uint32_t input : step.inputs)
      if (input >= row.steps.size()) return base::fail(ErrorCode::corrupt, "solve row: step {} of {} is an input", input, row.steps.size());
  return row;
}

}  // namespace

std::string_view to_string(SolveRow::Outcome outcome) {
  switch (outcome) {
    case SolveRow::Outcome::done: return "done";
    case SolveRow::Outcome::failed: return "failed";
    case SolveRow::Outcome::cancelled: return "cancelled";
  }
  return "unknown";
}

std::string_view to_string(SolvedStep::State state) {
  switch (state) {
    case SolvedStep::State::executed: return "executed";
    case SolvedStep::State::cached: return "cached";
    case SolvedStep::State::failed: return "failed";
    case SolvedStep::State::cancelled: return "cancelled";
  }
  return "unknown";
}

std::string to_text(SolveId id) { return fmt::format("{:016x}", id.value()); }

Result<SolveId> parse_solve_id(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size() || text.size() != 16 || value == 0)
    return base::fail(ErrorCode::invalid_argument, "\"{}\" is no id of a solve: want 16 hex digits", text);
  return SolveId(value);
}

std::string encode_waiting(std::string_view row) {
  const base::Sha256Bytes digest = base::sha256(row);
  return ByteWriter().u32(static_cast<std::uint32_t>(row.size())).raw(row).raw(raw_of(digest).substr(0, checksum_size)).take();
}

std::vector<std::string_view> decode_waiting(std::string_view file) {
  std::vector<std::string_view> rows;
  ByteReader reader(file);
  while (true) {
    const auto size = reader.u32();
    if (!size) return rows;
    const auto row = reader.raw(*size);
    if (!row) return rows;
    const auto checksum = reader.raw(checksum_size);
    const base::Sha256Bytes digest = base::sha256(*row);
    if (!checksum || *checksum != raw_of(digest).substr(0, checksum_size)) return rows;
    rows.push_back(*row);
  }
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::SolveRow>::encode(const cache::SolveRow& row) {
  ByteWriter body;
  body.u64(row.id.value()).i64(row.duration.count()).string(row.project).string(row.build).raw(cache::raw_of(row.definition));
  body.u8(static_cast<std::uint8_t>(row.outcome)).string(std::string_view(row.error).substr(0, cache::error_max));
  body.varint(row.steps.size());
  for (const cache::SolvedStep& step : row.steps) cache::write_step(body, step);
  const std::string bytes = body.take();
  ByteWriter out;
  out.u8(cache::solve_row_version);
  if (bytes.size() > cache::plain_max) {
    if (const auto packed = compress(Compression::zstd, bytes); packed && packed->size() < bytes.size()) return out.u8(1).raw(*packed).take();
  }
  return out.u8(0).raw(bytes).take();
}

Result<cache::SolveRow> Codec<cache::SolveRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  const std::uint8_t version = TRY(reader.u8());
  if (version == 0 || version > cache::solve_row_version) return fail(ErrorCode::corrupt, "solve row of version {}", version);
  const std::uint8_t packed = TRY(reader.u8());
  if (packed == 0) return cache::read_body(reader.rest(), version);
  if (packed != 1) return fail(ErrorCode::corrupt, "solve row: a strange {}", packed);
  const std::string body = TRY(decompress(Compression::zstd, reader.rest(), cache::solve_row_bytes_max));
  return cache::read_body(body, version);
}

}  // namespace cairn::base

// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/use_times.h"

#include "libbase/codec.h"
#include "libbase/hash/sha256.h"

namespace cairn::cache {
namespace {
constexpr std::string_view late_magic = "cairn late 1\n";
}

void UseTimes::note(RecordId id, base::WallTime when) {
  auto noted = noted_.lock();
  Noted& entry = (*noted)[id];
  if (when > entry.when) entry = {when, false};
}

std::optional<base::WallTime> UseTimes::find(RecordId id) {
  auto noted = noted_.lock();
  const auto found = noted->find(id);
  if (found == noted->end()) return std::nullopt;
  return found->second.when;
}

UseTimeMap UseTimes::take() {
  UseTimeMap times;
  auto noted = noted_.lock();
  for (auto& [id, entry] : *noted) {
    if (entry.taken) continue;
    entry.taken = true;
    times.emplace_hint(times.end(), id, entry.when);
  }
  return times;
}

void UseTimes::written(const UseTimeMap& times) {
  auto noted = noted_.lock();
  for (const auto& [id, when] : times) {
    const auto found = noted->find(id);
    if (found != noted->end() && found->second.taken && found->second.when == when) noted->erase(found);
  }
}

UseTimeMap UseTimes::unwritten() {
  UseTimeMap times;
  auto noted = noted_.lock();
  for (const auto& [id, entry] : *noted) times.emplace_hint(times.end(), id, entry.when);
  return times;
}

std::string encode_late_facts(const UseTimeMap& times) {
  base::ByteWriter writer;
  writer.raw(late_magic).u64(times.size());
  for (const auto& [id, when] : times) writer.u64(id.value()).i64(base::to_unix_ns(when));
  std::string bytes = writer.take();
  bytes += base::digest_of<base::Digest<struct LateFactsMeaning>>(bytes).raw();
  return bytes;
}

base::Result<UseTimeMap> decode_late_facts(std::string_view bytes) {
  using base::ErrorCode;
  if (bytes.size() < late_magic.size() + 8 + 32) return base::fail(ErrorCode::corrupt, "late facts: {} bytes", bytes.size());
  const std::string_view body = bytes.substr(0, bytes.size() - 32);
  if (base::digest_of<base::Digest<struct LateFactsMeaning>>(body).raw() != bytes.substr(body.size()))
    return base::fail(ErrorCode::corrupt, "late facts: checksum mismatch");
  base::ByteReader reader(body);
  const std::string_view magic = TRY(reader.raw(late_magic.size()));
  if (magic != late_magic) return base::fail(ErrorCode::corrupt, "late facts: unknown version");
  const std::uint64_t count = TRY(reader.u64());
  if (count != reader.rest().size() / 16) return base::fail(ErrorCode::corrupt, "late facts: {} entries", count);
  UseTimeMap times;
  for (std::uint64_t i = 0; i < count; ++i) {
    const RecordId id(TRY(reader.u64()));
    const std::int64_t when = TRY(reader.i64());
    if (!id || (!times.empty() && id <= times.rbegin()->first))
      return base::fail(ErrorCode::corrupt, "late facts: ids out of order");
    times.emplace_hint(times.end(), id, base::from_unix_ns(when));
  }
  TRY(reader.expect_end());
  return times;
}

}  // namespace cairn::cache

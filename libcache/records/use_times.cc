// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/use_times.h"

#include <algorithm>

#include "libbase/codec.h"
#include "libbase/fs/beneath.h"
#include "libbase/hash/sha256.h"

namespace cairn::cache {
namespace {
constexpr std::size_t late_bytes_max = 256u << 20;
constexpr std::string_view late_magic_1 = "cairn late 1\n";
constexpr std::string_view late_magic_2 = "cairn late 2\n";
static_assert(late_magic_1.size() == late_magic_2.size());

void add(Uses& to, const Uses& uses) {
  to.last = std::max(to.last, uses.last);
  to.count += uses.count;
}

}  // namespace

Uses UseTimes::Noted::all() const {
  Uses both = waiting;
  add(both, taken);
  return both;
}

void UseTimes::note(RecordId id, Uses uses) { add((*shard_of(id).lock())[id].waiting, uses); }

std::optional<Uses> UseTimes::find(RecordId id) {
  auto noted = shard_of(id).lock();
  const auto found = noted->find(id);
  if (found == noted->end()) return std::nullopt;
  return found->second.all();
}

UseMap UseTimes::take() {
  UseMap uses;
  for (auto& shard : shards_) {
    auto noted = shard.lock();
    for (auto& [id, entry] : *noted) {
      if (entry.waiting.count == 0) continue;
      uses.emplace(id, entry.waiting);
      add(entry.taken, entry.waiting);
      entry.waiting = {};
    }
  }
  return uses;
}

void UseTimes::written(const UseMap& uses) {
  for (const auto& [id, some] : uses) {
    auto noted = shard_of(id).lock();
    const auto found = noted->find(id);
    if (found == noted->end()) continue;
    found->second.taken.count -= some.count;
    if (found->second.empty()) noted->erase(found);
  }
}

void UseTimes::given_back(const UseMap& uses) {
  for (const auto& [id, some] : uses) {
    auto noted = shard_of(id).lock();
    const auto found = noted->find(id);
    if (found == noted->end()) continue;
    found->second.taken.count -= some.count;
    add(found->second.waiting, some);
  }
}

bool UseTimes::is_on_the_way() {
  return std::any_of(shards_.begin(), shards_.end(), [](auto& shard) {
    auto noted = shard.lock();
    return std::any_of(noted->begin(), noted->end(), [](const auto& entry) { return entry.second.taken.count != 0; });
  });
}

UseMap UseTimes::unwritten() {
  UseMap uses;
  for (auto& shard : shards_) {
    auto noted = shard.lock();
    for (const auto& [id, entry] : *noted) uses.emplace(id, entry.all());
  }
  return uses;
}

std::string encode_late_facts(const LateFacts& facts) {
  base::ByteWriter writer;
  writer.raw(late_magic_2).u64(facts.uses.size());
  for (const auto& [id, some] : facts.uses) writer.u64(id.value()).i64(base::to_unix_ns(some.last)).u64(some.count);
  writer.u64(facts.counters.size());
  for (const auto& [project, counters] : facts.counters)
    writer.string(project).string(base::Codec<Counters>::encode(counters));
  std::string bytes = writer.take();
  bytes += base::digest_of<base::Digest<struct LateFactsMeaning>>(bytes).raw();
  return bytes;
}

namespace {

base::Result<UseMap> read_uses(base::ByteReader& reader, std::uint64_t count, std::string_view magic) {
  UseMap uses;
  for (std::uint64_t i = 0; i < count; ++i) {
    const RecordId id(TRY(reader.u64()));
    const std::int64_t when = TRY(reader.i64());
    const std::uint64_t times = magic == late_magic_2 ? TRY(reader.u64()) : 1;
    if (!id || (!uses.empty() && id <= uses.rbegin()->first))
      return base::fail(base::ErrorCode::corrupt, "late facts: ids out of order");
    uses.emplace_hint(uses.end(), id, Uses{base::from_unix_ns(when), times});
  }
  return uses;
}

base::Result<CounterMap> read_counters(base::ByteReader& reader) {
  CounterMap all;
  const std::uint64_t count = TRY(reader.u64());
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string project(TRY(reader.string()));
    if (!all.empty() && project <= all.rbegin()->first)
      return base::fail(base::ErrorCode::corrupt, "late facts: projects out of order");
    const std::string_view row = TRY(reader.string());
    all.emplace_hint(all.end(), std::move(project), TRY(base::Codec<Counters>::decode(row), "late facts"));
  }
  return all;
}

}  // namespace

base::Result<LateFacts> decode_late_facts(std::string_view bytes) {
  using base::ErrorCode;
  if (bytes.size() < late_magic_1.size() + 8 + 32) return base::fail(ErrorCode::corrupt, "late facts: {} bytes", bytes.size());
  const std::string_view body = bytes.substr(0, bytes.size() - 32);
  if (base::digest_of<base::Digest<struct LateFactsMeaning>>(body).raw() != bytes.substr(body.size()))
    return base::fail(ErrorCode::corrupt, "late facts: checksum mismatch");
  base::ByteReader reader(body);
  const std::string_view magic = TRY(reader.raw(late_magic_1.size()));
  if (magic != late_magic_1 && magic != late_magic_2) return base::fail(ErrorCode::corrupt, "late facts: unknown version");
  const std::uint64_t count = TRY(reader.u64());
  LateFacts facts;
  facts.uses = TRY(read_uses(reader, count, magic));
  if (magic == late_magic_2) facts.counters = TRY(read_counters(reader));
  TRY(reader.expect_end());
  return facts;
}

base::Result<LateFacts> read_late_facts(const base::HostPath& root) {
  const std::string bytes = TRY(base::read_file(root / "late", late_bytes_max));
  return decode_late_facts(bytes);
}

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
// When records were last used and how often, as far as the rows do not say it yet. A hit writes nothing: it waits here
// for a group that is written anyway, or for root/late at the end of the process. Losing uses in a crash is allowed.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "libbase/clock.h"
#include "libbase/path.h"
#include "libbase/sync.h"
#include "libcache/account/tally.h"
#include "libcache/record.h"

namespace cairn::cache {

struct Uses {
  base::WallTime last{};
  std::uint64_t count = 0;  // since the row was written
  bool operator==(const Uses&) const = default;
};
using UseMap = std::map<RecordId, Uses>;  // in id order, the order of the rows

// Thread-safe.
class UseTimes {
 public:
  void note(RecordId id, Uses uses);
  std::optional<Uses> find(RecordId id);
  // Those not taken yet. They are still found, until written() or given_back().
  UseMap take();
  void written(const UseMap& uses);
  void given_back(const UseMap& uses);  // they were not written
  // Everything that no row is known to hold.
  UseMap unwritten();
  bool is_on_the_way();  // something was taken, and neither written nor given back

 private:
  struct Noted {
    Uses waiting, taken;

    Uses all() const;
    bool empty() const { return waiting.count == 0 && taken.count == 0; }
  };
  // Every hit notes something here. In pieces, so that making room for more holds nobody up, however many records are used
  // between two groups.
  using Shard = std::unordered_map<RecordId, Noted>;
  std::array<base::Guarded<Shard>, 64> shards_;
  base::Guarded<Shard>& shard_of(RecordId id) { return shards_[id.value() % shards_.size()]; }
};

// The file root/late: "cairn late 2\n", count (u64), then id (u64), unix time in ns (i64) and uses (u64) of each,
// ascending by id; count of projects (u64), then project and a row of cache.statistics, strings both, of each, ascending;
// at the end the SHA-256 of all before it. Integers little-endian. Version 1 had no uses, one each, and no counts.
struct LateFacts {
  UseMap uses;
  CounterMap counters;
  bool operator==(const LateFacts&) const = default;
};
std::string encode_late_facts(const LateFacts& facts);
base::Result<LateFacts> decode_late_facts(std::string_view bytes);
// Errors: not_found (there are none), corrupt, io.
base::Result<LateFacts> read_late_facts(const base::HostPath& root);

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
// When records were last used, as far as the rows do not say it yet. A hit writes nothing: its time waits here for a
// group that is written anyway, or for root/late at the end of the process. Losing use times in a crash is allowed.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "libbase/clock.h"
#include "libbase/path.h"
#include "libbase/sync.h"
#include "libcache/record.h"

namespace cairn::cache {

using UseTimeMap = std::map<RecordId, base::WallTime>;  // in id order, the order of the rows

// Thread-safe.
class UseTimes {
 public:
  void note(RecordId id, base::WallTime when);
  std::optional<base::WallTime> find(RecordId id);
  // Those not taken yet. They are still found, until written() or a later note.
  UseTimeMap take();
  void written(const UseTimeMap& times);
  // Everything that no row is known to hold.
  UseTimeMap unwritten();

 private:
  struct Noted {
    base::WallTime when{};
    bool taken = false;
  };
  base::Guarded<std::map<RecordId, Noted>> noted_;
};

// The file root/late: "cairn late 1\n", count (u64), then id (u64) and unix time in ns (i64) of each, ascending by id;
// at the end the SHA-256 of all before it. Integers little-endian.
std::string encode_late_facts(const UseTimeMap& times);
base::Result<UseTimeMap> decode_late_facts(std::string_view bytes);

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
// Counts that wait for a group that is written anyway, and the rows where they end.
#pragma once

#include <condition_variable>
#include <map>
#include <string>

#include "libbase/lmdb/env.h"
#include "libbase/sync.h"
#include "libcache/records/row_keys.h"
#include "libcache/statistics.h"

namespace cairn::cache {

using CounterMap = std::map<std::string, Counters>;  // by project

// Thread-safe.
class Tally {
 public:
  void add(const std::string& project, const Counters& counters);
  // Those that wait; empty while others are on the way, or while somebody reads. They are still in unwritten() until settled.
  CounterMap take();
  // What was taken is in the rows, or has to be taken again.
  void settle(const CounterMap& taken, const base::Status& outcome);
  CounterMap unwritten();
  bool is_on_the_way();  // something was taken and is not settled

  // While it lives, nothing is on the way, so that each count is either in the rows or in unwritten(), and never in both: a
  // group becomes visible before it is settled.
  class Reading {
   public:
    explicit Reading(Tally& tally);  // waits for what is on the way
    ~Reading();
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

   private:
    Tally& tally_;
  };

 private:
  struct State {
    CounterMap waiting, on_the_way;
    int readers = 0;
  };
  base::Guarded<State> state_;
  std::condition_variable_any settled_;
};

// A project as a key: a byte before the name, which may be empty.
struct ProjectKey {
  std::string project;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::ProjectKey> {
  static std::string encode(const cache::ProjectKey& key);
  static Result<cache::ProjectKey> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::Counters> {
  static std::string encode(const cache::Counters& counters);
  static Result<cache::Counters> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<ProjectKey, Counters> statistics{
    {"cache.statistics", base::lmdb::Precious::persistent}};

}  // namespace cairn::cache::table

namespace cairn::cache {

base::Status add_counters(base::lmdb::WriteTxn& txn, const CounterMap& counters);

}  // namespace cairn::cache

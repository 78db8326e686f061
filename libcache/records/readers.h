// SPDX-License-Identifier: Apache-2.0
// Which lookups are under way, by age. Something that an older lookup may still see in its version of the store (the
// row of a deleted record) or may no longer find there (a row that was only queued when it began) is kept in memory
// until every lookup that began before has ended.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "libbase/sync.h"

namespace cairn::cache {

// Thread-safe.
class Readers {
 public:
  // One lookup. Enter before its read transaction begins, leave after it has ended.
  class Visit {
   public:
    explicit Visit(Readers& readers) : readers_(readers), age_(readers.enter()) {}
    ~Visit() { readers_.leave(age_); }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    Readers& readers_;
    std::uint64_t age_;
  };

  // Runs f once every lookup that is under way now has ended: at once, or on the thread of the last of them.
  void after_current(std::function<void()> f);

 private:
  std::uint64_t enter();
  void leave(std::uint64_t age);

  struct State {
    std::uint64_t next = 1;
    std::set<std::uint64_t> active;
    std::deque<std::pair<std::uint64_t, std::function<void()>>> waiting;  // by the age they wait for

    std::vector<std::function<void()>> take_due();
  };
  base::Guarded<State> state_;
};

}  // namespace cairn::cache

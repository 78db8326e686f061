// SPDX-License-Identifier: Apache-2.0
// Directories that live on between steps. A cache mount is a lineage of trees: each use forks the head, so that steps that
// run at one time all start warm, and a step that is killed leaves the lineage as it was. A step that ends by itself,
// whatever its exit code, makes what it left the new head. Where the head has moved since the fork, the new one is the
// union of both by path; of what both have, the newer by its time of modification wins (docs/decisions/0016).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "libbase/sync.h"
#include "libcache/cache.h"
#include "libsolver/result_store.h"

namespace cairn::solver {

// Whose turn it is with a locked mount: one step at a time, in the order in which they asked. Thread-safe.
class CacheMountTurns {
 public:
  // Ends the turn when it dies.
  class Turn {
   public:
    Turn() = default;
    Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)), key_(other.key_), ticket_(other.ticket_) {}
    Turn& operator=(Turn&& other) noexcept;
    ~Turn() { end(); }

   private:
    friend class CacheMountTurns;
    void end();
    CacheMountTurns* turns_ = nullptr;
    KeyDigest key_;
    std::uint64_t ticket_ = 0;
  };
  // Waits. Errors: cancelled.
  base::Result<Turn> take(const KeyDigest& key, std::stop_token stop);

 private:
  struct State {
    std::map<KeyDigest, std::list<std::uint64_t>> waiting;  // the first has the turn
    std::uint64_t next = 0;
  };
  base::Guarded<State> state_;
  std::condition_variable_any changed_;
};

// The turns of all solves with cache mounts.
struct CacheMountQueues {
  CacheMountTurns locked;      // held by a step while it runs
  CacheMountTurns publishing;  // held while a head is chosen and replaced
};

class LiveCacheMounts;

// What names the lineage: the mount's id, and what it was begun from.
KeyDigest cache_mount_key(const std::string& id, const OptionalRef& base);

// A cache mount while a step has it. Gone without keep(): the lineage is as it was.
class CacheMountUse {
 public:
  struct Place {
    cache::Cache& cache;
    CacheMountQueues& queues;
    std::shared_ptr<LiveCacheMounts> live;  // null: the use has a tree of its own
    std::string id;     // as the step says it
    OptionalRef begin;  // what an empty lineage begins with
    cache::Owner owner{};  // of the versions
    KeyDigest key = cache_mount_key(id, begin);
  };
  // Errors: those of opening a fork, cancelled.
  static base::Result<CacheMountUse> open(Place place, std::stop_token stop);
  CacheMountUse(CacheMountUse&&) noexcept;
  CacheMountUse& operator=(CacheMountUse&&) = delete;
  ~CacheMountUse();

  const snapshot::MountedTree& tree() const;  // read_write
  // The step has ended by itself: what it left becomes the head, at once; of a tree that several steps share, when the
  // last of them has ended, and only if all have ended by themselves. What has not changed is dropped. A tree that stays
  // in use by others may still be mounted; that of the last is not afterwards. Errors, besides those of publishing: no_space
  // (it holds more than the mount's limit: the mount has ended, and the next use begins anew).
  base::Status keep(const std::string& description);

 private:
  struct Live;
  friend class LiveCacheMounts;
  CacheMountUse(Place place, std::shared_ptr<Live> live) : place_(std::move(place)), live_(std::move(live)) {}
  static base::Result<std::shared_ptr<Live>> make(const Place& place, std::stop_token stop);
  base::Status publish(const std::string& description);
  base::Status check_limit(const snapshot::MountedTree& tree, std::optional<std::int64_t> limit) const;

  Place place_;
  std::shared_ptr<Live> live_;  // null: kept, or moved from
};

// The shared cache mounts that the steps of one solve have at the moment: those of one id share one tree. Thread-safe.
class LiveCacheMounts {
 private:
  friend class CacheMountUse;
  CacheMountTurns turns_;  // with opening and ending a tree
  base::Guarded<std::map<KeyDigest, std::shared_ptr<CacheMountUse::Live>>> trees_;
};

// nullopt: it has not been used yet.
base::Result<OptionalRef> find_cache_mount(cache::Cache& cache, const KeyDigest& key);

}  // namespace cairn::solver

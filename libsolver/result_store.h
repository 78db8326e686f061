// SPDX-License-Identifier: Apache-2.0
// Where results are found: a graph of keys, and a way to turn what a key leads to into a record of the cache. A solve has
// one such store of its own, which it also writes to, and may be given more (an imported cache).
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string_view>
#include <utility>
#include <vector>

#include "libbase/clock.h"
#include "libbase/lmdb/group_writer.h"
#include "libbase/result.h"
#include "libcache/cache.h"
#include "libcache/key_store.h"
#include "libcache/memory_key_store.h"

namespace cairn::solver {

using OptionalRef = std::optional<cache::ImmutableRef>;  // nullopt: scratch, the empty tree

// Thread-safe.
class ResultStore {
 public:
  virtual ~ResultStore() = default;
  virtual std::string_view name() const = 0;
  virtual cache::KeyStore& keys() = 0;
  enum class Cost { pure, io };
  virtual Cost load_cost() const = 0;  // io: load() must not run on the scheduler's thread
  // The result as a held record of the cache. nullopt: it is gone. An error is as good as gone: the next result is tried,
  // and if there is none, the step runs (I8).
  virtual base::Result<std::optional<OptionalRef>> load(const cache::KeyResult& result, std::stop_token stop) = 0;
  // What a miss because of an error of this store counts as: error, or timeout if it knows that nobody answered in time.
  virtual cache::MissCause cause_of(const base::Error&) const { return cache::MissCause::error; }
};

// What is to lead to what.
struct KeyFacts {
  std::vector<std::pair<KeyDigest, OptionalRef>> results;
  std::vector<std::pair<cache::KeyLink, KeyDigest>> links;
};

class MainStore : public ResultStore {
 public:
  // As Cache::publish, with keys for the records of the publication and for older ones.
  virtual base::Result<base::lmdb::SequenceNumber> publish(cache::Publication publication, const KeyFacts& keys) = 0;
};

// Records and keys of the cache.
std::unique_ptr<MainStore> results_of(cache::Cache& cache);
// Records of the cache under keys that live in memory only: nothing is found once `keys` is gone.
std::unique_ptr<MainStore> results_of(cache::Cache& cache, cache::MemoryKeyStore& keys, const base::Clock& clock);

}  // namespace cairn::solver

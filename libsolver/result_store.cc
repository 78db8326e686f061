// SPDX-License-Identifier: Apache-2.0
#include "libsolver/result_store.h"

namespace cairn::solver {
namespace {

using base::Result;

class CacheResults : public MainStore {
 public:
  explicit CacheResults(cache::Cache& cache) : cache_(cache) {}

  std::string_view name() const override { return "local"; }
  cache::KeyStore& keys() override { return cache_.keys(); }
  Cost load_cost() const override { return Cost::pure; }
  Result<std::optional<OptionalRef>> load(const cache::KeyResult& result, std::stop_token) override {
    if (!result.record) return std::optional<OptionalRef>(std::in_place);
    OptionalRef ref = TRY(cache_.find(result.record));
    if (!ref) return std::optional<OptionalRef>();
    return std::optional<OptionalRef>(std::move(ref));
  }
  Result<base::lmdb::SequenceNumber> publish(cache::Publication publication, const KeyFacts& keys) override {
    for (const auto& [key, result] : keys.results) publication.add_result(key, result);
    for (const auto& [link, target] : keys.links) publication.add_link(link, target);
    return cache_.publish(std::move(publication));
  }

 private:
  cache::Cache& cache_;
};

class MemoryResults final : public CacheResults {
 public:
  MemoryResults(cache::Cache& cache, cache::MemoryKeyStore& keys, const base::Clock& clock)
      : CacheResults(cache), keys_(keys), clock_(clock) {}

  std::string_view name() const override { return "memory"; }
  cache::KeyStore& keys() override { return keys_; }
  Result<base::lmdb::SequenceNumber> publish(cache::Publication publication, const KeyFacts& keys) override {
    const auto sequence = TRY(CacheResults::publish(std::move(publication), {}));
    const base::WallTime now = clock_.now();
    // I5: only now are there records for the keys to lead to.
    for (const auto& [key, result] : keys.results) keys_.put_result(key, {result ? result->id() : cache::RecordId(), now});
    for (const auto& [link, target] : keys.links) keys_.put_link(link, target);
    return sequence;
  }

 private:
  cache::MemoryKeyStore& keys_;
  const base::Clock& clock_;
};

}  // namespace

std::unique_ptr<MainStore> results_of(cache::Cache& cache) { return std::make_unique<CacheResults>(cache); }

std::unique_ptr<MainStore> results_of(cache::Cache& cache, cache::MemoryKeyStore& keys, const base::Clock& clock) {
  return std::make_unique<MemoryResults>(cache, keys, clock);
}

}  // namespace cairn::solver

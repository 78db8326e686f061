// SPDX-License-Identifier: Apache-2.0
// A cache of elsewhere as a store of results. A hit makes lazy records of the layers that are not known here: nothing
// of them is transferred before somebody needs the tree.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>

#include "libsolver/remote_cache/cache_place.h"
#include "libsolver/remote_cache/imported_keys.h"
#include "libsolver/result_store.h"

namespace cairn::solver {

class ImportedCache final : public ResultStore {
 public:
  // What is given outlives it. written: as read_cache() gives it.
  static base::Result<std::unique_ptr<ImportedCache>> of(const CacheAddress& from, WrittenCache written,
                                                         std::unique_ptr<CachePlace> place, cache::Cache& cache,
                                                         BlobOrigins& origins);

  std::string_view name() const override { return name_; }
  cache::KeyStore& keys() override { return keys_; }
  Cost load_cost() const override { return Cost::io; }
  base::Result<std::optional<OptionalRef>> load(const cache::KeyResult& result, std::stop_token stop) override;
  cache::MissCause cause_of(const base::Error& error) const override;

 private:
  ImportedCache(const CacheAddress& from, WrittenCache written, ImportedKeys keys, std::unique_ptr<CachePlace> place,
                cache::Cache& cache, BlobOrigins& origins);
  std::optional<std::vector<CacheLayer>> layers_of(const cache::KeyResult& result) const;
  base::Result<bool> is_there(const CacheLayer& layer, const std::stop_token& stop);
  base::Result<bool> ask(const CacheLayer& layer, const std::stop_token& stop);

  const std::string name_;
  const std::chrono::milliseconds answer_max_;
  const WrittenCache written_;
  ImportedKeys keys_;
  const std::unique_ptr<CachePlace> place_;
  cache::Cache& cache_;
  BlobOrigins& origins_;
  std::atomic<bool> is_silent_ = false;  // it did not answer, and is asked no more
  std::mutex making_;  // records of layers: two results may share some
};

}  // namespace cairn::solver

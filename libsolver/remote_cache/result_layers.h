// SPDX-License-Identifier: Apache-2.0
// The layers of results, as caches and images list them: what each record added, from the lowest up.
#pragma once

#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "libcache/cache.h"
#include "libsolver/remote_cache.h"
#include "libsolver/result_store.h"

namespace cairn::solver {

// Not thread-safe.
class ResultLayers {
 public:
  ResultLayers(cache::Cache& cache, base::Compression compression, std::stop_token stop)
      : cache_(cache), compression_(compression), stop_(std::move(stop)) {}

  enum class Make { no, yes };
  // The blobs of all layers. nullopt: it has none, or, with Make::no, not all of them are known. A layer that is known
  // has the blob that it has, the wanted compression first; others are written in that.
  base::Result<std::optional<std::vector<std::string>>> of(const OptionalRef& ref, Make make);
  // Those that were given so far, by blob.
  const std::map<std::string, CacheLayer>& described() const { return described_; }

  // The records that are one layer each, the lowest first. nullopt: what it is made of cannot be said in layers.
  base::Result<std::optional<std::vector<cache::ImmutableRef>>> records_of(const cache::ImmutableRef& ref);
  // That of one of them. nullopt, with Make::no: none is known.
  base::Result<std::optional<cache::LayerBlob>> blob_of(const cache::ImmutableRef& record, Make make);

 private:
  base::Result<bool> add_records(const cache::ImmutableRef& ref, std::vector<cache::ImmutableRef>& out);

  cache::Cache& cache_;
  const base::Compression compression_;
  const std::stop_token stop_;
  std::map<std::string, CacheLayer> described_;
  std::map<cache::RecordId, cache::LayerBlob> known_;
};

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
#include "libsolver/remote_cache/imported_cache.h"

#include <algorithm>

#include "libsolver/remote_cache/config_order.h"
#include "libsolver/remote_cache/time_limit.h"

namespace cairn::solver {

using base::Result;

Result<std::unique_ptr<ImportedCache>> ImportedCache::of(const CacheAddress& from, WrittenCache written,
                                                         std::unique_ptr<CachePlace> place, cache::Cache& cache,
                                                         BlobOrigins& origins) {
  ImportedKeys keys = TRY(ImportedKeys::of(written.config), "{}", from.text());
  return std::unique_ptr<ImportedCache>(
      new ImportedCache(from, std::move(written), std::move(keys), std::move(place), cache, origins));
}

ImportedCache::ImportedCache(const CacheAddress& from, WrittenCache written, ImportedKeys keys,
                             std::unique_ptr<CachePlace> place, cache::Cache& cache, BlobOrigins& origins)
    : name_(from.text()),
      answer_max_(from.answer_max),
      written_(std::move(written)),
      keys_(std::move(keys)),
      place_(std::move(place)),
      cache_(cache),
      origins_(origins) {}

// The lowest first. nullopt: one of them is described nowhere.
std::optional<std::vector<CacheLayer>> ImportedCache::layers_of(const cache::KeyResult& result) const {
  const std::size_t index = result.record.value() - 1;
  CHECK(index < written_.config.records.size() && written_.config.records[index].layer, "a result of another store");
  std::vector<CacheLayer> layers;
  for (const std::string& blob : blobs_below(written_.config, *written_.config.records[index].layer)) {
    const auto described = written_.layers.find(blob);
    if (described == written_.layers.end()) return std::nullopt;
    layers.push_back(described->second);
  }
  return layers;
}

Result<bool> ImportedCache::is_there(const CacheLayer& layer, const std::stop_token& stop) {
  if (TRY(cache_.blobs().find(layer.blob))) return true;
  if (is_silent_ || origins_.is_lost(layer.blob) || !TRY(ask(layer, stop))) return false;
  origins_.add(layer.blob, layer.size, place_->origin());
  return true;
}

Result<bool> ImportedCache::ask(const CacheLayer& layer, const std::stop_token& stop) {
  const TimeLimit limit(stop, answer_max_);
  auto there = limit.judge(place_->has_blob(layer.blob, layer.size, limit.token()));
  if (!there && there.error().code == base::ErrorCode::io) is_silent_ = true;
  return there;
}

cache::MissCause ImportedCache::cause_of(const base::Error& error) const {
  return is_silent_ && error.code == base::ErrorCode::io ? cache::MissCause::timeout : cache::MissCause::error;
}

Result<std::optional<OptionalRef>> ImportedCache::load(const cache::KeyResult& result, std::stop_token stop) {
  const auto layers = layers_of(result);
  if (!layers) return std::optional<OptionalRef>();
  std::vector<ChainId> chains;
  for (const CacheLayer& layer : *layers)
    chains.push_back(chain_id(chains.empty() ? ChainId() : chains.back(), layer.diff));
  const std::lock_guard lock(making_);
  OptionalRef top;
  std::size_t known = layers->size();  // so many of the lowest are records already
  for (; known > 0 && !top; --known) {
    top = TRY(cache_.find_chain(chains[known - 1]));
    if (top) break;
  }
  // What is known may be lazy, too, and have come from somewhere that is gone: a layer that is to be had nowhere makes
  // this a miss.
  std::vector<BlobDigest> missing;
  if (top) missing = TRY(cache_.missing_blobs(*top));
  for (std::size_t i = 0; i < layers->size(); ++i) {
    const bool is_needed = i >= known || std::find(missing.begin(), missing.end(), (*layers)[i].blob) != missing.end();
    if (is_needed && !TRY(is_there((*layers)[i], stop))) return std::optional<OptionalRef>();
  }
  cache::Publication publication;
  for (std::size_t i = known; i < layers->size(); ++i) {
    const CacheLayer& layer = (*layers)[i];
    cache::RecordFacts facts;
    facts.description = fmt::format("layer {} of {} of a result of {}", i + 1, layers->size(), name_);
    facts.chain = chains[i];
    top = TRY(
        cache_.add_lazy({.diff = layer.diff, .blob = layer.blob, .size = layer.size, .compression = layer.compression},
                        std::move(top), publication, std::move(facts)));
  }
  TRY(cache_.publish(std::move(publication)));
  return std::optional<OptionalRef>(std::move(top));
}

}  // namespace cairn::solver

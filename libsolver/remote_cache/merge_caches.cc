// SPDX-License-Identifier: Apache-2.0
#include "libsolver/remote_cache/merge_caches.h"

#include <algorithm>
#include <optional>

#include "libbase/hash/sha256.h"
#include "libsolver/remote_cache/config_order.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

// Of all results together, one beside the other; far beyond what layers can be stacked to in earnest.
constexpr std::size_t stacked_layers_max = 20'000'000;

using Blobs = std::vector<std::string>;

// The layers of one cache, each with what it and all below it hold. Parents are looked at once, however many stand on them.
class DescribedLayers {
 public:
  explicit DescribedLayers(const WrittenCache& cache) : cache_(cache), layers_(cache.config.layers.size()) {}

  // A name of the contents of all layers up to this one. nullopt: one of them is described nowhere.
  std::optional<base::Sha256Bytes> contents(std::size_t top) {
    std::vector<std::size_t> way;
    for (auto at = static_cast<std::int64_t>(top); at >= 0 && !layers_[static_cast<std::size_t>(at)].is_known; at = parent(at)) {
      way.push_back(static_cast<std::size_t>(at));
    }
    for (auto at = way.rbegin(); at != way.rend(); ++at) look_at(*at);
    return layers_[top].contents;
  }
  // Of the layers up to this one those that were not asked for before.
  template <class Visit>
  void each_new(std::size_t top, const Visit& visit) {
    for (auto at = static_cast<std::int64_t>(top); at >= 0 && !layers_[static_cast<std::size_t>(at)].is_visited; at = parent(at)) {
      Layer& layer = layers_[static_cast<std::size_t>(at)];
      layer.is_visited = true;
      visit(cache_.config.layers[static_cast<std::size_t>(at)].blob, *layer.described);
    }
  }

 private:
  struct Layer {
    bool is_known = false, is_visited = false;
    const CacheLayer* described = nullptr;
    std::optional<base::Sha256Bytes> contents;
  };
  std::int64_t parent(std::int64_t layer) const { return cache_.config.layers[static_cast<std::size_t>(layer)].parent; }
  void look_at(std::size_t index) {
    Layer& layer = layers_[index];
    layer.is_known = true;
    const auto described = cache_.layers.find(cache_.config.layers[index].blob);
    const std::int64_t below = parent(static_cast<std::int64_t>(index));
    const Layer* lower = below < 0 ? nullptr : &layers_[static_cast<std::size_t>(below)];
    if (described == cache_.layers.end() || (lower != nullptr && !lower->contents)) return;
    layer.described = &described->second;
    std::string text(described->second.diff.raw());
    if (lower != nullptr) text.append(reinterpret_cast<const char*>(lower->contents->data()), lower->contents->size());
    layer.contents = base::sha256(text);
  }

  const WrittenCache& cache_;
  std::vector<Layer> layers_;
};

class Merger {
 public:
  Status add(const WrittenCache& cache) {
    DescribedLayers layers(cache);
    std::vector<std::optional<CacheChains::Record>> places(cache.config.records.size());
    for (const std::size_t index : TRY(order_of_records(cache.config))) {
      const CacheConfig::Record& record = cache.config.records[index];
      std::vector<std::vector<CacheChains::Source>> inputs;
      for (const auto& input : record.inputs) {
        auto& sources = inputs.emplace_back();
        for (const CacheConfig::Input& way : input) {
          if (places[way.link]) sources.push_back({*places[way.link], way.selector});
        }
      }
      // What nothing leads to is found by nobody.
      if (std::any_of(inputs.begin(), inputs.end(), [](const auto& sources) { return sources.empty(); })) continue;
      std::vector<ChainResult> results;
      if (record.layer) TRY(add_result(cache, *record.layer, layers, record.created, results));
      places[index] = TRY(chains_.add(record.digest, inputs, std::move(results)));
    }
    return {};
  }

  WrittenCache take() && {
    WrittenCache merged{chains_.config(), {}};
    for (const CacheConfig::Layer& layer : merged.config.layers) merged.layers.emplace(layer.blob, layers_.at(layer.blob));
    return merged;
  }

 private:
  // With the layers that hold the same and are known already, if there are such.
  Status add_result(const WrittenCache& cache, std::size_t top, DescribedLayers& layers, base::WallTime created,
                    std::vector<ChainResult>& results) {
    const auto contents = layers.contents(top);
    if (!contents) return {};
    const auto [known, is_new] = known_.try_emplace(*contents);
    if (is_new) {
      known->second = blobs_below(cache.config, top);
      layers.each_new(top, [&](const std::string& blob, const CacheLayer& layer) { layers_.emplace(blob, layer); });
    }
    stacked_ += known->second.size();
    if (stacked_ > stacked_layers_max) return fail(ErrorCode::invalid_argument, "results of more than {} layers", stacked_layers_max);
    results.push_back({known->second, created});
    return {};
  }

  CacheChains chains_;
  std::map<std::string, CacheLayer> layers_;
  std::map<base::Sha256Bytes, Blobs> known_;  // by what they hold
  std::size_t stacked_ = 0;
};

}  // namespace

Result<WrittenCache> merge_caches(const WrittenCache& known, const WrittenCache& added) {
  Merger merger;
  TRY(merger.add(known));
  TRY(merger.add(added));
  WrittenCache merged = std::move(merger).take();
  if (merged.config.records.size() > RemoteCacheLimits::records_max)
    return fail(ErrorCode::invalid_argument, "more than {} records", RemoteCacheLimits::records_max);
  if (merged.config.layers.size() > RemoteCacheLimits::layers_max)
    return fail(ErrorCode::invalid_argument, "more than {} layers", RemoteCacheLimits::layers_max);
  return merged;
}

bool hold_the_same(const CacheConfig& a, const CacheConfig& b) {
  const auto timeless = [](CacheConfig config) {
    for (CacheConfig::Record& record : config.records) record.created = {};
    return config.json();
  };
  return timeless(a) == timeless(b);
}

}  // namespace cairn::solver

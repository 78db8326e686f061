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

// The layers of one cache as stacks of the merged one. Each is looked at once, however many stand on it.
class StackedLayers {
 public:
  using Stack = CacheChains::Stack;
  // Stacks of the merged cache, by a name of what they hold: whoever compressed it.
  struct Known {
    std::map<base::Sha256Bytes, Stack> stacks;
    std::map<std::string, CacheLayer> described;
  };
  StackedLayers(const WrittenCache& cache, CacheChains& chains, Known& known)
      : cache_(cache), chains_(chains), known_(known), layers_(cache.config.layers.size()) {}

  // The layer with all below it. nullopt: one of them is described nowhere.
  std::optional<Stack> find(std::size_t top) {
    std::vector<std::size_t> way;
    for (std::int64_t at = static_cast<std::int64_t>(top); at >= 0 && !layers_[index(at)].is_known; at = parent(at))
      way.push_back(index(at));
    for (auto at = way.rbegin(); at != way.rend(); ++at) look_at(*at);
    return layers_[top].stack;
  }

 private:
  struct Layer {
    bool is_known = false;
    std::optional<Stack> stack;
    base::Sha256Bytes contents{};  // of it and all below, if there is a stack
  };
  static std::size_t index(std::int64_t layer) { return static_cast<std::size_t>(layer); }
  std::int64_t parent(std::int64_t layer) const { return cache_.config.layers[index(layer)].parent; }

  void look_at(std::size_t at) {
    Layer& layer = layers_[at];
    layer.is_known = true;
    const auto described = cache_.layers.find(cache_.config.layers[at].blob);
    const std::int64_t below = parent(static_cast<std::int64_t>(at));
    const Layer* lower = below < 0 ? nullptr : &layers_[index(below)];
    if (described == cache_.layers.end() || (lower != nullptr && !lower->stack)) return;
    std::string text(described->second.diff.raw());
    if (lower != nullptr) text.append(reinterpret_cast<const char*>(lower->contents.data()), lower->contents.size());
    layer.contents = base::sha256(text);
    const auto known = known_.stacks.find(layer.contents);
    if (known != known_.stacks.end()) {
      layer.stack = known->second;
      return;
    }
    layer.stack = chains_.stack(lower != nullptr ? lower->stack : std::nullopt, described->first);
    known_.stacks.emplace(layer.contents, *layer.stack);
    known_.described.insert(*described);
  }

  const WrittenCache& cache_;
  CacheChains& chains_;
  Known& known_;
  std::vector<Layer> layers_;
};

class Merger {
 public:
  Status add(const WrittenCache& cache) {
    StackedLayers layers(cache, chains_, known_);
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
      std::vector<CacheChains::StackResult> results;
      if (record.layer) {
        if (const auto stack = layers.find(*record.layer)) results.push_back({stack, record.created});
      }
      places[index] = TRY(chains_.add_stacks(record.digest, inputs, results));
    }
    return {};
  }

  WrittenCache take() && {
    WrittenCache merged{chains_.config(), {}};
    for (const CacheConfig::Layer& layer : merged.config.layers)
      merged.layers.emplace(layer.blob, known_.described.at(layer.blob));
    return merged;
  }

 private:
  CacheChains chains_;
  StackedLayers::Known known_;
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

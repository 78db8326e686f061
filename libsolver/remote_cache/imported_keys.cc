// SPDX-License-Identifier: Apache-2.0
#include "libsolver/remote_cache/imported_keys.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "libbase/codec.h"
#include "libbase/hash/sha256.h"
#include "libsolver/cache_key.h"
#include "libsolver/remote_cache/config_order.h"

namespace cairn::solver {

using base::Result;
using base::Status;
using cache::KeyLink;
using cache::KeyResult;

namespace {

struct Source {
  KeyDigest key;
  base::Sha256Bytes selector{};
  auto operator<=>(const Source&) const = default;
};
using Sources = std::vector<std::vector<Source>>;  // by input; what has no key is left out

// Two records of one operation that have a source of each input in common are one (spec/storage 5.3), so the first of
// each, in an order of their own, names it; and does so in every import that knows no earlier one.
KeyDigest key_of(const KeyDigest& root, const Sources& sources) {
  base::ByteWriter text;
  text.raw("cairn.key.imported.v1").raw(root.raw()).u32(static_cast<std::uint32_t>(sources.size()));
  for (const std::vector<Source>& input : sources) {
    const Source& first = *std::min_element(input.begin(), input.end());
    text.raw(first.key.raw()).raw({reinterpret_cast<const char*>(first.selector.data()), first.selector.size()});
  }
  return base::digest_of<KeyDigest>(text.take());
}

Result<Sources> sources_of(const CacheConfig::Record& record, const std::vector<std::optional<KeyDigest>>& keys) {
  Sources sources;
  for (const auto& input : record.inputs) {
    auto& known = sources.emplace_back();
    for (const CacheConfig::Input& way : input) {
      if (!keys[way.link]) continue;
      known.push_back(
          {*keys[way.link], way.selector.empty() ? base::Sha256Bytes{} : TRY(base::parse_sha256(way.selector))});
    }
  }
  return sources;
}

}  // namespace

Result<ImportedKeys> ImportedKeys::of(const CacheConfig& config) {
  ImportedKeys imported;
  std::vector<std::optional<KeyDigest>> keys(config.records.size());  // nullopt: nothing leads there
  for (const std::size_t index : TRY(order_of_records(config))) {
    const CacheConfig::Record& record = config.records[index];
    const KeyDigest root = TRY(KeyDigest::parse(record.digest));
    const Sources sources = TRY(sources_of(record, keys));
    if (std::any_of(sources.begin(), sources.end(), [](const auto& input) { return input.empty(); })) continue;
    const KeyDigest key = sources.empty() ? root : key_of(root, sources);
    keys[index] = key;
    for (std::uint32_t input = 0; input < sources.size(); ++input) {
      for (const Source& source : sources[input])
        imported.ways_[source.key].push_back({root, input, source.selector, key});
    }
    if (record.layer) imported.results_[key].push_back({cache::RecordId(index + 1), record.created});
  }
  for (auto& [from, ways] : imported.ways_) {
    std::sort(ways.begin(), ways.end());
    ways.erase(std::unique(ways.begin(), ways.end()), ways.end());
  }
  for (auto& [key, results] : imported.results_) {
    std::stable_sort(results.begin(), results.end(),
                     [](const KeyResult& a, const KeyResult& b) { return a.created > b.created; });
  }
  return imported;
}

class ImportedKeys::View final : public cache::KeyStore::Reader {
 public:
  explicit View(const ImportedKeys& keys) : keys_(keys) {}
  Result<bool> exists(const KeyDigest& key) override {
    return keys_.results_.contains(key) || keys_.ways_.contains(key);
  }
  Result<std::vector<KeyDigest>> follow(const KeyLink& link) override {
    std::vector<KeyDigest> targets;
    const auto from = keys_.ways_.find(link.from);
    if (from == keys_.ways_.end()) return targets;
    const Way first{root_key({link.operation, OpDigest::Scope::portable}, link.output), link.input, link.selector, {}};
    const auto same = [&](const Way& way) {
      return std::tie(way.root, way.input, way.selector) == std::tie(first.root, first.input, first.selector);
    };
    for (auto way = std::lower_bound(from->second.begin(), from->second.end(), first);
         way != from->second.end() && same(*way); ++way) {
      targets.push_back(way->to);
    }
    return targets;
  }
  Result<std::vector<KeyResult>> results(const KeyDigest& key) override {
    const auto found = keys_.results_.find(key);
    return found == keys_.results_.end() ? std::vector<KeyResult>() : found->second;
  }
  // Who exports asks its own store, which has these keys once they were found here.
  Result<std::vector<KeyLink>> links_to(const KeyDigest&) override { return std::vector<KeyLink>(); }
  Result<std::vector<KeyDigest>> keys_of(cache::RecordId) override { return std::vector<KeyDigest>(); }

 private:
  const ImportedKeys& keys_;
};

Status ImportedKeys::read(const std::function<Status(Reader&)>& f) {
  View view(*this);
  return f(view);
}

}  // namespace cairn::solver

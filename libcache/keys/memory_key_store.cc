// SPDX-License-Identifier: Apache-2.0
#include "libcache/memory_key_store.h"

#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

namespace cairn::cache {

using base::Result;
using base::Status;

namespace {

struct Target {
  KeyLink link;
  KeyDigest to;
  auto operator<=>(const Target&) const = default;
};

template <class Value>
bool add_new(std::vector<Value>& values, const Value& value) {
  if (std::find(values.begin(), values.end(), value) != values.end()) return false;
  values.push_back(value);
  return true;
}

}  // namespace

struct MemoryKeyStore::State {
  mutable std::shared_mutex mutex;
  std::unordered_map<KeyDigest, std::vector<KeyResult>> results;
  std::unordered_map<KeyDigest, std::vector<Target>> links;      // by from
  std::unordered_map<KeyDigest, std::vector<Target>> backlinks;  // by target
  std::unordered_map<RecordId, std::vector<KeyDigest>> records;  // without scratch

  bool exists(const KeyDigest& key) const { return results.contains(key) || links.contains(key); }
  void put_result(const KeyDigest& key, const KeyResult& result);
  void put_link(const KeyLink& link, const KeyDigest& target);
  void erase_links_to(const KeyDigest& target, std::vector<KeyDigest>& sources);
};

void MemoryKeyStore::State::put_result(const KeyDigest& key, const KeyResult& result) {
  std::vector<KeyResult>& all = results[key];
  const auto same = std::find_if(all.begin(), all.end(), [&](const KeyResult& r) { return r.record == result.record; });
  if (same != all.end()) {
    same->created = result.created;
  } else {
    all.push_back(result);
  }
  const auto newer = [](const KeyResult& a, const KeyResult& b) {
    return std::tie(a.created, a.record) > std::tie(b.created, b.record);
  };
  std::sort(all.begin(), all.end(), newer);
  if (result.record) add_new(records[result.record], key);
}

void MemoryKeyStore::State::put_link(const KeyLink& link, const KeyDigest& target) {
  if (add_new(links[link.from], Target{link, target})) backlinks[target].push_back({link, target});
}

void MemoryKeyStore::State::erase_links_to(const KeyDigest& target, std::vector<KeyDigest>& sources) {
  const auto back = backlinks.extract(target);
  if (back.empty()) return;
  for (const Target& way : back.mapped()) {
    std::vector<Target>& ways = links[way.link.from];
    std::erase(ways, way);
    if (ways.empty()) links.erase(way.link.from);
    sources.push_back(way.link.from);
  }
}

namespace {

// Each lookup takes the lock for itself: a reader may live long, and writers need not wait for it.
template <class State>
class MemoryReader final : public KeyStore::Reader {
 public:
  explicit MemoryReader(const State& state) : state_(state) {}

  Result<bool> exists(const KeyDigest& key) override {
    const std::shared_lock lock(state_.mutex);
    return state_.exists(key);
  }
  Result<std::vector<KeyDigest>> follow(const KeyLink& link) override {
    const std::shared_lock lock(state_.mutex);
    std::vector<KeyDigest> targets;
    for (const Target& way : at(state_.links, link.from)) {
      if (way.link == link) targets.push_back(way.to);
    }
    return targets;
  }
  Result<std::vector<KeyResult>> results(const KeyDigest& key) override {
    const std::shared_lock lock(state_.mutex);
    return at(state_.results, key);
  }
  Result<std::vector<KeyLink>> links_to(const KeyDigest& key) override {
    const std::shared_lock lock(state_.mutex);
    std::vector<KeyLink> links;
    for (const Target& way : at(state_.backlinks, key)) links.push_back(way.link);
    return links;
  }
  Result<std::vector<KeyDigest>> keys_of(RecordId record) override {
    const std::shared_lock lock(state_.mutex);
    return at(state_.records, record);
  }

 private:
  template <class Map>
  static typename Map::mapped_type at(const Map& map, const typename Map::key_type& key) {
    const auto found = map.find(key);
    return found == map.end() ? typename Map::mapped_type() : found->second;
  }
  const State& state_;
};

}  // namespace

MemoryKeyStore::MemoryKeyStore() : state_(std::make_unique<State>()) {}
MemoryKeyStore::~MemoryKeyStore() = default;

Status MemoryKeyStore::read(const std::function<Status(Reader&)>& f) {
  MemoryReader<State> reader(*state_);
  return f(reader);
}

void MemoryKeyStore::put_result(const KeyDigest& key, const KeyResult& result) {
  const std::unique_lock lock(state_->mutex);
  state_->put_result(key, result);
}

void MemoryKeyStore::put_link(const KeyLink& link, const KeyDigest& target) {
  const std::unique_lock lock(state_->mutex);
  state_->put_link(link, target);
}

void MemoryKeyStore::forget(RecordId record) {
  const std::unique_lock lock(state_->mutex);
  const auto keys = state_->records.extract(record);
  if (keys.empty()) return;
  std::vector<KeyDigest> rest = keys.mapped();
  for (const KeyDigest& key : rest) {
    std::vector<KeyResult>& results = state_->results[key];
    std::erase_if(results, [&](const KeyResult& result) { return result.record == record; });
    if (results.empty()) state_->results.erase(key);
  }
  while (!rest.empty()) {
    const KeyDigest key = rest.back();
    rest.pop_back();
    if (!state_->exists(key)) state_->erase_links_to(key, rest);
  }
}

std::size_t MemoryKeyStore::keys() const {
  const std::shared_lock lock(state_->mutex);
  std::size_t count = state_->results.size();
  for (const auto& [key, ways] : state_->links) count += state_->results.contains(key) ? 0 : 1;
  return count;
}

}  // namespace cairn::cache

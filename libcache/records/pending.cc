// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/pending.h"

#include <algorithm>

namespace cairn::cache {
namespace {

// The batch number of digests that no batch holds yet.
constexpr std::uint64_t no_batch = 0;

template <class Index, class Key>
void drop(Index& index, const Key& key, std::uint64_t batch) {
  const auto found = index.find(key);
  if (found == index.end()) return;
  std::erase_if(found->second, [batch](const auto& queued) { return queued.batch == batch; });
  if (found->second.empty()) index.erase(found);
}

// Every value under key, each once.
template <class Value, class Index, class Key>
std::vector<Value> values(const Index& index, const Key& key) {
  std::vector<Value> out;
  const auto found = index.find(key);
  if (found == index.end()) return out;
  for (const auto& queued : found->second) out.push_back(queued.value);
  return out;
}

}  // namespace

void Pending::State::add(const Batch& batch) {
  const std::uint64_t number = batch.number;
  for (const RecordInfo& record : batch.records)
    if (!record.facts.chain.is_zero()) chains[record.facts.chain].push_back({number, record.id});
  for (const Batch::Result& result : batch.results) {
    results[result.key].push_back({number, {result.record, result.created}});
    if (result.record) keys[result.record].push_back({number, result.key});
  }
  for (const auto& [link, target] : batch.links) {
    links[link.from].push_back({number, {link, target}});
    backlinks[target].push_back({number, link});
    ++operations[{link.operation, link.output}];
  }
  for (const Batch::Digest& digest : batch.digests) digests[digest.record].push_back({number, digest});
}

void Pending::State::remove(const Batch& batch) {
  const std::uint64_t number = batch.number;
  for (const RecordInfo& record : batch.records)
    if (!record.facts.chain.is_zero()) drop(chains, record.facts.chain, number);
  for (const Batch::Result& result : batch.results) {
    drop(results, result.key, number);
    drop(keys, result.record, number);
  }
  for (const auto& [link, target] : batch.links) {
    drop(links, link.from, number);
    drop(backlinks, target, number);
    const auto operation = operations.find({link.operation, link.output});
    if (--operation->second == 0) operations.erase(operation);
  }
  for (const Batch::Digest& digest : batch.digests) drop(digests, digest.record, number);
}

std::uint64_t Pending::next_number() { return ++state_.lock()->last_number; }

void Pending::add(const Batch& batch) {
  auto state = state_.lock();
  if (state->finished_first.erase(batch.number) > 0) return;
  state->added.insert(batch.number);
  state->add(batch);
}

void Pending::remove(const Batch& batch) {
  auto state = state_.lock();
  if (state->added.erase(batch.number) > 0)
    state->remove(batch);
  else
    state->finished_first.insert(batch.number);
}

bool Pending::key_exists(const KeyDigest& key) {
  auto state = state_.lock();
  return state->results.contains(key) || state->links.contains(key);
}

std::vector<KeyDigest> Pending::follow(const KeyLink& link) {
  std::vector<KeyDigest> targets;
  auto state = state_.lock();
  const auto found = state->links.find(link.from);
  if (found == state->links.end()) return targets;
  for (const auto& queued : found->second)
    if (queued.value.first == link) targets.push_back(queued.value.second);
  return targets;
}

bool Pending::has_operation(const base::Sha256Bytes& operation, std::uint32_t output) {
  return state_.lock()->operations.contains({operation, output});
}

std::vector<KeyResult> Pending::results(const KeyDigest& key) {
  auto state = state_.lock();
  return values<KeyResult>(state->results, key);
}

std::vector<KeyLink> Pending::links_to(const KeyDigest& key) {
  auto state = state_.lock();
  return values<KeyLink>(state->backlinks, key);
}

std::vector<KeyDigest> Pending::keys_of(RecordId record) {
  auto state = state_.lock();
  return values<KeyDigest>(state->keys, record);
}

std::vector<RecordId> Pending::records_of(const ChainId& chain) {
  auto state = state_.lock();
  return values<RecordId>(state->chains, chain);
}

std::optional<TreeDigest> Pending::tree_digest(RecordId record, const SelectionsDigest& selections) {
  auto state = state_.lock();
  const auto found = state->digests.find(record);
  if (found == state->digests.end()) return std::nullopt;
  for (const auto& queued : found->second)
    if (queued.value.selections == selections) return queued.value.digest;
  return std::nullopt;
}

void Pending::keep_digest(const Batch::Digest& digest) {
  auto state = state_.lock();
  state->digests[digest.record].push_back({no_batch, digest});
}

std::vector<Batch::Digest> Pending::take_digests(RecordId record) {
  std::vector<Batch::Digest> taken;
  auto state = state_.lock();
  const auto found = state->digests.find(record);
  if (found == state->digests.end()) return taken;
  for (const auto& queued : found->second)
    if (queued.batch == no_batch) taken.push_back(queued.value);
  drop(state->digests, record, no_batch);
  return taken;
}

void Pending::forget_digests(RecordId record) { state_.lock()->digests.erase(record); }

}  // namespace cairn::cache

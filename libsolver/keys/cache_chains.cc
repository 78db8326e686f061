// SPDX-License-Identifier: Apache-2.0
// Adding to a chain. How it is written down is in cache_config.cc.
#include "libsolver/cache_chains.h"

#include <algorithm>

namespace cairn::solver {

using base::ErrorCode;
using base::Result;

CacheChains::Record CacheChains::current(Record record) const {
  while (items_[record].into) record = *items_[record].into;
  return record;
}

void CacheChains::link(Record from, Record to, std::size_t input, const std::string& selector) {
  items_[from].children[{input, items_[to].digest, selector}].insert(to);
  items_[to].parents[input].insert({from, selector});
}

void CacheChains::add_result(Record record, const StackResult& result) {
  std::vector<StackResult>& all = items_[record].results;
  if (std::find(all.begin(), all.end(), result) == all.end()) all.push_back(result);
}

CacheChains::Stack CacheChains::stack(std::optional<Stack> below, const std::string& blob) {
  const auto [number, is_new_blob] = blob_numbers_.try_emplace(blob, blobs_.size());
  if (is_new_blob) blobs_.push_back(&number->first);
  const std::uint64_t way = (std::uint64_t{number->second} << 32) | (below ? *below + 1 : 0);
  const auto [known, is_new] = stacks_.try_emplace(way, layers_.size());
  if (is_new) layers_.push_back({number->second, below, below ? layers_[*below].depth + 1 : 0});
  return known->second;
}

bool CacheChains::leads_to(Record from, Record to) const {
  std::set<Record> seen;
  std::vector<Record> rest = {from};
  while (!rest.empty()) {
    const Record record = rest.back();
    rest.pop_back();
    if (record == to) return true;
    if (!seen.insert(record).second) continue;
    for (const auto& [way, targets] : items_[record].children) rest.insert(rest.end(), targets.begin(), targets.end());
  }
  return false;
}

// Everything that led to or from the one now does so with the other.
void CacheChains::unite(Record from, Record into) {
  if (from == into) return;
  Item gone = std::move(items_[from]);
  items_[from] = Item{};
  items_[from].into = into;
  for (std::size_t input = 0; input < gone.parents.size(); ++input) {
    for (const Parent& parent : gone.parents[input]) {
      items_[parent.record].children[{input, gone.digest, parent.selector}].erase(from);
      if (!leads_to(into, parent.record)) link(parent.record, into, input, parent.selector);
    }
  }
  for (const auto& [way, targets] : gone.children) {
    for (const Record target : targets) {
      items_[target].parents[way.input].erase({from, way.selector});
      if (!leads_to(target, into)) link(into, target, way.input, way.selector);
    }
  }
  for (const StackResult& result : gone.results) add_result(into, result);
}

std::set<CacheChains::Record> CacheChains::children_of_all(const std::string& digest,
                                                           const std::vector<std::vector<Source>>& inputs) const {
  std::set<Record> common;
  for (std::size_t input = 0; input < inputs.size(); ++input) {
    std::set<Record> reached;
    for (const Source& source : inputs[input]) {
      const auto& children = items_[current(source.record)].children;
      const auto found = children.find({input, digest, source.selector});
      if (found != children.end()) reached.insert(found->second.begin(), found->second.end());
    }
    if (input == 0) {
      common = std::move(reached);
    } else {
      std::erase_if(common, [&](Record record) { return !reached.contains(record); });
    }
  }
  std::erase_if(common, [&](Record record) { return items_[record].parents.size() != inputs.size(); });
  return common;
}

Result<std::optional<CacheChains::Record>> CacheChains::add(const std::string& digest,
                                                            const std::vector<std::vector<Source>>& inputs,
                                                            const std::vector<ChainResult>& results) {
  std::vector<StackResult> stacked;
  for (const ChainResult& result : results) {
    std::optional<Stack> top;
    for (const std::string& blob : result.layers) top = stack(top, blob);
    stacked.push_back({top, result.created});
  }
  return add_stacks(digest, inputs, stacked);
}

Result<std::optional<CacheChains::Record>> CacheChains::add_stacks(const std::string& digest,
                                                                   const std::vector<std::vector<Source>>& inputs,
                                                                   const std::vector<StackResult>& results) {
  if (digest.starts_with("random:")) return std::optional<Record>();
  for (const std::vector<Source>& sources : inputs) {
    if (sources.empty()) return base::fail(ErrorCode::invalid_argument, "empty dependency for {}", digest);
    for (const Source& source : sources) {
      if (source.record >= items_.size()) return base::fail(ErrorCode::invalid_argument, "no record {}", source.record);
    }
  }
  Record record = items_.size();
  if (inputs.empty()) {
    const auto [root, is_new] = roots_.try_emplace(digest, record);
    if (is_new) items_.push_back({.digest = digest, .parents = {}, .children = {}, .results = {}, .into = {}});
    record = root->second;
  } else if (const std::set<Record> equal = children_of_all(digest, inputs); !equal.empty()) {
    record = *equal.begin();
    for (const Record other : equal) unite(other, record);
  } else {
    items_.push_back({.digest = digest, .parents = {}, .children = {}, .results = {}, .into = {}});
    items_.back().parents.resize(inputs.size());
  }
  for (const StackResult& result : results) add_result(record, result);
  const bool has_children = !items_[record].children.empty();
  for (std::size_t input = 0; input < inputs.size(); ++input) {
    for (const Source& source : inputs[input]) {
      const Record from = current(source.record);
      if (from == record || items_[record].parents[input].contains({from, source.selector})) continue;
      if (has_children && leads_to(record, from)) continue;
      link(from, record, input, source.selector);
    }
  }
  return std::optional(record);
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// Builds the description of a cache that other builders read: records that are linked by how they were found, and the
// layers of their results (spec/storage 5.1-5.4, "application/vnd.buildkit.cacheconfig.v0").
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "libbase/clock.h"
#include "libbase/digest.h"
#include "libbase/result.h"

namespace cairn::solver {

// One result: its layers, the lowest first, by the digests of their blobs.
struct ChainResult {
  std::vector<std::string> layers;
  base::WallTime created{};
};

struct CacheConfig {
  struct Layer {
    std::string blob;
    std::int64_t parent = -1;  // index; -1: none
  };
  struct Input {
    std::string selector;
    std::size_t link = 0;  // index of a record
  };
  struct Record {
    std::string digest;
    std::vector<std::vector<Input>> inputs;  // by input: the alternatives
    std::optional<std::size_t> layer;        // the topmost one of the result
    base::WallTime created{};
  };
  std::vector<Layer> layers;
  std::vector<Record> records;
  // Compact, field for field as Go writes it, so that equal configs have equal digests. more: what follows in the
  // object of a layer, ",…" or nothing.
  std::string json(const std::function<std::string(const Layer&)>& more = {}) const;
  // The list of records alone. result: what the object of a record begins with, "…," or nothing.
  std::string records_json(const std::function<std::string(const Record&)>& result) const;
};

// Not thread-safe.
class CacheChains {
 public:
  CacheChains() = default;
  CacheChains(CacheChains&&) = default;  // a copy would name the blobs of the first
  CacheChains& operator=(CacheChains&&) = default;

  using Record = std::size_t;
  struct Source {
    Record record;
    std::string selector;  // "": none
  };

  // Adds a record, or results and links to the one that is equal: the same digest, and some source of each input in
  // common. nullopt: the digest is a session's ("random:…") and is never exported. A source that the record itself
  // leads to is left out. Errors: invalid_argument (an input without a source, a record that is not ours).
  base::Result<std::optional<Record>> add(const std::string& digest, const std::vector<std::vector<Source>>& inputs,
                                          const std::vector<ChainResult>& results);

  // Layers on each other, by the topmost. Equal stacks are one, and cost what they have above others.
  using Stack = std::size_t;
  Stack stack(std::optional<Stack> below, const std::string& blob);
  // As add(), a result of layers that are stacked here. nullopt: of none.
  struct StackResult {
    std::optional<Stack> layers;
    base::WallTime created{};
    bool operator==(const StackResult&) const = default;
  };
  base::Result<std::optional<Record>> add_stacks(const std::string& digest,
                                                 const std::vector<std::vector<Source>>& inputs,
                                                 const std::vector<StackResult>& results);
  // In one order for equal content, whatever order it was added in.
  CacheConfig config() const;

 private:
  struct Parent {
    Record record;
    std::string selector;
    auto operator<=>(const Parent&) const = default;
  };
  struct Child {
    std::size_t input;
    std::string digest, selector;
    auto operator<=>(const Child&) const = default;
  };
  struct Item {
    std::string digest;
    std::vector<std::set<Parent>> parents;  // by input
    std::map<Child, std::set<Record>> children;
    std::vector<StackResult> results;
    std::optional<Record> into;  // it turned out equal to that one
  };
  struct StackedLayer {
    std::size_t blob;  // its number
    std::optional<Stack> below;
    std::size_t depth;  // how many are below
  };
  Record current(Record record) const;
  void link(Record from, Record to, std::size_t input, const std::string& selector);
  void unite(Record from, Record into);
  void add_result(Record record, const StackResult& result);
  bool is_stack_less(std::optional<Stack> a, std::optional<Stack> b) const;
  const StackResult* best_result(const Item& item) const;
  std::optional<std::size_t> place_layers(std::optional<Stack> top, std::vector<std::optional<std::size_t>>& places,
                                          std::vector<CacheConfig::Layer>& layers) const;
  bool leads_to(Record from, Record to) const;
  std::set<Record> children_of_all(const std::string& digest, const std::vector<std::vector<Source>>& inputs) const;

  std::vector<Item> items_;
  std::map<std::string, Record> roots_;
  std::unordered_map<std::string, std::size_t> blob_numbers_;
  std::vector<const std::string*> blobs_;            // by number
  std::unordered_map<std::uint64_t, Stack> stacks_;  // by a blob's number, and one more than the stack below or 0
  std::vector<StackedLayer> layers_;
};

}  // namespace cairn::solver

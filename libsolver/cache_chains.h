// SPDX-License-Identifier: Apache-2.0
// Builds the description of a cache that other builders read: records that are linked by how they were found, and the
// layers of their results (spec/storage 5.1-5.4, "application/vnd.buildkit.cacheconfig.v0").
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
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
  // Compact, field for field as Go writes it, so that equal configs have equal digests.
  std::string json() const;
};

// Not thread-safe.
class CacheChains {
 public:
  using Record = std::size_t;
  struct Source {
    Record record;
    std::string selector;  // "": none
  };

  // Adds a record, or results and links to the one that is equal: the same digest, and some source of each input in
  // common. nullopt: the digest is a session's ("random:…") and is never exported. A source that the record itself leads
  // to is left out. Errors: invalid_argument (an input without a source, a record that is not ours).
  base::Result<std::optional<Record>> add(const std::string& digest, const std::vector<std::vector<Source>>& inputs,
                                          std::vector<ChainResult> results);
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
    std::vector<ChainResult> results;
    std::optional<Record> into;  // it turned out equal to that one
  };
  Record current(Record record) const;
  void link(Record from, Record to, std::size_t input, const std::string& selector);
  void unite(Record from, Record into);
  void add_result(Record record, ChainResult result);
  bool leads_to(Record from, Record to) const;
  std::set<Record> children_of_all(const std::string& digest, const std::vector<std::vector<Source>>& inputs) const;

  std::vector<Item> items_;
  std::map<std::string, Record> roots_;
};

}  // namespace cairn::solver

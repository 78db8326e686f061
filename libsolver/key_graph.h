// SPDX-License-Identifier: Apache-2.0
// How the result of a solve was found or made: its edges with all the keys that were known of them at the end. Exporters
// write it down for other builders, together with what the store knows beyond.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "libsolver/cache_chains.h"
#include "libsolver/cache_map.h"
#include "libsolver/result_store.h"

namespace cairn::solver {

struct KeyGraph {
  struct Source {
    std::size_t edge = 0;
    std::optional<SelectorDigest> selector;
  };
  struct Edge {
    std::vector<OpDigest> operations;  // of a source: of each of its maps; else one
    std::uint32_t output = 0;
    std::vector<std::vector<Source>> inputs;       // by input: edges that turned out to be it
    std::vector<std::vector<KeyDigest>> contents;  // by input: its content keys
    std::vector<KeyDigest> ids;                    // under which the store has it
    bool complete = false;
    OptionalRef ref;                               // if it is complete
    std::optional<bool> export_result;             // OpMetadata.export_cache
  };
  std::vector<Edge> edges;
  std::size_t result = 0;
};

struct ExportOptions {
  // min: the layers of the result only, of other steps those that exist already. max: those of every step.
  enum class Mode { min, max } mode = Mode::min;
  enum class Roots { keys_only, with_results } roots = Roots::keys_only;
  enum class Backlinks { follow, ignore } backlinks = Backlinks::follow;  // other ways that the store knows
  // The layers of a result, by blob digest, the lowest first; nullopt: it has none. `existing` makes nothing.
  std::function<base::Result<std::optional<std::vector<std::string>>>(const OptionalRef&)> existing;
  std::function<base::Result<std::optional<std::vector<std::string>>>(const OptionalRef&)> create;
};

// Adds all records that lead to the graph's result, and those results that the options ask for (spec/storage 5.5). Keys
// that must not leave this store are left out. A result that is gone is no result. Errors: those of the callbacks and of
// reading `store`.
base::Status export_keys(const KeyGraph& graph, ResultStore& store, const ExportOptions& options, CacheChains& into);

}  // namespace cairn::solver

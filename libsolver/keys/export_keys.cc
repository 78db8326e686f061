// SPDX-License-Identifier: Apache-2.0
// From what a solve knows, and what the store knows beyond, to a chain of records. From the result downward it is decided
// which layers go along; from the bottom upward the records are added.
#include <algorithm>
#include <map>

#include "libsolver/cache_key.h"
#include "libsolver/key_graph.h"

namespace cairn::solver {
namespace {

using base::Result;
using base::Status;
using Records = std::vector<CacheChains::Record>;
using Sources = std::vector<std::vector<CacheChains::Source>>;
using Reader = cache::KeyStore::Reader;

std::string selector_text(const base::Sha256Bytes& selector) {
  return selector == base::Sha256Bytes{} ? "" : "sha256:" + base::to_hex(selector);
}

class Exporter {
 public:
  Exporter(const KeyGraph& graph, ResultStore& store, const ExportOptions& options, CacheChains& chains, Reader& reader)
      : graph_(graph), store_(store), options_(options), chains_(chains), reader_(reader) {}

  Status run() {
    TRY(visit());
    for (const std::size_t edge : bottom_up_) TRY(add_edge(edge));
    return {};
  }

 private:
  enum class Layers { existing_only, existing_or_new };
  struct Plan {
    bool visited = false;
    std::vector<ChainResult> results;
    std::vector<cache::RecordId> found;  // the record that was looked at, if any
    Records records;
  };
  struct Frame {
    std::size_t edge;
    Layers layers;
    std::size_t next = 0;
    std::vector<std::size_t> inputs;
  };

  // Depth first, as BuildKit does it: the first way to an edge decides about its layers.
  Status visit() {
    plans_.resize(graph_.edges.size());
    const Layers all = Layers::existing_or_new;
    std::vector<Frame> stack;
    const auto enter = [&](std::size_t edge, Layers layers) -> Status {
      plans_[edge].visited = true;
      stack.push_back({edge, TRY(choose_result(edge, layers)), 0, {}});
      for (const auto& sources : graph_.edges[edge].inputs) {
        for (const KeyGraph::Source& source : sources) stack.back().inputs.push_back(source.edge);
      }
      return {};
    };
    TRY(enter(graph_.result, all));
    while (!stack.empty()) {
      Frame& frame = stack.back();
      if (frame.next == frame.inputs.size()) {
        bottom_up_.push_back(frame.edge);
        stack.pop_back();
        continue;
      }
      const std::size_t input = frame.inputs[frame.next++];
      if (!plans_[input].visited) TRY(enter(input, frame.layers));
    }
    return {};
  }

  // Returns what is left to the edges below it.
  Result<Layers> choose_result(std::size_t index, Layers layers) {
    const KeyGraph::Edge& edge = graph_.edges[index];
    Plan& plan = plans_[index];
    const bool wanted = !edge.inputs.empty() || options_.roots == ExportOptions::Roots::with_results;
    if (!wanted || !edge.export_result.value_or(true)) return layers;
    for (const cache::KeyResult& candidate : TRY(candidates(edge))) {
      const bool own = edge.complete && candidate.record == (edge.ref ? edge.ref->id() : cache::RecordId());
      OptionalRef ref = edge.ref;
      if (!own) {
        auto loaded = store_.load(candidate, {});
        if (!loaded || !*loaded) continue;
        ref = std::move(**loaded);
      }
      plan.found.push_back(candidate.record);
      auto blobs = TRY(options_.existing(ref));
      if (!blobs && layers == Layers::existing_or_new) blobs = TRY(options_.create(ref));
      if (!blobs) return layers;
      plan.results.push_back({std::move(*blobs), candidate.created});
      return options_.mode == ExportOptions::Mode::min ? Layers::existing_only : layers;
    }
    return layers;
  }

  // The solve's own result first, then what the store has, newest first.
  Result<std::vector<cache::KeyResult>> candidates(const KeyGraph::Edge& edge) {
    std::vector<cache::KeyResult> all;
    for (const KeyDigest& id : edge.ids) {
      for (const cache::KeyResult& result : TRY(reader_.results(id))) all.push_back(result);
    }
    const cache::RecordId own = edge.ref ? edge.ref->id() : cache::RecordId();
    const auto rank = [&](const cache::KeyResult& r) { return edge.complete && r.record == own ? 0 : 1; };
    std::stable_sort(all.begin(), all.end(), [&](const cache::KeyResult& a, const cache::KeyResult& b) {
      return rank(a) != rank(b) ? rank(a) < rank(b) : a.created > b.created;
    });
    if (edge.complete && (all.empty() || rank(all.front()) != 0)) all.insert(all.begin(), {own, {}});  // not stored
    return all;
  }

  Status add_edge(std::size_t index) {
    const KeyGraph::Edge& edge = graph_.edges[index];
    if (edge.inputs.empty()) return add_source(index);
    Sources sources(edge.inputs.size());
    for (std::size_t i = 0; i < edge.inputs.size(); ++i) {
      for (const KeyGraph::Source& source : edge.inputs[i]) {
        for (const CacheChains::Record record : plans_[source.edge].records) {
          sources[i].push_back({record, source.selector ? source.selector->str() : ""});
        }
      }
      for (const KeyDigest& content : edge.contents[i]) {
        if (const auto record = TRY(chains_.add(content.str(), {}, {}))) sources[i].push_back({*record, ""});
      }
    }
    const OpDigest& operation = edge.operations.back();
    if (options_.backlinks == ExportOptions::Backlinks::follow) {
      for (const KeyDigest& id : edge.ids) TRY(add_sources_of(id, sources, &operation, edge.output));
    }
    if (std::any_of(sources.begin(), sources.end(), [](const auto& each) { return each.empty(); })) return {};
    const auto record = TRY(chains_.add(root_key(operation, edge.output).str(), sources, plans_[index].results));
    if (record) plans_[index].records = {*record};
    return {};
  }

  Status add_source(std::size_t index) {
    const KeyGraph::Edge& edge = graph_.edges[index];
    Plan& plan = plans_[index];
    for (const OpDigest& operation : edge.operations) {
      if (operation.scope != OpDigest::Scope::portable) continue;
      const KeyDigest key = root_key(operation, edge.output);
      if (std::find(edge.ids.begin(), edge.ids.end(), key) == edge.ids.end()) continue;
      if (const auto record = TRY(chains_.add(key.str(), {}, plan.results))) plan.records.push_back(*record);
    }
    // The same result under other names.
    for (const cache::RecordId record : plan.found) {
      if (!record) continue;
      for (const KeyDigest& key : TRY(reader_.keys_of(record))) {
        const bool root = TRY(reader_.links_to(key)).empty() && !is_private(key);
        if (root) TRY(chains_.add(key.str(), {}, plan.results));
      }
    }
    return {};
  }

  // Every way that the store knows to `id`, by this operation if one is given.
  Status add_sources_of(const KeyDigest& id, Sources& sources, const OpDigest* operation, std::uint32_t output) {
    for (const cache::KeyLink& link : TRY(reader_.links_to(id))) {
      if (operation && (link.operation != operation->hash || link.output != output)) continue;
      if (link.input >= sources.size()) {
        if (operation) continue;
        sources.resize(link.input + 1);
      }
      if (const auto record = TRY(add_stored(link.from))) sources[link.input].push_back({*record, selector_text(link.selector)});
    }
    return {};
  }

  // A key that only the store knows, with all that leads to it. nullopt: it is private, or stands on what is.
  Result<std::optional<CacheChains::Record>> add_stored(const KeyDigest& id) {
    const auto [known, is_new] = stored_.try_emplace(id);
    if (!is_new) return known->second;
    const std::vector<cache::KeyLink> links = TRY(reader_.links_to(id));
    std::optional<CacheChains::Record> record;
    if (links.empty()) {
      if (!is_private(id)) record = TRY(chains_.add(id.str(), {}, {}));
    } else {
      Sources sources;
      TRY(add_sources_of(id, sources, nullptr, 0));
      const bool complete = !sources.empty() && std::none_of(sources.begin(), sources.end(), [](const auto& s) { return s.empty(); });
      OpDigest operation;
      operation.hash = links.front().operation;
      if (complete) record = TRY(chains_.add(root_key(operation, links.front().output).str(), sources, {}));
    }
    stored_[id] = record;
    return record;
  }

  const KeyGraph& graph_;
  ResultStore& store_;
  const ExportOptions& options_;
  CacheChains& chains_;
  Reader& reader_;
  std::vector<Plan> plans_;
  std::vector<std::size_t> bottom_up_;
  std::map<KeyDigest, std::optional<CacheChains::Record>> stored_;
};

}  // namespace

Status export_keys(const KeyGraph& graph, ResultStore& store, const ExportOptions& options, CacheChains& into) {
  if (graph.edges.empty()) return {};
  return store.keys().read([&](Reader& reader) { return Exporter(graph, store, options, into, reader).run(); });
}

}  // namespace cairn::solver

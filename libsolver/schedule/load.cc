// SPDX-License-Identifier: Apache-2.0
// Lookups in the solve's stores, and taking what they found.
#include <algorithm>

#include "libsolver/schedule/run.h"

namespace cairn::solver {

using base::Result;

Result<std::vector<KeyDigest>> Run::follow(const cache::KeyLink& link) {
  std::vector<KeyDigest> targets = TRY(readers_.front()->follow(link));
  for (std::size_t store = 1; store < readers_.size(); ++store) {
    auto more = readers_[store]->follow(link);
    if (!more) {  // I8: another store can only make things slower
      note_error(graph_.looking(), store, more.error());
      continue;
    }
    for (const KeyDigest& target : *more) {
      if (std::find(targets.begin(), targets.end(), target) == targets.end()) targets.push_back(target);
    }
  }
  return targets;
}

Result<std::vector<Candidate>> Run::results(const KeyDigest& key) {
  std::vector<Candidate> found;
  for (std::size_t store = 0; store < readers_.size(); ++store) {
    auto results = readers_[store]->results(key);
    if (!results && store > 0) {  // I8
      note_error(graph_.looking(), store, results.error());
      continue;
    }
    for (const cache::KeyResult& result : TRY(std::move(results))) {
      if (store == 0) lookups_[graph_.looking()].found.emplace_back(result.record, key);
      found.push_back({store, result});
    }
  }
  return found;
}

void Run::load(EdgeIndex edge, const Candidate& candidate) {
  ResultStore& store = *stores_[candidate.store];
  if (store.load_cost() == ResultStore::Cost::pure && layers_ == Layers::believed) {
    auto loaded = store.load(candidate.result, jobs_stop_.get_token());
    if (loaded && *loaded && is_lost(**loaded)) loaded = std::optional<OptionalRef>();
    return take_loaded(edge, candidate, std::move(loaded));
  }
  std::stop_source& stop = loads_[edge] = std::stop_source();
  auto job = [mailbox = mailbox_, &store, candidate, stop = stop.get_token(), this, edge](std::stop_token) {
    auto loaded = std::make_shared<Result<std::optional<OptionalRef>>>(store.load(candidate.result, stop));
    const bool is_lazy = *loaded && **loaded && ***loaded && (***loaded)->is_lazy();
    if (is_lazy && (layers_ == Layers::believed ? is_lost(***loaded) : !shared_.origins.has_layers(****loaded, stop)))
      *loaded = std::optional<OptionalRef>();
    mailbox->post([this, edge, candidate, loaded] {
      loads_.erase(edge);
      finish_job([&] { take_loaded(edge, candidate, std::move(*loaded)); });
    });
  };
  const base::Status queued = shared_.pool.submit(std::move(job));
  if (!queued) {
    loads_.erase(edge);
    return take_loaded(edge, candidate, tl::unexpected(queued.error()));
  }
  ++outstanding_;
}

void Run::stop_load(EdgeIndex edge) {
  if (const auto load = loads_.find(edge); load != loads_.end()) load->second.request_stop();
}

void Run::take_loaded(EdgeIndex edge, const Candidate& candidate, Result<std::optional<OptionalRef>> loaded) {
  if (graph_.edge(edge).state.phase == Phase::complete) return;  // its step ran meanwhile, for another output
  if (!loaded && loaded.error().code == base::ErrorCode::cancelled) return graph_.load_stopped(edge, candidate);
  if (!loaded) note_error(edge, candidate.store, loaded.error());
  if (loaded && !*loaded) note_gone(edge);
  if (!loaded || !*loaded) return graph_.load_failed(edge);
  refs_[edge] = std::move(**loaded);
  use(refs_[edge]);
  count_hit(edge, refs_[edge]);
  graph_.loaded(edge);
  report_finished(graph_.edge(edge).node, StepState::cached);
  if (candidate.store != 0) store_found(edge);
}

void Run::share(EdgeIndex edge, EdgeIndex leader) {
  refs_[edge] = refs_[leader];
  report_finished(graph_.edge(edge).node, StepState::cached);
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// One solve. The thread that calls run() owns the graph and works off what happens to its edges; whatever blocks
// (sources, content digests, processes, other stores) happens on the pool and comes back as an event. Edges are looked up
// in bursts: one read transaction of the key store for all that is to be looked up now, none while waiting.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <unordered_map>

#include "libsolver/edge/graph.h"
#include "libsolver/key_graph.h"
#include "libsolver/schedule/shared.h"

namespace cairn::solver {

// Where pool threads put what they have to say to a run. Outlives the run if work of it goes on for others; what comes
// after close() is dropped.
class Mailbox {
 public:
  using Event = std::function<void()>;
  explicit Mailbox(ProgressSink& sink) : sink_(&sink) {}
  void post(Event event);
  // Takes all events, waiting for one if there is none.
  std::deque<Event> wait();
  void close();
  // Runs f with the sink unless closed. One call at a time.
  void progress(const std::function<void(ProgressSink&)>& f);

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Event> events_;
  bool closed_ = false;
  std::mutex sink_mutex_;
  ProgressSink* sink_;
};

// A vertex while it is solved.
struct Step {
  std::shared_ptr<const Vertex> vertex;
  std::shared_ptr<Op> op;
  std::optional<IdentityFlights::Ticket> asking;  // what it is
  std::optional<Flights::Ticket> running;
  std::uint32_t attempt = 0;  // of running it; what comes of an earlier one is for others
  bool stopping = false;      // nobody wants what is running any more
  bool ran = false;           // its op ran, here or in a flight that this solve joined
  std::optional<std::chrono::steady_clock::time_point> started;
  std::chrono::nanoseconds duration{0};
  bool failed = false;
  std::string error;
  std::optional<cache::Tombstone> evicted;  // what it had made before was taken
  std::vector<KeptTree> kept;
  bool reported = false;
  cache::RecordId made;  // by its op: the first result
};

class Run final : private Graph::Host {
 public:
  // resolved: of the solve that this one is part of; null: it is its own.
  // layers: whether those of lazy results that were found are looked for before they are taken.
  enum class Layers { believed, looked_for };
  Run(SolverShared& shared, const SolveRequest& request, ProgressSink& sink, std::stop_token stop,
      std::shared_ptr<ResolverCache> resolved, Layers layers);
  SolveOutcome run();
  // It failed because of a result whose layers are nowhere to be had.
  bool lost_a_result() const { return lost_; }

 private:
  using Reader = cache::KeyStore::Reader;
  using Role = Flights::Listener::Role;

  base::Status build();
  base::Status make_ops();
  void loop();
  base::Status pump();
  base::Status look_up(std::size_t store);
  void fail_step(NodeIndex step, const base::Error& error);
  void give_up(const base::Error& error);
  void finish_job(const std::function<void()>& f);

  // Graph::Host (jobs.cc, load.cc).
  void identify(NodeIndex node, std::uint32_t index) override;
  void digest(NodeIndex node, std::uint32_t input) override;
  void execute(NodeIndex node) override;
  void stop_execution(NodeIndex node) override;
  void load(EdgeIndex edge, const Candidate& candidate) override;
  void stop_load(EdgeIndex edge) override;
  base::Result<std::vector<KeyDigest>> follow(const cache::KeyLink& link) override;
  base::Result<std::vector<Candidate>> results(const KeyDigest& key) override;
  void share(EdgeIndex edge, EdgeIndex leader) override;

  void identify_here(NodeIndex node, std::uint32_t index);
  void identify_together(NodeIndex node, std::uint32_t index, const base::Sha256Bytes& identity);
  void take_identity(NodeIndex node, base::Result<OpIdentity> identity);
  void take_digest(NodeIndex node, std::uint32_t input, const base::Result<TreeDigest>& digest);
  void take_loaded(EdgeIndex edge, const Candidate& candidate, base::Result<std::optional<OptionalRef>> loaded);
  void finish_execute(NodeIndex node, std::uint32_t attempt, const Flights::Outcome& outcome, Role role);

  // save.cc
  Flights::Work make_work(NodeIndex node, KeyPlan plan, std::vector<OptionalRef> inputs);
  void store_joined(NodeIndex node, const OpOutputs& outputs);
  void store_found(EdgeIndex edge);
  void publish(const KeyFacts& facts);

  // count.cc
  void note_error(EdgeIndex edge, std::size_t store, const base::Error& error);
  void note_gone(EdgeIndex edge);
  void count_hit(EdgeIndex edge, const OptionalRef& ref);
  void count_executed(NodeIndex node, const OpOutputs& outputs);
  void count_lookups();
  void note_lookups(SolveOutcome& outcome) const;

  // trace.cc
  void trace(base::WallTime started, std::chrono::nanoseconds duration) const;

  OpContext context(NodeIndex node, std::stop_token stop);
  // lost.cc
  bool is_lost(const OptionalRef& ref) const;
  bool failed_for_lost_input(NodeIndex index) const;
  bool fetch_result();
  // Fetches what is not here of the inputs' trees.
  static base::Status unlazy(const OpContext& context, std::span<const OptionalRef> inputs);
  void report_started(NodeIndex node);
  void report_finished(NodeIndex node, StepState state);
  SolveOutcome outcome();
  std::shared_ptr<const KeyGraph> keep_keys();
  void keep_inputs(NodeIndex node, KeyGraph::Edge& kept) const;
  void use(const OptionalRef& ref);

  SolverShared& shared_;
  const SolveRequest& request_;
  std::shared_ptr<Mailbox> mailbox_;
  std::shared_ptr<LiveCacheMounts> live_cache_mounts_ = std::make_shared<LiveCacheMounts>();
  const bool is_outermost_;  // resolved_ is its own
  std::shared_ptr<ResolverCache> resolved_;
  std::stop_token stop_;
  std::stop_source jobs_stop_;  // asks this run's own jobs (not flights) to end

  Graph graph_;
  std::vector<Step> steps_;
  std::vector<OptionalRef> refs_;         // by edge, once it is complete
  struct Lookup {
    std::optional<cache::Counters> counted;     // once it is known how it ended
    std::optional<cache::MissCause> trouble{};  // met on the way; counts if nothing is found
    std::vector<std::pair<cache::RecordId, KeyDigest>> found{};  // which key led to which result
    std::optional<KeyDigest> hit{};                              // of the result that was taken
  };
  std::vector<Lookup> lookups_;           // by edge
  std::vector<ResultStore*> stores_;      // the first is the solver's own
  std::vector<Reader*> readers_;          // of the stores, while lookups are made
  std::unordered_map<EdgeIndex, std::stop_source> loads_;  // under way on the pool
  std::optional<EdgeIndex> target_;
  std::size_t outstanding_ = 0;  // jobs whose event has not come yet
  std::optional<base::Error> error_;
  std::optional<SolveOutcome::FailedInput> failed_input_;
  bool giving_up_ = false;
  const Layers layers_;
  bool lost_ = false;
  enum class Fetch { none, running, done } fetch_ = Fetch::none;  // of the result's tree
  std::chrono::steady_clock::time_point begun_;
  base::WallTime began_{};  // the same, for what is stored
  base::lmdb::SequenceNumber durable_after_ = 0;  // highest number used or made
  std::string not_cached_;
};

// Solves; if a result turns out to be lost, again without it.
SolveOutcome solve_without_lost(SolverShared& shared, const SolveRequest& request, ProgressSink& sink,
                                const std::stop_token& stop, const std::shared_ptr<ResolverCache>& resolved = {});

}  // namespace cairn::solver

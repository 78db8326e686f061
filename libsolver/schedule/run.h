// SPDX-License-Identifier: Apache-2.0
// One solve. The thread that calls run() owns the graph and works off a line of edges that have something new; whatever
// blocks (sources, content digests, processes) happens on the pool and comes back as an event. Edges are looked up in
// bursts: one read transaction of the key store for all that is in the line, none while waiting.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>

#include "libsolver/schedule/graph.h"
#include "libsolver/solver.h"

namespace cairn::solver {

// What all solves of one engine share.
struct SolverShared {
  cache::Cache& cache;
  const base::Clock& clock;
  base::ThreadPool pool;
  Flights flights;
  std::function<base::Result<Executor*>()> executor;
  std::atomic<std::uint64_t> ops_executed{0};

  SolverShared(cache::Cache& cache_in, const base::Clock& clock_in, std::size_t threads)
      : cache(cache_in), clock(clock_in), pool({.threads = threads}), flights(pool) {}
};

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

class Run {
 public:
  Run(SolverShared& shared, const SolveRequest& request, ProgressSink& sink, std::stop_token stop);
  SolveOutcome run();

 private:
  using Reader = cache::KeyStore::Reader;
  using Role = Flights::Listener::Role;

  base::Status build();
  EdgeIndex edge_of(NodeIndex node, std::uint32_t output);
  void loop();
  void wake(EdgeIndex edge);
  void raise(EdgeIndex edge, Level desire);
  void reach(EdgeIndex edge, Level level);
  void fail_node(NodeIndex node, const base::Error& error);
  void give_up(const base::Error& error);

  // One step of an edge: does what can be done now, and asks for what is missing. See run.cc for the order.
  base::Status advance(EdgeIndex edge, Reader& reader);
  bool await_identity(EdgeIndex edge);
  bool await_inputs(EdgeIndex edge, Level level, const std::function<bool(std::size_t input)>& wanted);
  base::Status probe(EdgeIndex edge, Reader& reader);
  base::Status probe_root(EdgeIndex edge, Reader& reader);
  base::Status probe_input(EdgeIndex edge, std::size_t input, Reader& reader);
  base::Status collect_matches(EdgeIndex edge, Reader& reader);
  base::Result<bool> try_candidates(EdgeIndex edge);
  bool match_impossible(const Edge& edge) const;
  bool await_content(EdgeIndex edge, const std::function<bool(std::size_t input)>& wanted);
  void start_identify(NodeIndex node);
  void start_content(NodeIndex node, std::size_t input);
  void start_execute(NodeIndex node);
  void finish_execute(NodeIndex node, const Flights::Outcome& outcome, Role role);
  void complete(EdgeIndex edge, OptionalRef result);

  // Which rows to store with a node's results (save.cc).
  struct KeyPlan {
    std::vector<std::vector<KeyDigest>> results;  // by output
    std::vector<std::pair<cache::KeyLink, KeyDigest>> links;
  };
  KeyPlan plan_keys(NodeIndex node);
  static std::optional<cache::Tombstone> find_tombstone(cache::Cache& cache, const KeyPlan& plan);
  static void add_keys(const KeyPlan& plan, const OpOutputs& outputs, cache::Publication& publication);
  Flights::Work make_work(NodeIndex node, KeyPlan plan, std::vector<OptionalRef> inputs);
  bool is_renewed(NodeIndex node) const;
  void store_joined(NodeIndex node, const OpOutputs& outputs);

  OpContext context(NodeIndex node, std::stop_token stop);
  void report_started(NodeIndex node);
  void report_finished(NodeIndex node, StepState state);
  SolveOutcome outcome();
  void use(const cache::ImmutableRef& ref);

  SolverShared& shared_;
  const SolveRequest& request_;
  std::shared_ptr<Mailbox> mailbox_;
  std::stop_token stop_;
  std::stop_source jobs_stop_;  // asks this run's own jobs (not flights) to end

  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::deque<EdgeIndex> line_;
  std::optional<EdgeIndex> target_;
  std::size_t outstanding_ = 0;  // jobs whose event has not come yet
  std::optional<base::Error> error_;
  bool giving_up_ = false;
  base::lmdb::SequenceNumber durable_after_ = 0;  // highest number used or made
  std::string not_cached_;
};

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// The life of a solve: build the graph, work off events until the result is there or something failed, wind down.
#include "libsolver/schedule/run.h"

#include <algorithm>

#include "libcache/trace.h"

namespace cairn::solver {

Run::Run(SolverShared& shared, const SolveRequest& request, ProgressSink& sink, std::stop_token stop,
         std::shared_ptr<ResolverCache> resolved, Layers layers)
    : shared_(shared), request_(request), mailbox_(std::make_shared<Mailbox>(sink)), is_outermost_(resolved == nullptr),
      resolved_(resolved ? std::move(resolved) : std::make_shared<ResolverCache>()), stop_(std::move(stop)), layers_(layers) {
  stores_.push_back(&shared.results);
  stores_.insert(stores_.end(), request.more_results.begin(), request.more_results.end());
}

SolveOutcome Run::run() {
  begun_ = shared_.clock.steady_now();
  began_ = shared_.clock.now();
  std::vector<StepInfo> infos;
  for (const auto& vertex : request_.definition.vertices) infos.push_back({vertex->digest, vertex->name});
  mailbox_->progress([&](ProgressSink& sink) { sink.on_graph(infos); });

  const base::Status built = build();
  {
    std::stop_callback on_stop(stop_, [mailbox = mailbox_, this] {
      mailbox->post([this] {
        give_up(base::Error{base::ErrorCode::cancelled, "solve: cancelled", {}});
      });
    });
    if (!built) give_up(built.error());
    loop();
  }
  SolveOutcome result = outcome();
  count_lookups();
  note_lookups(result);
  mailbox_->close();
  if (is_outermost_) resolved_->let_go();
  result.duration = shared_.clock.steady_now() - begun_;
  if (shared_.trace != nullptr && shared_.trace->is_on()) trace(began_, result.duration);
  return result;
}

base::Status Run::build() {
  const Definition& definition = request_.definition;
  for (const auto& vertex : definition.vertices) {
    std::vector<Graph::Input> inputs;
    for (const VertexInput& input : vertex->inputs) inputs.push_back({input.vertex, input.output});
    const bool ignore_cache = vertex->ignore_cache || request_.use_cache == UseCache::no;
    graph_.add_node(inputs, ignore_cache ? UseCache::no : UseCache::yes);
    steps_.emplace_back().vertex = vertex;
  }
  if (!definition.result) return {};
  target_ = graph_.edge_of(definition.result->vertex, definition.result->output);
  refs_.resize(graph_.edges());
  lookups_.resize(graph_.edges());
  TRY(make_ops());
  graph_.want(*target_, Phase::complete);
  return {};
}

base::Status Run::make_ops() {
  for (NodeIndex i = 0; i < steps_.size(); ++i) {
    Step& step = steps_[i];
    auto op = shared_.make_op(step.vertex, request_);
    if (!op) {
      step.failed = true;
      step.error = op.error().message;
      return tl::unexpected(base::add_context(std::move(op).error(), step.vertex->name));
    }
    step.op = std::move(*op);
    for (const auto& [output, edge] : graph_.node(i).edges) {
      if (output < step.op->outputs()) continue;
      return base::fail(base::ErrorCode::invalid_argument, "{}: a step takes output {}, but it has {}", step.vertex->name,
                        output, step.op->outputs());
    }
  }
  return {};
}

// Works off what can be done without waiting. Readers are opened when there is something to look up.
base::Status Run::pump() { return graph_.pump_to_lookup(*this) ? look_up(0) : base::Status(); }

base::Status Run::look_up(std::size_t store) {
  if (store == stores_.size()) return graph_.pump(*this);
  return stores_[store]->keys().read([&](Reader& reader) -> base::Status {
    readers_.push_back(&reader);
    const base::Status done = look_up(store + 1);
    readers_.pop_back();
    return done;
  });
}

void Run::loop() {
  while (true) {
    if (!giving_up_ && !graph_.idle()) {
      if (const base::Status read = pump(); !read && !giving_up_) give_up(read.error());
    }
    const bool complete = target_ && graph_.edge(*target_).state.phase == Phase::complete;
    const bool reached = complete && (giving_up_ || !fetch_result());
    if ((reached || !target_) && !giving_up_) give_up(base::Error{});  // winds down what is still running
    if (outstanding_ == 0 && giving_up_) return;
    CHECK(outstanding_ > 0, "a solve has nothing left to do and no result");
    for (Mailbox::Event& event : mailbox_->wait()) event();
  }
}

void Run::use(const OptionalRef& ref) {
  if (ref) durable_after_ = std::max(durable_after_, shared_.cache.sequence_of(*ref));
}

void Run::fail_step(NodeIndex index, const base::Error& error) {
  Step& step = steps_[index];
  if (giving_up_) return;  // it ended because we are giving up
  lost_ = failed_for_lost_input(index);
  step.failed = true;
  step.error = error.message;
  report_finished(index, StepState::failed);
  give_up(base::add_context(error, step.vertex->name));
}

void Run::give_up(const base::Error& error) {
  if (giving_up_) return;
  giving_up_ = true;
  if (!error.message.empty()) error_ = error;
  jobs_stop_.request_stop();
  for (auto& [edge, stop] : loads_) stop.request_stop();
  for (Step& step : steps_) {
    // What goes on for others is not waited for.
    if (step.asking && shared_.identities.leave(*step.asking) == IdentityFlights::Left::others_wait) {
      step.asking.reset();
      --outstanding_;
    }
    if (step.running && shared_.flights.leave(*step.running) == Flights::Left::others_wait) {
      step.running.reset();
      --outstanding_;
    }
  }
}

// The last thing that a job of this run does, on the run's thread.
void Run::finish_job(const std::function<void()>& f) {
  --outstanding_;
  if (!giving_up_) f();
}

}  // namespace cairn::solver

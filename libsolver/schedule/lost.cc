// SPDX-License-Identifier: Apache-2.0
// Results whose layers turn out to be nowhere to be had. A lazy result is a hit because somebody has said that its
// layers exist; if they are gone, or are other bytes, when they are needed, whoever needed them cannot go on. Then the
// solve is made once more, without such results: what was done meanwhile is found, and the step is run whose result it
// was (I8).
#include <algorithm>

#include "libsolver/lost.h"
#include "libsolver/schedule/run.h"

namespace cairn::solver {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

// Each time one more layer may turn out to be gone. From the second time on layers are looked for before they are relied
// on, so that it comes to an end.
constexpr int rounds_max = 8;

}  // namespace

Status Run::unlazy(const OpContext& context, std::span<const OptionalRef> inputs) {
  for (const OptionalRef& input : inputs) {
    if (!input || !input->is_lazy()) continue;
    Status here = context.cache.unlazy(*input, context.origins->provider(context.bytes), context.stop);
    if (!here && may_be_lost(here.error())) context.origins->lose(*input);
    TRY(std::move(here));
  }
  return {};
}

bool Run::is_lost(const OptionalRef& ref) const { return ref && ref->is_lazy() && shared_.origins.is_lost(*ref); }

// Because of an input that cannot be had: then the solve is to be made again.
bool Run::failed_for_lost_input(NodeIndex index) const {
  const auto& inputs = graph_.node(index).inputs;
  return std::any_of(inputs.begin(), inputs.end(), [&](EdgeIndex input) { return is_lost(refs_[input]); });
}

// The result's tree, if the request wants it to be here. True: it is not yet.
bool Run::fetch_result() {
  if (fetch_ == Fetch::done || request_.tree == SolveRequest::Tree::lazy) return false;
  if (fetch_ == Fetch::running) return true;
  OptionalRef ref = refs_[*target_];
  if (!ref || !ref->is_lazy()) return false;
  const NodeIndex index = graph_.edge(*target_).node;
  fetch_ = Fetch::running;
  auto job = [mailbox = mailbox_, ref, talk = context(index, jobs_stop_.get_token()), this](std::stop_token) mutable {
    const Status here = unlazy(talk, {&ref, 1});
    ref.reset();
    mailbox->post([this, here] {
      finish_job([&] {
        fetch_ = Fetch::done;
        if (here) return;
        lost_ = lost_ || is_lost(refs_[*target_]);
        give_up(base::add_context(here.error(), "fetch the result"));
      });
    });
  };
  const Status queued = shared_.pool.submit(std::move(job));
  if (!queued) give_up(queued.error());
  if (queued) ++outstanding_;
  return true;
}

SolveOutcome solve_without_lost(SolverShared& shared, const SolveRequest& request, ProgressSink& sink,
                                const std::stop_token& stop, const std::shared_ptr<ResolverCache>& resolved) {
  const auto begun = shared.clock.steady_now();
  std::vector<std::string> warnings;
  std::map<VertexDigest, StepResult> executed;  // before the last time
  for (int round = 1;; ++round) {
    Run run(shared, request, sink, stop, resolved, round == 1 ? Run::Layers::believed : Run::Layers::looked_for);
    SolveOutcome outcome = run.run();
    const std::string error = outcome.status ? std::string() : outcome.status.error().message;
    // What fails again in the same way, such as a layer of an image, can be made by nobody.
    const bool is_new = warnings.empty() || !warnings.back().starts_with(error);
    if (run.lost_a_result() && is_new && round < rounds_max && !stop.stop_requested()) {
      warnings.push_back(error + "; what it was made by is done again");
      for (StepResult& step : outcome.steps)
        if (step.state == StepState::executed) executed.insert_or_assign(step.digest, std::move(step));
      continue;
    }
    for (StepResult& step : outcome.steps) {
      const auto before = executed.find(step.digest);
      if (step.state == StepState::cached && before != executed.end()) step = before->second;
    }
    if (outcome.status) outcome.warnings.insert(outcome.warnings.begin(), warnings.begin(), warnings.end());
    outcome.duration = shared.clock.steady_now() - begun;
    return outcome;
  }
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// What a solve says while it runs and at its end.
#include "libsolver/schedule/run.h"

namespace cairn::solver {

void Run::report_started(NodeIndex index) {
  Node& node = nodes_[index];
  if (node.started) return;
  node.started = shared_.clock.steady_now();
  mailbox_->progress([&](ProgressSink& sink) { sink.on_started(index); });
}

void Run::report_finished(NodeIndex index, StepState state) {
  Node& node = nodes_[index];
  if (node.reported) return;
  node.reported = true;
  if (node.started) node.duration = shared_.clock.steady_now() - *node.started;
  mailbox_->progress([&](ProgressSink& sink) { sink.on_finished(index, state, node.duration, node.error); });
}

SolveOutcome Run::outcome() {
  SolveOutcome result;
  if (error_) {
    result.status = tl::unexpected(*error_);
  } else if (durable_after_ > 0) {
    // Nothing is reported that a power cut could take back.
    if (const base::Status durable = shared_.cache.writer().wait_durable(durable_after_, stop_); !durable) {
      not_cached_ = durable.error().message;
    }
  }
  for (NodeIndex i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    StepState state = error_ ? StepState::cancelled : StepState::cached;
    if (node.failed) {
      state = StepState::failed;
    } else if (node.ran) {
      state = StepState::executed;
    } else if (node.hit) {
      state = StepState::cached;
    }
    report_finished(i, state);
    result.steps.push_back({node.vertex->digest, node.vertex->name, state, node.duration, node.error, node.evicted});
  }
  if (!error_ && target_) result.result = edges_[*target_].result;
  result.not_cached = not_cached_;
  return result;
}

}  // namespace cairn::solver

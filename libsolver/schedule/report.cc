// SPDX-License-Identifier: Apache-2.0
// What a solve says while it runs and at its end.
#include "libsolver/schedule/run.h"

namespace cairn::solver {

void Run::report_started(NodeIndex index) {
  Step& step = steps_[index];
  if (step.started) return;
  step.started = shared_.clock.steady_now();
  mailbox_->progress([&](ProgressSink& sink) { sink.on_started(index); });
}

void Run::report_finished(NodeIndex index, StepState state) {
  Step& step = steps_[index];
  if (step.reported) return;
  step.reported = true;
  if (step.started) step.duration = shared_.clock.steady_now() - *step.started;
  mailbox_->progress([&](ProgressSink& sink) { sink.on_finished(index, state, step.duration, step.error); });
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
  for (NodeIndex i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    StepState state = error_ ? StepState::cancelled : StepState::cached;
    if (step.failed) {
      state = StepState::failed;
    } else if (step.ran) {
      state = StepState::executed;
    } else if (step.reported) {
      state = StepState::cached;
    }
    report_finished(i, state);
    result.steps.push_back({step.vertex->digest, step.vertex->name, state, step.duration, step.error, step.evicted, step.kept});
    result.steps.back().made = step.made;
    if (step.started) result.steps.back().started = *step.started - begun_;
  }
  if (!error_ && target_) result.result = refs_[*target_];
  result.not_cached = not_cached_;
  if (result.status && target_ && request_.keys == SolveRequest::Keys::keep) result.keys = keep_keys();
  result.failed_input = std::move(failed_input_);
  return result;
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// The progress of a build of several solves, one after the other, as one list of steps.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "libsolver/progress.h"

namespace cairn::engine {

// For one thread, and for the solves that it waits for.
class BuildProgress final : public solver::ProgressSink {
 public:
  explicit BuildProgress(solver::ProgressSink& all) : all_(all) {}

  void on_graph(std::span<const solver::StepInfo> steps) override {
    first_ = steps_.size();
    steps_.insert(steps_.end(), steps.begin(), steps.end());
    all_.on_graph(steps_);
  }
  void on_started(std::size_t step) override { all_.on_started(first_ + step); }
  void on_output(std::size_t step, solver::Stream stream, std::string_view bytes) override {
    all_.on_output(first_ + step, stream, bytes);
  }
  void on_bytes(std::size_t step, std::uint64_t done, std::uint64_t total) override {
    all_.on_bytes(first_ + step, done, total);
  }
  void on_finished(std::size_t step, solver::StepState state, std::chrono::nanoseconds duration,
                   std::string_view error) override {
    all_.on_finished(first_ + step, state, duration, error);
  }

  // A step that is no vertex of a graph: `work` gives a Status or a Result, and is told about if it takes time.
  template <class Work>
  auto step(const std::string& name, Work&& work) {
    const solver::StepInfo info{solver::VertexDigest{}, name};
    on_graph({&info, 1});
    const auto begun = std::chrono::steady_clock::now();
    on_started(0);
    auto done = std::forward<Work>(work)();
    on_finished(0, done ? solver::StepState::executed : solver::StepState::failed,
                std::chrono::steady_clock::now() - begun, done ? std::string() : done.error().message);
    return done;
  }

 private:
  solver::ProgressSink& all_;
  std::vector<solver::StepInfo> steps_;
  std::size_t first_ = 0;  // of the solve that runs
};

}  // namespace cairn::engine

// SPDX-License-Identifier: Apache-2.0
// What a solve tells while it runs. Steps are numbered as the vertices of the definition.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "libsolver/digests.h"
#include "libsolver/executor.h"

namespace cairn::solver {

enum class StepState { executed, cached, failed, cancelled };
std::string_view to_string(StepState state);

struct StepInfo {
  VertexDigest digest;
  std::string name;
};

// Called from several threads, one call at a time. Must not call back into the solver, and should not block.
class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  // Before anything else. A build of several graphs tells again when it has a further one: then the list begins with the
  // earlier one and is longer. Any other list begins anew (the work was taken up by another process).
  virtual void on_graph(std::span<const StepInfo> steps) = 0;
  virtual void on_started(std::size_t step) = 0;
  virtual void on_output(std::size_t step, Stream stream, std::string_view bytes) = 0;
  virtual void on_bytes(std::size_t step, std::uint64_t done, std::uint64_t total) = 0;  // total 0: not known
  virtual void on_finished(std::size_t step, StepState state, std::chrono::nanoseconds duration,
                           std::string_view error) = 0;
};

class NoProgress final : public ProgressSink {
 public:
  void on_graph(std::span<const StepInfo>) override {}
  void on_started(std::size_t) override {}
  void on_output(std::size_t, Stream, std::string_view) override {}
  void on_bytes(std::size_t, std::uint64_t, std::uint64_t) override {}
  void on_finished(std::size_t, StepState, std::chrono::nanoseconds, std::string_view) override {}
};

}  // namespace cairn::solver

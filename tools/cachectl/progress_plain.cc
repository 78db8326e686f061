// SPDX-License-Identifier: Apache-2.0
// Progress as lines: "#3 [exec make]", "#3 0.412 <output>", "#3 DONE 1.2s". One step's output lines are whole.
#include <algorithm>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "tools/cachectl/command.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/progress_live.h"
#include "tools/cachectl/progress_view.h"

namespace cairn::cachectl {
namespace {

using solver::StepState;

class PlainView final : public solver::ProgressSink {
 public:
  void on_graph(std::span<const solver::StepInfo> steps) override {
    if (!goes_on(steps_, steps)) {
      unfinished_.clear();
      announced_.clear();
    }
    steps_.assign(steps.begin(), steps.end());
  }
  void on_started(std::size_t step) override { announce(step); }
  void on_output(std::size_t step, solver::Stream, std::string_view bytes) override {
    announce(step);
    std::string& line = unfinished_[step];
    for (char c : bytes) {
      if (c != '\n') {
        if (line.size() < line_bytes_max) line += c;
        continue;
      }
      std::cerr << '#' << step + 1 << ' ' << printable(line) << '\n';
      line.clear();
    }
  }
  void on_bytes(std::size_t, std::uint64_t, std::uint64_t) override {}
  void on_finished(std::size_t step, StepState state, std::chrono::nanoseconds duration,
                   std::string_view error) override {
    announce(step);
    if (auto line = unfinished_.find(step); line != unfinished_.end() && !line->second.empty()) {
      std::cerr << '#' << step + 1 << ' ' << printable(line->second) << '\n';
    }
    unfinished_.erase(step);
    std::cerr << '#' << step + 1 << ' ';
    switch (state) {
      case StepState::executed: std::cerr << "DONE " << human_duration(duration) << '\n'; break;
      case StepState::cached: std::cerr << "CACHED\n"; break;
      case StepState::cancelled: std::cerr << "CANCELED\n"; break;
      case StepState::failed: std::cerr << "ERROR: " << printable(error) << '\n'; break;
    }
  }

 private:
  static constexpr std::size_t line_bytes_max = 64 << 10;

  void announce(std::size_t step) {
    if (!announced_.emplace(step, true).second || step >= steps_.size()) return;
    std::cerr << '#' << step + 1 << ' ' << shown_name(steps_, step) << '\n';
  }

  std::vector<solver::StepInfo> steps_;
  std::map<std::size_t, std::string> unfinished_;
  std::map<std::size_t, bool> announced_;
};

// One JSON object a line; the schema is in docs/formats/cachectl-json.md.
class JsonView final : public solver::ProgressSink {
 public:
  void on_graph(std::span<const solver::StepInfo> steps) override {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const auto& step : steps) list.push_back({{"digest", step.digest.str()}, {"name", step.name}});
    print({{"event", "graph"}, {"format", 1}, {"steps", std::move(list)}});
  }
  void on_started(std::size_t step) override { print({{"event", "started"}, {"step", step}}); }
  void on_output(std::size_t step, solver::Stream stream, std::string_view bytes) override {
    print({{"event", "output"}, {"step", step}, {"stream", static_cast<int>(stream)}, {"text", std::string(bytes)}});
  }
  void on_bytes(std::size_t step, std::uint64_t done, std::uint64_t total) override {
    print({{"event", "bytes"}, {"step", step}, {"done", done}, {"total", total}});
  }
  void on_finished(std::size_t step, StepState state, std::chrono::nanoseconds duration,
                   std::string_view error) override {
    print({{"event", "finished"}, {"step", step}, {"state", std::string(solver::to_string(state))},
           {"duration_ns", duration.count()}, {"error", std::string(error)}});
  }

 private:
  static void print(const nlohmann::ordered_json& json) {
    std::cerr << json_line(json);
  }
};

}  // namespace

bool goes_on(std::span<const solver::StepInfo> before, std::span<const solver::StepInfo> now) {
  return now.size() > before.size() &&
         std::equal(before.begin(), before.end(), now.begin(), [](const auto& a, const auto& b) { return a.digest == b.digest && a.name == b.name; });
}

std::string shown_name(std::span<const solver::StepInfo> steps, std::size_t step) {
  if (step >= steps.size()) return {};
  const std::string name = printable(steps[step].name);
  return name.starts_with('[') ? name : fmt::format("[{}/{}] {}", step + 1, steps.size(), name);
}

std::unique_ptr<solver::ProgressSink> make_progress_view(ProgressMode mode) {
  switch (mode) {
    case ProgressMode::none: return std::make_unique<solver::NoProgress>();
    case ProgressMode::json: return std::make_unique<JsonView>();
    case ProgressMode::plain: return std::make_unique<PlainView>();
    case ProgressMode::automatic: break;
  }
  if (is_terminal(2)) return make_live_view();
  return std::make_unique<PlainView>();
}

}  // namespace cairn::cachectl

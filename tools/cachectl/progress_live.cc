// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/progress_live.h"

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "tools/cachectl/command.h"
#include "tools/cachectl/progress_view.h"
#include "tools/cachectl/terminal.h"

namespace cairn::cachectl {
namespace {

using solver::StepState;
using Clock = std::chrono::steady_clock;

struct Running {
  Clock::time_point since;
  std::string last_line, unfinished;
  std::uint64_t done = 0, total = 0;
};

constexpr std::size_t log_tail_max = 64 << 10;

class LiveView final : public solver::ProgressSink {
 public:
  LiveView() : colour_(std::getenv("NO_COLOR") == nullptr), ticker_([this](std::stop_token stop) { tick(stop); }) {}
  ~LiveView() override {
    ticker_.request_stop();
    ticker_.join();
    std::lock_guard lock(mutex_);
    clear();
    std::cerr << std::flush;
  }

  void on_graph(std::span<const solver::StepInfo> steps) override {
    std::lock_guard lock(mutex_);
    if (!goes_on(steps_, steps)) {
      running_.clear();
      finished_ = 0;
    }
    steps_.assign(steps.begin(), steps.end());
  }
  void on_started(std::size_t step) override {
    std::lock_guard lock(mutex_);
    running_[step].since = Clock::now();
    draw();
  }
  void on_output(std::size_t step, solver::Stream, std::string_view bytes) override {
    std::lock_guard lock(mutex_);
    std::string& tail = logs_[step];
    tail += bytes;
    if (tail.size() > 2 * log_tail_max) tail.erase(0, tail.size() - log_tail_max);
    Running& running = running_[step];
    for (char c : bytes) {
      if (c == '\n' || c == '\r') {
        if (!running.unfinished.empty()) running.last_line = std::move(running.unfinished);
        running.unfinished.clear();
      } else if (running.unfinished.size() < 512) {
        running.unfinished += c;
      }
    }
  }
  void on_bytes(std::size_t step, std::uint64_t done, std::uint64_t total) override {
    std::lock_guard lock(mutex_);
    running_[step].done = done;
    running_[step].total = total;
  }
  void on_finished(std::size_t step, StepState state, std::chrono::nanoseconds duration,
                   std::string_view error) override {
    std::lock_guard lock(mutex_);
    running_.erase(step);
    ++finished_;
    clear();
    std::cerr << ' ' << mark(state) << ' ' << shown_name(steps_, step);
    if (state == StepState::executed) std::cerr << "  " << human_duration(duration);
    if (state == StepState::cached) std::cerr << "  " << dim("CACHED");
    if (state == StepState::cancelled) std::cerr << "  " << dim("CANCELED");
    std::cerr << '\n';
    if (state == StepState::failed) {
      std::cerr << logs_[step];
      if (!logs_[step].empty() && !logs_[step].ends_with('\n')) std::cerr << '\n';
      std::cerr << "   " << red(printable(error)) << '\n';
    }
    logs_.erase(step);
    draw();
  }

 private:
  std::string paint(const char* code, const std::string& text) const {
    return colour_ ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
  }
  std::string dim(const std::string& text) const { return paint("2", text); }
  std::string red(const std::string& text) const { return paint("31", text); }
  std::string mark(StepState state) const {
    switch (state) {
      case StepState::executed: return paint("32", "+");
      case StepState::cached: return paint("34", "=");
      case StepState::failed: return red("x");
      case StepState::cancelled: return dim("-");
    }
    return "?";
  }
  void clear() {
    for (std::size_t i = 0; i < drawn_; ++i) std::cerr << "\x1b[1A\x1b[2K";
    drawn_ = 0;
  }

  void line(std::string text, std::size_t width) {
    std::cerr << cut_to_line(std::move(text), width) << '\n';
    ++drawn_;
  }

  void draw() {
    clear();
    const TerminalSize size = terminal_size();
    std::size_t room = std::max<std::size_t>(8, size.rows) - 4;
    line(fmt::format(" {}/{} steps, {} running", finished_, steps_.size(), running_.size()), size.columns);
    for (const auto& [step, running] : running_) {
      if (room < 2) break;
      std::string text = fmt::format(" > {}  {}", shown_name(steps_, step), human_duration(Clock::now() - running.since));
      if (running.total != 0) text += fmt::format("  {}%", 100 * running.done / running.total);
      line(std::move(text), size.columns);
      --room;
      if (!running.last_line.empty()) {
        line("     " + printable(running.last_line), size.columns);
        --room;
      }
    }
    std::cerr << std::flush;
  }

  void tick(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      ticked_.wait_for(lock, stop, std::chrono::milliseconds(150), [] { return false; });
      if (!running_.empty()) draw();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any ticked_;
  std::vector<solver::StepInfo> steps_;
  std::map<std::size_t, Running> running_;
  std::map<std::size_t, std::string> logs_;
  std::size_t finished_ = 0, drawn_ = 0;
  bool colour_;
  std::jthread ticker_;
};

}  // namespace

std::unique_ptr<solver::ProgressSink> make_live_view() { return std::make_unique<LiveView>(); }

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
// A solver over a real store that reaches the loopback, and graphs of one source.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "libbase/sync.h"
#include "libremote/http_fetcher.h"
#include "libremote/registries.h"
#include "libsolver/solver.h"
#include "tests/libcache/store_fixture.h"
#include "tests/libsolver_sources/source_graph.h"

namespace cairn::solver {

using cache::must;

// The last bytes that a step told.
struct BytesSink final : ProgressSink {
  void on_graph(std::span<const StepInfo>) override {}
  void on_started(std::size_t) override {}
  void on_output(std::size_t, Stream, std::string_view bytes) override { output += bytes; }
  void on_bytes(std::size_t, std::uint64_t now, std::uint64_t of) override {
    done = now;
    total = of;
    done_max = std::max(done_max, now);
    total_max = std::max(total_max, of);
  }
  void on_finished(std::size_t, StepState, std::chrono::nanoseconds, std::string_view) override {}
  std::uint64_t done = 0, total = 0;          // the last
  std::uint64_t done_max = 0, total_max = 0;  // of all, since steps may tell in any order
  std::string output;
};

// A fetcher that keeps what was asked for: "GET http://…".
class RecordingFetcher final : public cache::Fetcher {
 public:
  explicit RecordingFetcher(const std::unique_ptr<cache::Fetcher>& inner) : inner_(inner) {}
  base::Result<cache::FetchAnswer> fetch(const cache::FetchRequest& request, std::stop_token stop) override {
    static constexpr const char* names[] = {"GET ", "HEAD ", "PUT ", "POST ", "PATCH "};  // in the order of Method
    asked_.lock()->push_back(names[static_cast<std::size_t>(request.method)] + request.url);
    return inner_->fetch(request, std::move(stop));
  }
  // How many of them begin so and have this part.
  std::size_t count(std::string_view method, std::string_view part) {
    const std::vector<std::string> asked = *asked_.lock();
    return static_cast<std::size_t>(std::count_if(asked.begin(), asked.end(), [&](const std::string& each) {
      return each.starts_with(method) && each.find(part) != std::string::npos;
    }));
  }

 private:
  const std::unique_ptr<cache::Fetcher>& inner_;  // as it is at each request
  base::Guarded<std::vector<std::string>> asked_;
};

class RemoteSourceTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("no_proxy", "*", 1); }
  RemoteSourceTest() { open_solver(); }

  static std::string digest_text(std::string_view bytes) { return "sha256:" + base::to_hex(base::sha256(bytes)); }

  void open_solver() {
    solver = std::make_unique<Solver>(
        *store.cache, []() -> base::Result<std::unique_ptr<Executor>> {
          return base::fail(base::ErrorCode::unavailable, "no process runs in this test");
        },
        clock, SolverOptions{.parallelism = 2, .fetcher = &recorder, .registries = registries.get()});
  }
  void reopen() {  // as a new process would
    solver.reset();
    store.reopen();
    open_solver();
  }

  SolveRequest request(const std::string& identifier, std::map<std::string, std::string> attrs = {}) {
    SolveRequest made;
    made.definition = must(load_definition(test::source_graph(identifier, std::move(attrs))));
    return made;
  }
  SolveOutcome solve(const SolveRequest& request, std::stop_token stop = {}) {
    return solver->solve(request, sink, std::move(stop));
  }
  // Solves what must succeed; whether it was executed.
  bool executes(const SolveRequest& request) {
    SolveOutcome outcome = solve(request);
    EXPECT_TRUE(outcome.status) << outcome.status.error().message;
    result = std::move(outcome.result);
    return outcome.count(StepState::executed) == 1;
  }
  void expect_error(const SolveRequest& request, base::ErrorCode code, const std::string& part) {
    const SolveOutcome outcome = solve(request);
    ASSERT_FALSE(outcome.status);
    EXPECT_EQ(outcome.status.error().code, code) << outcome.status.error().message;
    EXPECT_THAT(outcome.status.error().message, testing::HasSubstr(part));
  }
  // Of the last result.
  std::string content(const std::string& path) {
    must(solver->fetch(*result));
    const snapshot::MountedTree tree = must(result->mount());
    return must(base::read_beneath(tree.fd(), must(base::TreePath::parse(path)), 64 << 20));
  }
  std::optional<struct ::stat> stat(const std::string& path) {
    must(solver->fetch(*result));
    const snapshot::MountedTree tree = must(result->mount());
    return must(base::find_stat_beneath(tree.fd(), must(base::TreePath::parse(path))));
  }

  base::SystemClock clock;
  remote::HttpOptions quick{.connect_timeout = std::chrono::milliseconds(5'000),
                            .stall_timeout = std::chrono::milliseconds(300)};
  std::unique_ptr<cache::Fetcher> fetcher = remote::make_http_fetcher(quick);
  RecordingFetcher recorder{fetcher};
  std::unique_ptr<cache::Registries> registries =
      remote::make_registries(recorder, {.tries = 2, .pause = std::chrono::milliseconds(1), .pause_max = {}, .asked_pause_max = {}});
  cache::OpenStore store;
  std::optional<cache::ImmutableRef> result;  // gone before the store is
  BytesSink sink;
  std::unique_ptr<Solver> solver;
};

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// Stores that hand caches to each other: a chain of steps that write one file each, solved here and there.
#pragma once

#include "libbase/fs/beneath.h"
#include "libsolver/key_graph.h"
#include "libsolver/llb.h"
#include "libsolver/remote_cache.h"
#include "tests/libsolver_sources/remote_fixture.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {

// A machine: a store and its solver, that reach the same places as the others.
class Machine {
 public:
  explicit Machine(cache::Registries* registries, cache::Buckets* buckets = nullptr) {
    solver_ = std::make_unique<Solver>(
        *store.cache,
        []() -> base::Result<std::unique_ptr<Executor>> {
          return base::fail(base::ErrorCode::unavailable, "no process runs in this test");
        },
        clock_, SolverOptions{.parallelism = 2, .registries = registries, .buckets = buckets});
  }
  ~Machine() { outcome = {}; }

  // Steps that write the files NAME/0 … NAME/count-1, one on the other.
  static Definition chain(const std::string& name, int count) {
    llb::State state = llb::scratch().file(llb::FileActions().mkdir("/" + name, 0755));
    for (int i = 0; i < count; ++i)
      state =
          state.file(llb::FileActions().mkfile(fmt::format("/{}/{}", name, i), 0644, fmt::format("{} {}", name, i)));
    return must(load_definition(must(llb::marshal(state))));
  }

  // Solves with what `from` has; how many steps ran. -1: it failed.
  int solve(Definition definition, const std::vector<CacheAddress>& from = {}, const std::string& credentials = "") {
    SolveRequest request;
    request.definition = std::move(definition);
    request.keys = SolveRequest::Keys::keep;
    request.locals = locals;
    request.tree = wanted_tree;
    std::vector<std::unique_ptr<ResultStore>> imported;
    for (const CacheAddress& each : from) {
      auto cache = solver_->import_cache(each, credentials, {});
      import_error = cache ? std::string() : cache.error().message;
      if (!cache) continue;
      imported.push_back(std::move(*cache));
      request.more_results.push_back(imported.back().get());
    }
    outcome = solver_->solve(request, sink_, {});
    if (!outcome.status) ADD_FAILURE() << outcome.status.error().message;
    return outcome.status ? static_cast<int>(outcome.count(StepState::executed)) : -1;
  }
  base::Result<CacheExported> export_to(const CacheAddress& to, ExportOptions::Mode mode = ExportOptions::Mode::max,
                                        const std::string& credentials = "") {
    return solver_->export_cache(*outcome.keys, {.to = to, .mode = mode}, credentials, {});
  }
  Solver& solver() { return *solver_; }
  base::Status fetch() { return solver_->fetch(*outcome.result); }
  // Of the result, whose tree comes here.
  base::Result<std::string> content(const std::string& path) {
    TRY(fetch());
    const snapshot::MountedTree tree = TRY(outcome.result->mount());
    return base::read_beneath(tree.fd(), TRY(base::TreePath::parse(path)), 1 << 20);
  }

  cache::OpenStore store{"native"};
  std::map<std::string, base::HostPath> locals;
  SolveRequest::Tree wanted_tree = SolveRequest::Tree::lazy;
  SolveOutcome outcome;
  std::string import_error;

 private:
  base::SystemClock clock_;
  NoProgress sink_;
  std::unique_ptr<Solver> solver_;
};

// Whatever kind of cache it is: of a result that has nothing of the trees before it but a copy, mode=min exports its own
// layer and the keys of all that led to it, and mode=max the same keys with all layers. make_machine: Machine().
template <class MakeMachine>
void expect_that_keys_travel_without_their_layers(const CacheAddress& address, MakeMachine&& make_machine) {
  const auto loaded = [](const llb::State& state) { return must(load_definition(must(llb::marshal(state)))); };
  const llb::State made =
      llb::scratch().file(llb::FileActions().mkdir("/a", 0755)).file(llb::FileActions().mkfile("/a/f", 0644, "f"));
  const llb::State copied = llb::scratch().file(llb::FileActions().copy(made, "/a", "/b"));
  Machine here = make_machine(), there = make_machine(), third = make_machine(), fourth = make_machine();
  EXPECT_EQ(here.solve(loaded(copied)), 3);
  const CacheExported least = must(here.export_to(address, ExportOptions::Mode::min));
  EXPECT_EQ(least.layers, 1u);
  EXPECT_GE(least.records, 3u);
  EXPECT_EQ(there.solve(loaded(copied), {address}), 0);
  EXPECT_EQ(must(there.content("b/f")), "f");
  EXPECT_EQ(third.solve(loaded(made), {address}), 2) << "its bytes are not there";
  const CacheExported most = must(here.export_to(address, ExportOptions::Mode::max));
  EXPECT_EQ(most.layers, 3u);
  EXPECT_EQ(most.records, least.records);
  EXPECT_EQ(fourth.solve(loaded(made), {address}), 0);
  EXPECT_EQ(must(fourth.content("a/f")), "f");
}

}  // namespace cairn::solver

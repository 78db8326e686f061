// SPDX-License-Identifier: Apache-2.0
// Solves a graph of one step twice with an engine of its own: example STORE SOURCE. Prints how many steps were executed
// each time: 1, then 0.
#include <cstdio>

#include "libsolver/llb.h"
#include "tools/engine/engine.h"
#include "tools/engine/order.h"

using namespace cairn;

base::Status solve_twice(const char* store, const char* source) {
  const auto engine = TRY(engine::Engine::open(engine::EngineOptions(TRY(base::HostPath::from_user(store)))));
  const auto graph = solver::llb::local("src", {.name = "the source"});
  const engine::SolveOrder order{.definition = TRY(solver::llb::marshal(graph)), .locals = {{"src", source}},
                                 .oci_layouts = {}, .output_dir = {}};
  solver::NoProgress progress;
  for (int i = 0; i < 2; ++i) {
    const engine::SolveReport report = engine::run_order(*engine, order, progress, {});
    if (report.error) return tl::unexpected(*report.error);
    std::printf("%zu\n", report.count(solver::StepState::executed));
  }
  return {};
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const base::Status done = solve_twice(argv[1], argv[2]);
  if (!done) std::fprintf(stderr, "example: %s\n", done.error().message.c_str());
  return done ? 0 : 1;
}

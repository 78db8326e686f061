// SPDX-License-Identifier: Apache-2.0
// Reading a graph: decoding, naming and digesting every op of a definition as a client sends it.
#include <benchmark/benchmark.h>

#include <string>

#include "libsolver/definition.h"
#include "libsolver/llb.h"

namespace {

using namespace cairn;
using solver::llb::State;

// Each step has the image as its root, and the tree of the step before beside it.
void load_dependent(benchmark::State& state) {
  const State base = solver::llb::image("docker.io/library/busybox:latest");
  State last = base;
  for (int i = 0; i < state.range(0); ++i) {
    last = base.run({"/bin/true", std::to_string(i)}, {.mounts = {{.dest = "/in", .source = last, .read_only = true}}}).root();
  }
  const auto bytes = solver::llb::marshal(last);
  CHECK(bytes.has_value());
  for (auto _ : state) {
    auto definition = solver::load_definition(*bytes);
    CHECK(definition.has_value(), "{}", definition.error().message);
    benchmark::DoNotOptimize(definition);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes->size()));
}
BENCHMARK(load_dependent)->Arg(1'000)->Arg(10'000)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();

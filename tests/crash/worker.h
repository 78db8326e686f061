// SPDX-License-Identifier: Apache-2.0
// What the crash suite kills: a process that works on a store through the engine, and writes down which data was made
// durable, so that the suite can take away what was not, as a power cut would.
#pragma once

#include <string>

#include "libbase/lmdb/group_writer.h"
#include "libsolver/solver.h"
#include "tools/engine/order.h"

namespace cairn::test {

// The worker puts it there for a repair to find, so who dies in between leaves it.
inline constexpr const char* planted_stray = "trees/99999999";

struct WorkerArguments {
  std::string root, layout, source, sync_log;
  std::string base_digest;
  base::lmdb::GroupWriter::Options::Order order = base::lmdb::GroupWriter::Options::Order::data_first;
  enum class Scenario { solves, records } scenario = Scenario::solves;
};

// An engine whose chains are flattened above three layers and whose syncs are logged.
base::Result<std::unique_ptr<engine::Engine>> open_store(const WorkerArguments& arguments);

// Image (two layers) and local source → two parallel steps with content keys → a step with two outputs → a chain long
// enough to be flattened → result.
std::string make_graph(const WorkerArguments& arguments);
// One step, which fails.
std::string make_failing_graph(const WorkerArguments& arguments);

engine::SolveReport solve(engine::Engine& engine, const WorkerArguments& arguments, const std::string& graph,
                          const std::string& output_dir);

// What no solve does with records, on the cache of an engine. It may be run again on what a killed one left.
int run_records_worker(const WorkerArguments& arguments);

// The whole scenario: solve, a step that fails, prune all, solve again. Returns the exit code of the process.
int run_worker(const WorkerArguments& arguments);

}  // namespace cairn::test

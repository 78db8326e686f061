// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/order.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

#include "libbase/fs/host_tree.h"
#include "libbase/log/log.h"
#include "tools/engine/export_record.h"
#include "tools/engine/find_record.h"

namespace cairn::engine {

using base::Result;
using base::Status;

namespace {

// One side of a difference, and what keeps it open.
struct OpenSide {
  std::optional<cache::ImmutableRef> record;
  snapshot::MountedTree mount;
  base::Fd directory;
  cache::SelectedTree selected;
};

Result<OpenSide> open_side(Engine& engine, const DifferenceOrder::Side& side) {
  OpenSide open;
  if (!side.directory.empty()) {
    open.directory = TRY(base::open_host_dir(TRY(base::HostPath::parse(side.directory))), "digest {}", side.directory);
    open.selected.tree = open.directory.get();
    return open;
  }
  open.record = TRY(find_record(engine, side.record));
  open.mount = TRY(open.record->mount());
  open.selected = {open.mount.fd(), open.record->info().facts.rules};
  return open;
}

}  // namespace

void forbid_core_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur == 0) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 1);  // 0 would not count where cores go to a program (core_pattern(5))
  if (::setrlimit(RLIMIT_CORE, &limit) != 0) base::log_debug("forbid core files: {}", base::errno_text(errno));
}

std::size_t SolveReport::count(solver::StepState state) const {
  return static_cast<std::size_t>(
      std::count_if(steps.begin(), steps.end(), [&](const auto& step) { return step.state == state; }));
}

Result<PruneAnswer> run_prune(Engine& engine, const PruneOrder& order, std::stop_token stop) {
  cache::PruneOptions options{.all = order.all, .dry_run = order.dry_run};
  PruneAnswer answer;
  if (order.policy) {
    options.policy = order.policy->empty() ? engine.policy() : TRY(cache::parse_policy(*order.policy, order.policy_name));
    for (std::size_t i = 0; i < options.policy->rules.size(); ++i)
      answer.rules.push_back(cache::rule_title(*options.policy, i));
  }
  answer.report = TRY(engine.cache().prune(options, std::move(stop)));
  return answer;
}

base::Result<TreeDigest> run_order(Engine& engine, const DigestOrder& order, std::stop_token stop) {
  return TRY(find_record(engine, order.record)).tree_digest(order.selection, std::move(stop));
}

Result<solver::ExportReport> run_order(Engine& engine, const ExportOrder& order, std::stop_token stop) {
  const base::HostPath dest = TRY(base::HostPath::parse(order.output_dir));
  return export_record(engine, TRY(find_record(engine, order.record)), dest, std::move(stop));
}

base::Result<Differences> run_order(Engine& engine, const DifferenceOrder& order, std::stop_token stop) {
  const OpenSide first = TRY(open_side(engine, order.first)), second = TRY(open_side(engine, order.second));
  Differences differences;
  const auto visit = [&](const cache::TreeDifference& difference) -> Status {
    differences.push_back(difference);
    return {};
  };
  TRY(cache::each_difference(first.selected, second.selected, order.selection, visit, std::move(stop)));
  return differences;
}

}  // namespace cairn::engine

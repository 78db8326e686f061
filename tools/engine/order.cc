// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/order.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "libbase/fs/host_tree.h"
#include "libbase/log/log.h"
#include "libsolver/definition.h"
#include "libsolver/source_policy.h"
#include "tools/engine/find_record.h"

namespace cairn::engine {

using base::Result;
using base::Status;

namespace {

Result<std::map<std::string, base::HostPath>> parse_paths(const std::map<std::string, std::string>& named) {
  std::map<std::string, base::HostPath> paths;
  for (const auto& [name, path] : named) paths.emplace(name, TRY(base::HostPath::parse(path), "{}={}", name, path));
  return paths;
}

Result<solver::SolveRequest> make_request(const SolveOrder& order) {
  std::vector<solver::SourcePolicy> policies;
  if (!order.source_policy.empty()) policies.push_back(TRY(solver::SourcePolicy::parse(order.source_policy)));
  solver::Definition definition = TRY(solver::load_definition_under(order.definition, policies));
  // What is no definition at all (an empty file, a text) may well read as one without steps, and nobody wants that.
  if (!definition.result) return base::fail(base::ErrorCode::invalid_argument, "load definition: it holds no steps");
  cache::Owner owner{.project = order.project, .build = order.build, .step = {}};
  TRY(cache::check_owner(owner));
  return solver::SolveRequest{.definition = std::move(definition),
                              .locals = TRY(parse_paths(order.locals)),
                              .oci_layouts = TRY(parse_paths(order.oci_layouts)),
                              .secrets = order.secrets,
                              .logins = order.logins,
                              .ssh_agents = TRY(parse_paths(order.ssh_agents)),
                              .allowed = order.allowed,
                              .cache_mount_on_fail = order.cache_mount_on_fail,
                              .failed_trees = order.failed_trees,
                              .use_cache = order.use_cache,
                              .owner = std::move(owner),
                              .remote = {.ask = order.ask_remotes, .believed_for = order.resolve_age, .file_bytes_max = order.download_max},
                              .source_policies = std::move(policies)};
}

Result<solver::ExportReport> export_record(Engine& engine, const cache::ImmutableRef& record, const base::HostPath& dest,
                                           std::stop_token stop) {
  TRY(engine.fetch(record, stop));
  const snapshot::MountedTree tree = TRY(record.mount());
  return solver::export_local(tree, dest, std::move(stop), {});
}

Status export_result(Engine& engine, const solver::SolveOutcome& outcome, const SolveOrder& order, SolveReport& report,
                     std::stop_token stop) {
  const base::HostPath dest = TRY(base::HostPath::parse(order.output_dir));
  if (!outcome.result) return base::make_host_dirs(dest);  // scratch: an empty directory
  const solver::ExportReport exported = TRY(export_record(engine, *outcome.result, dest, std::move(stop)));
  report.exported_files = exported.files;
  report.exported_bytes = exported.bytes;
  report.warnings.insert(report.warnings.end(), exported.warnings.begin(), exported.warnings.end());
  return {};
}

using ImportedCaches = std::vector<std::unique_ptr<solver::ResultStore>>;

std::string credentials_for(const solver::CacheAddress& address, const SolveOrder& order) {
  if (address.type != solver::CacheAddress::Type::registry) return {};
  return solver::registry_credentials(address.place.substr(0, address.place.find('/')), order.secrets, order.logins);
}

// Has the request look into the caches that are there; what is not, or cannot be read, is a warning, and the build goes
// on without. Errors: attributes that mean nothing.
Result<ImportedCaches> use_caches(Engine& engine, const SolveOrder& order, solver::SolveRequest& request,
                                  std::vector<solver::CacheExport>& exports, SolveReport& report,
                                  const std::stop_token& stop) {
  for (const solver::CacheAttributes& to : order.cache_to)
    exports.push_back(TRY(solver::parse_cache_export(to), "cache to"));
  if (!exports.empty()) request.keys = solver::SolveRequest::Keys::keep;
  std::vector<solver::CacheAddress> addresses;
  for (const solver::CacheAttributes& attributes : order.cache_from)
    addresses.push_back(TRY(solver::parse_cache_import(attributes), "cache from"));
  // Beside each other: one that keeps silent keeps nobody waiting for the others.
  std::vector<Result<std::unique_ptr<solver::ResultStore>>> imported(addresses.size());
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < addresses.size(); ++i)
      threads.emplace_back([&, i] { imported[i] = engine.solver().import_cache(addresses[i], credentials_for(addresses[i], order), stop); });
  }
  ImportedCaches caches;
  for (auto& cache : imported) {
    if (cache) {
      request.more_results.push_back(cache->get());
      caches.push_back(std::move(*cache));
    } else {
      report.warnings.push_back("no cache is imported: " + cache.error().message);
    }
  }
  return caches;
}

void export_to_cache(Engine& engine, const solver::SolveOutcome& outcome, const solver::CacheExport& to,
                     const SolveOrder& order, SolveReport& report,
                     const std::stop_token& stop) {
  if (!outcome.keys) {
    report.warnings.push_back(
        fmt::format("nothing is exported to {}: the keys of the solve could not be read", to.to.text()));
    return;
  }
  auto exported = engine.solver().export_cache(*outcome.keys, to, credentials_for(to.to, order), stop);
  if (exported) {
    report.caches.push_back({to.to.text(), std::move(*exported)});
  } else if (to.on_error == solver::CacheExport::OnError::warn) {
    report.warnings.push_back("export cache: " + exported.error().message);
  } else {
    report.error = base::add_context(exported.error(), "export cache");
  }
}

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

SolveReport run_order(Engine& engine, const SolveOrder& order, solver::ProgressSink& progress, std::stop_token stop) {
  SolveReport report;
  Result<solver::SolveRequest> request = make_request(order);
  if (!request) {
    report.error = std::move(request).error();
    return report;
  }
  std::vector<solver::CacheExport> exports;
  const Result<ImportedCaches> imported = use_caches(engine, order, *request, exports, report, stop);
  if (!imported) {
    report.error = imported.error();
    return report;
  }
  if (!order.output_dir.empty()) request->tree = solver::SolveRequest::Tree::here;
  solver::SolveOutcome outcome = engine.solve(*request, progress, stop);
  report.steps = std::move(outcome.steps);
  report.duration = outcome.duration;
  report.warnings.insert(report.warnings.end(), outcome.warnings.begin(), outcome.warnings.end());
  if (!outcome.not_cached.empty()) {
    report.warnings.push_back(fmt::format("the result is good but was not cached: {}", outcome.not_cached));
  }
  if (!outcome.status) {
    report.error = outcome.status.error();
    if (report.error->code == base::ErrorCode::no_space && report.error->hint.empty()) {
      report.error->hint = fmt::format(
          "the disk of the store {} is full, and nothing more may go from it: free some room there, or lower the "
          "floors in gc.toml",
                                       engine.root().str());
    }
    return report;
  }
  if (!order.output_dir.empty()) {
    if (Status exported = export_result(engine, outcome, order, report, stop); !exported) {
      report.error = base::add_context(exported.error(), fmt::format("export to {}", order.output_dir));
    }
  }
  for (const solver::CacheExport& to : exports) {
    if (report.error) break;
    export_to_cache(engine, outcome, to, order, report, stop);
  }
  return report;
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

// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "libcache/policy.h"
#include "libdockerfile/dockerfile.h"
#include "tools/cachectl/explanation.h"
#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/progress_view.h"
#include "tools/cachectl/registry_logins.h"
#include "tools/cachectl/size_text.h"
#include "tools/cachectl/solve_options.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::Result;
using solver::StepState;

namespace {

ProgressMode progress_mode(const std::string& name) {
  if (name == "plain") return ProgressMode::plain;
  if (name == "json") return ProgressMode::json;
  if (name == "none") return ProgressMode::none;
  return ProgressMode::automatic;
}

using Reasons = std::map<cache::RecordId, cache::Explanation>;

// Of what was executed and is stored; read beside the owner. What is not known is left out.
Result<Reasons> find_reasons(const base::HostPath& root, const engine::SolveReport& report) {
  Reasons reasons;
  const auto env = TRY(engine::open_read_only(root));
  for (const solver::StepResult& step : report.steps) {
    if (!step.made) continue;
    auto reason = cache::explain(*env, step.made);
    if (!reason && reason.error().code != ErrorCode::not_found) return tl::unexpected(std::move(reason).error());
    if (reason) reasons.emplace(step.made, std::move(*reason));
  }
  return reasons;
}

void print_reasons(const engine::SolveReport& report, const Reasons& reasons) {
  const base::WallTime now = base::SystemClock().now();
  for (const solver::StepResult& step : report.steps) {
    if (step.state != StepState::executed) continue;
    const auto reason = reasons.find(step.made);
    std::cout << printable(step.name) << ": " << (reason != reasons.end() ? reason_line(reason->second, now) : "nothing is kept of how it was made") << '\n';
    if (reason != reasons.end()) std::cout << path_lines(reason->second.reason);
  }
}

// What a build has beyond a solve.
void add_build(const engine::SolveReport& report, nlohmann::ordered_json& json) {
  for (const engine::BuildWarning& check : report.checks)
    json["checks"].push_back({{"rule", check.rule},
                              {"message", check.message},
                              {"url", check.url},
                              {"first_line", check.first_line},
                              {"last_line", check.last_line}});
  for (const std::string& note : report.notes) json["notes"].push_back(note);
  if (!report.answer.empty()) json["answer"] = nlohmann::ordered_json::parse(report.answer, nullptr, false);
  for (const engine::ImageReport& image : report.images) {
    nlohmann::ordered_json output = {{"type", image.type}, {"dest", image.dest}};
    if (image.exported.root) {
      output["digest"] = image.exported.root->digest.str();
      output["media_type"] = image.exported.root->media_type;
      output["size"] = image.exported.root->size;
    }
    output["names"] = image.exported.names;
    for (const auto& each : image.exported.images)
      output["images"].push_back({{"platform", dockerfile::format_platform(each.platform)},
                                  {"manifest", each.manifest.str()},
                                  {"config", each.config.str()},
                                  {"layers", each.layers}});
    output["bytes"] = image.exported.bytes;
    output["files"] = image.exported.files;
    json["outputs"].push_back(std::move(output));
  }
}

nlohmann::ordered_json json_of(const engine::SolveReport& report, const Reasons& reasons) {
  nlohmann::ordered_json steps = nlohmann::ordered_json::array();
  for (const solver::StepResult& step : report.steps) {
    nlohmann::ordered_json json = {{"digest", step.digest.str()},
                                   {"name", step.name},
                                   {"state", std::string(solver::to_string(step.state))},
                                   {"duration_ns", step.duration.count()}};
    if (step.evicted)
      json["evicted"] = {{"when", rfc3339(step.evicted->when)},
                         {"rule", step.evicted->rule},
                         {"build_time_ns", step.evicted->build_time.count()}};
    if (const auto reason = reasons.find(step.made); reason != reasons.end()) json["why"] = explanation_json(reason->second);
    if (step.state == StepState::failed) json["error"] = step.error;
    for (const solver::KeptTree& tree : step.kept) {
      json["kept"].push_back({{"mount", tree.mount}, {"record", std::to_string(tree.record.value())}});
    }
    steps.push_back(std::move(json));
  }
  nlohmann::ordered_json json = {{"format", 1},
                                       {"vertices", report.steps.size()},
                                       {"executed", report.count(StepState::executed)},
                                       {"cached", report.count(StepState::cached)},
                                       {"failed", report.count(StepState::failed)},
                                       {"cancelled", report.count(StepState::cancelled)},
                                       {"duration_ns", report.duration.count()},
                                       {"steps", std::move(steps)}};
  for (const engine::CacheReport& cache : report.caches) {
    json["caches"].push_back({{"to", cache.to},
                              {"manifest", cache.exported.manifest.is_zero() ? "" : cache.exported.manifest.str()},
                              {"records", cache.exported.records},
                              {"layers", cache.exported.layers},
                              {"new_blobs", cache.exported.new_blobs},
                              {"new_bytes", cache.exported.new_bytes}});
  }
  add_build(report, json);
  return json;
}

// "evicted 3h ago by rule 2, 41.0s to rebuild"
void print_evicted(const engine::SolveReport& report) {
  const base::WallTime now = base::SystemClock().now();
  for (const solver::StepResult& step : report.steps) {
    if (!step.evicted) continue;
    const auto ago = std::chrono::duration_cast<std::chrono::seconds>(now - step.evicted->when);
    std::cout << fmt::format("{}: evicted {} ago by {}, {} to rebuild\n", printable(step.name),
                             cache::to_string(std::max(ago, std::chrono::seconds(1))), printable(step.evicted->rule),
                             human_duration(step.evicted->build_time));
  }
}

void print_images(const engine::SolveReport& report) {
  for (const engine::ImageReport& image : report.images) {
    const auto& exported = image.exported;
    const std::string where = image.dest.empty() ? "" : " to " + printable(image.dest);
    if (!exported.root) {
      std::cout << fmt::format("exported {} files{}\n", exported.files, where);
      continue;
    }
    std::cout << fmt::format("image {}: {} written{}\n", exported.root->digest, size_text(static_cast<double>(exported.bytes)), where);
    for (const std::string& name : exported.names) std::cout << "  named " << printable(name) << '\n';
  }
}

void print_text(const engine::SolveReport& report) {
  std::cout << fmt::format("{} steps: {} executed, {} cached", report.steps.size(), report.count(StepState::executed),
                           report.count(StepState::cached));
  if (const auto failed = report.count(StepState::failed)) std::cout << ", " << failed << " failed";
  if (const auto cancelled = report.count(StepState::cancelled)) std::cout << ", " << cancelled << " cancelled";
  std::cout << " in " << human_duration(report.duration) << '\n';
  for (const engine::CacheReport& cache : report.caches) {
    std::cout << fmt::format("{}: {} records, {} layers; {} new blobs, {}\n", printable(cache.to),
                             cache.exported.records, cache.exported.layers, cache.exported.new_blobs,
                             size_text(static_cast<double>(cache.exported.new_bytes)));
  }
  print_images(report);
  if (report.exported_files != 0) {
    std::cout << fmt::format("exported {} files, {}\n", report.exported_files,
                             size_text(static_cast<double>(report.exported_bytes)));
  }
}

// "2 warnings found:", and a line for each; what was done otherwise than the file may expect.
void print_checks(const engine::SolveReport& report) {
  for (const std::string& note : report.notes) std::cerr << "cachectl: note: " << printable(note) << '\n';
  if (report.checks.empty()) return;
  std::cerr << fmt::format("\n {} warning{} found (--check shows the lines):\n", report.checks.size(), report.checks.size() == 1 ? "" : "s");
  for (const engine::BuildWarning& check : report.checks) {
    std::cerr << " - " << printable(check.rule) << ": " << printable(check.message);
    if (check.first_line > 0) std::cerr << " (line " << check.first_line << ')';
    std::cerr << '\n';
  }
}

ExitCode print_error(const engine::SolveReport& report) {
  std::cerr << printable_lines(report.error_excerpt);
  const ExitCode code = report_error(*report.error);
  return code == ExitCode::busy ? ExitCode::failed : code;  // 5 means the store, nothing else
}

}  // namespace

std::string printable_lines(const std::string& text) {
  std::string lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines += printable(text.substr(at, end - at)) + '\n';
    at = end + 1;
  }
  return lines;
}

SolveRun run_order(const GlobalOptions& global, const SolveOptions& options, Output format, engine::SolveOrder order,
                   Tell tell, const std::set<std::string>& registries) {
  SolveRun run;
  const auto ended = [&](ExitCode code) {
    run.code = code;
    return std::move(run);
  };
  auto store = store_options(global);
  if (!store) return ended(report_usage(store.error()));
  store->engine.runtime = options.executor;
  add_registry_logins(order, store->engine.root, registries);

  const Interrupt interrupt;
  auto progress = make_progress_view(progress_mode(options.progress));
  auto report = engine::solve_in_store(*store, order, *progress, interrupt.token());
  progress.reset();  // the live view gives the terminal back
  if (!report) return ended(report_error(report.error()));
  run.report = std::move(*report);
  for (const std::string& warning : run.report.warnings) std::cerr << "cachectl: warning: " << printable(warning) << '\n';
  Result<Reasons> reasons = options.explain ? find_reasons(store->engine.root, run.report) : Reasons();
  if (!reasons) std::cerr << "cachectl: warning: no reasons: " << printable(reasons.error().message) << '\n';
  const bool is_build = order.call == engine::SolveOrder::Call::build, tells_text = tell == Tell::all && format == Output::text;
  if (tell == Tell::all && format == Output::json) std::cout << json_line(json_of(run.report, reasons ? *reasons : Reasons()));
  if (tell == Tell::all && is_build) print_checks(run.report);
  if (tells_text && options.explain && reasons) print_reasons(run.report, *reasons);
  if (run.report.error) return ended(print_error(run.report));
  // Standard output may be an archive's.
  if (!tells_text || !is_build || order.output_fd >= 0) return run;
  if (!options.explain) print_evicted(run.report);
  print_text(run.report);
  return run;
}

}  // namespace cairn::cachectl

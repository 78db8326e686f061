// SPDX-License-Identifier: Apache-2.0
// fsck, scrub and migrate: whether a store is what its metadata says, and what is done if it is not.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <nlohmann/json.hpp>

#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libcache/fsck.h"
#include "tools/cachectl/command.h"
#include "tools/cachectl/interrupt.h"
#include "tools/engine/engine.h"

namespace cairn::cachectl {

using base::HostPath;
using base::Result;
using base::Status;
using nlohmann::ordered_json;

namespace {

struct FsckReport {
  cache::MetadataWalk walk;
  std::vector<cache::Finding> findings;
  std::vector<std::string> unknown;  // names under the root that are not ours: left alone
  std::optional<cache::Rebuild> rebuilt;
  std::optional<cache::BlobRepair> repaired;
  std::optional<cache::ScrubReport> scrubbed;
  std::uint64_t repaired_rows = 0;

  bool clean() const {
    return walk.broken.empty() && walk.damaged_count == 0 && findings.empty() && (!scrubbed || scrubbed->damaged == 0);
  }
};

// Part of a live owner's work, and no fault.
bool is_of_owner(const cache::Finding& finding) { return finding.invariant == 6; }

bool contains(const std::vector<cache::Finding>& findings, const cache::Finding& wanted) {
  return std::any_of(findings.begin(), findings.end(), [&](const cache::Finding& finding) {
    return finding.invariant == wanted.invariant && finding.text == wanted.text;
  });
}

// Beside a live owner something may come or go between two looks: what a second check in new transactions does not
// find again was none.
Result<std::vector<cache::Finding>> check_twice(const HostPath& root) {
  const auto env = TRY(engine::open_read_only(root));
  std::vector<cache::Finding> findings = TRY(cache::check(*env, root));
  if (findings.empty() || !engine::owner_pid(root)) return findings;
  std::erase_if(findings, is_of_owner);
  if (findings.empty()) return findings;
  const std::vector<cache::Finding> again = TRY(cache::check(*env, root));
  std::erase_if(findings, [&](const cache::Finding& finding) { return !contains(again, finding); });
  return findings;
}

Result<std::vector<std::string>> unknown_names(const HostPath& root) {
  constexpr std::array<std::string_view, 16> known = {"VERSION", "lock",    "reserve",      "engine.sock", "meta",   "gc.toml", "store.toml",
                                                      "blobs",   "trees",   "drivers",      "late",        "tmp",
                                                      "meta.new", "meta.damaged", "meta.format1", "quarantine"};
  std::vector<std::string> names = TRY(base::list_host_dir(root));
  std::erase_if(names, [&](const std::string& name) { return std::find(known.begin(), known.end(), name) != known.end(); });
  return names;
}

Status look(const HostPath& root, FsckReport& report) {
  const auto tables = engine::all_tables();
  report.walk = TRY(cache::walk_metadata(root, tables));
  report.findings.clear();
  if (report.walk.broken.empty()) report.findings = TRY(check_twice(root));
  report.unknown = TRY(unknown_names(root));
  return {};
}

Status rebuild(const HostPath& root, FsckReport& report) {
  const base::Fd lock = TRY(engine::lock_for_repair(root));
  const auto tables = engine::all_tables();
  report.rebuilt = TRY(cache::rebuild_metadata(root, tables));
  return {};
}

// As the owner: rows that follow from others are made anew, blobs that are not what their names say become misses, and files that nothing names go.
Status read_back(const HostPath& root, FsckReport& report, std::stop_token stop) {
  auto engine = TRY(engine::Engine::open(engine::EngineOptions(root)));
  report.repaired_rows = TRY(engine->cache().repair_rows());
  report.repaired = TRY(engine->cache().repair_blobs(stop));
  report.scrubbed = TRY(engine->cache().scrub({.from = cache::ScrubOptions::From::beginning}, stop));
  return {};
}

Result<FsckReport> check_and_repair(const HostPath& root, const FsckArguments& arguments, std::stop_token stop) {
  FsckReport report;
  if (!arguments.rebuild) TRY(look(root, report));
  const bool metadata_is_bad = !report.walk.broken.empty() || report.walk.damaged_count > 0;
  if (arguments.rebuild || (arguments.repair && metadata_is_bad)) {
    std::cerr << "fsck: making the metadata anew from the journal\n";
    TRY(rebuild(root, report));
    TRY(look(root, report));
  }
  if (!arguments.repair) return report;
  std::cerr << "fsck: reading all blobs back\n";
  TRY(read_back(root, report, stop));
  TRY(look(root, report));
  return report;
}

std::string report_json(const FsckReport& report) {
  ordered_json json = {{"format", 1},
                       {"clean", report.clean()},
                       {"rows", report.walk.rows},
                       {"damaged_rows", report.walk.damaged_count},
                       {"broken", report.walk.broken}};
  json["damaged"] = report.walk.damaged;
  json["findings"] = ordered_json::array();
  for (const cache::Finding& finding : report.findings)
    json["findings"].push_back({{"invariant", finding.invariant}, {"text", finding.text}});
  json["unknown"] = report.unknown;
  json["repaired_rows"] = report.repaired_rows;
  if (report.rebuilt)
    json["rebuilt"] = {{"rows", report.rebuilt->rows},
                       {"transactions", report.rebuilt->transactions},
                       {"damaged_entries", report.rebuilt->damaged_entries},
                       {"missing", report.rebuilt->missing}};
  if (report.repaired)
    json["repaired"] = {{"blobs_missed", report.repaired->missed},
                        {"stray_files", report.repaired->stray_files},
                        {"freed_bytes", report.repaired->freed_bytes}};
  if (report.scrubbed)
    json["scrubbed"] = {{"blobs", report.scrubbed->blobs},
                        {"bytes", report.scrubbed->bytes},
                        {"damaged", report.scrubbed->damaged}};
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

void print_text(const FsckReport& report) {
  if (report.rebuilt)
    std::cout << "metadata made anew: " << report.rebuilt->rows << " rows, " << report.rebuilt->damaged_entries
              << " damaged entries of the journal\n";
  if (!report.walk.broken.empty()) std::cout << "metadata: " << printable(report.walk.broken) << "\n";
  for (const std::string& row : report.walk.damaged) std::cout << "damaged row: " << row << "\n";
  for (const cache::Finding& finding : report.findings)
    std::cout << "I" << finding.invariant << ": " << printable(finding.text) << "\n";
  for (const std::string& name : report.unknown) std::cout << "not ours, left alone: " << printable(name) << "\n";
  if (report.repaired && report.repaired->missed + report.repaired->stray_files > 0)
    std::cout << report.repaired->missed << " blobs were not there and are misses now, " << report.repaired->stray_files
              << " files that nothing names are deleted\n";
  if (report.repaired_rows > 0) std::cout << report.repaired_rows << " rows made anew\n";
  if (report.scrubbed)
    std::cout << report.scrubbed->blobs << " blobs read back, " << report.scrubbed->damaged << " damaged\n";
  std::cout << report.walk.rows << " rows, " << (report.clean() ? "clean" : "not clean") << "\n";
}

}  // namespace

ExitCode run_fsck(const GlobalOptions& global, const FsckArguments& arguments) {
  const auto options = store_options(global);
  if (!options) return report_error(options.error());
  const HostPath& root = options->engine.root;
  const auto version = engine::version_of_store(root);
  if (!version) return report_error(version.error());
  if (!*version || **version < engine::store_version) {
    const auto opened = engine::open_read_only(root);  // says what is the matter
    if (!opened) return report_error(opened.error());
  }
  const Interrupt interrupt;
  const auto report = check_and_repair(root, arguments, interrupt.token());
  if (!report) return report_error(report.error());
  if (arguments.format == Output::json)
    std::cout << report_json(*report);
  else
    print_text(*report);
  return report->clean() ? ExitCode::done : ExitCode::corruption;
}

ExitCode run_scrub(const GlobalOptions& global, const ScrubArguments& arguments) {
  const auto options = store_options(global);
  if (!options) return report_error(options.error());
  if (auto env = engine::open_read_only(options->engine.root); !env) return report_error(env.error());
  auto engine = engine::Engine::open(engine::EngineOptions(options->engine.root));
  if (!engine) return report_error(engine.error());
  const Interrupt interrupt;
  cache::ScrubOptions scrub;
  scrub.bytes_per_second = arguments.bytes_per_second;
  if (arguments.from_beginning) scrub.from = cache::ScrubOptions::From::beginning;
  const auto report = (*engine)->cache().scrub(scrub, interrupt.token());
  if (!report) return report_error(report.error());
  std::cout << report->blobs << " blobs, " << human_bytes(static_cast<std::int64_t>(report->bytes)) << " read back, "
            << report->damaged << " damaged" << (report->reached_end ? "\n" : "; the next scrub goes on here\n");
  return report->damaged == 0 ? ExitCode::done : ExitCode::corruption;
}

ExitCode run_migrate(const GlobalOptions& global) {
  const auto options = store_options(global);
  if (!options) return report_error(options.error());
  const HostPath& root = options->engine.root;
  const auto migrate = [&]() -> Result<std::uint64_t> {
    const base::Fd lock = TRY(engine::lock_for_repair(root));
    const auto version = TRY(engine::version_of_store(root));
    std::uint64_t rows = 0;
    if (version == 1) {
      const auto tables = engine::all_tables();
      rows = TRY(cache::migrate_metadata(root, tables));
      TRY(engine::write_version(root));
    }
    TRY(cache::finish_migration(root));
    return rows;
  };
  const auto rows = migrate();
  if (!rows) return report_error(rows.error());
  // All facts into the journal, which has had none of them.
  auto engine = engine::Engine::open(engine::EngineOptions(root));
  if (!engine) return report_error(engine.error());
  if (const auto written = (*engine)->cache().checkpoint_if_due(); !written) return report_error(written.error());
  std::cout << "the store has format " << engine::store_version << "; " << *rows << " rows were brought to it\n";
  return ExitCode::done;
}

}  // namespace cairn::cachectl

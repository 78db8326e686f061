// SPDX-License-Identifier: Apache-2.0
// fsck, scrub and migrate: whether a store is what its metadata says, and what is done if it is not.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <nlohmann/json.hpp>

#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libcache/fsck.h"
#include "libsnapshot/stray.h"
#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/verb.h"
#include "tools/engine/client.h"
#include "tools/engine/engine.h"

namespace cairn::cachectl {

using base::HostPath;
using base::Result;
using base::Status;
using nlohmann::ordered_json;

namespace {

struct FsckArguments {
  bool repair = false, rebuild = false;
  Output format = Output::text;
};
struct ScrubArguments {
  std::uint64_t bytes_per_second = 0;
  bool from_beginning = false;
};
struct MigrateArguments {};

bool is_sound(const cache::ScrubReport& scrubbed) { return scrubbed.damaged == 0 && scrubbed.damaged_trees == 0; }

struct FsckReport {
  cache::MetadataWalk walk;
  std::vector<cache::Finding> findings;
  std::vector<std::string> unknown;  // names under the root that are not ours: left alone
  std::optional<cache::Rebuild> rebuilt;
  std::optional<cache::BlobRepair> repaired;
  std::optional<cache::TreeRepair> trees;
  std::optional<cache::ScrubReport> scrubbed;
  std::uint64_t repaired_rows = 0;

  bool clean() const {
    return walk.broken.empty() && walk.damaged_count == 0 && findings.empty() && (!scrubbed || is_sound(*scrubbed));
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
  constexpr std::array<std::string_view, 18> known = {"VERSION", "trace", "lock",    "history",    "reserve",      "engine.sock", "meta",   "gc.toml", "store.toml",
                                                      "blobs",   "trees",   "drivers",      "late",        "tmp",
                                                      "meta.new", "meta.damaged", "meta.format1", "quarantine"};
  std::vector<std::string> names = TRY(base::list_host_dir(root));
  std::erase_if(names, [&](const std::string& name) { return std::find(known.begin(), known.end(), name) != known.end(); });
  return names;
}

// What lies among the trees and has no tree's name, or is no directory.
Result<std::vector<std::string>> unknown_trees(const HostPath& root) {
  std::vector<std::string> unknown;
  const auto names = base::list_host_dir(root / "trees");
  if (!names && names.error().code == base::ErrorCode::not_found) return unknown;
  if (!names) return tl::unexpected(names.error());
  for (const std::string& name : *names) {
    struct ::stat stat {};
    const bool is_there = ::lstat((root / ("trees/" + name)).c_str(), &stat) == 0;
    if (is_there && (!S_ISDIR(stat.st_mode) || !snapshot::parse_tree_name(name))) unknown.push_back("trees/" + name);
  }
  return unknown;
}

Status look(const HostPath& root, FsckReport& report) {
  const auto tables = engine::all_tables();
  report.walk = TRY(cache::walk_metadata(root, tables));
  report.findings.clear();
  if (report.walk.broken.empty()) report.findings = TRY(check_twice(root));
  report.unknown = TRY(unknown_names(root));
  for (std::string& name : TRY(unknown_trees(root))) report.unknown.push_back(std::move(name));
  return {};
}

Status rebuild(const HostPath& root, FsckReport& report) {
  const base::Fd lock = TRY(engine::lock_for_repair(root));
  const auto tables = engine::all_tables();
  report.rebuilt = TRY(cache::rebuild_metadata(root, tables));
  return {};
}

// As the owner: rows that follow from others are made anew, blobs and trees that are not what their names and seals say become
// misses, and what nothing names goes.
Status read_back(const HostPath& root, FsckReport& report, std::stop_token stop) {
  auto engine = TRY(engine::Engine::open(engine::EngineOptions(root)));
  report.repaired_rows = TRY(engine->cache().repair_rows());
  report.repaired = TRY(engine->cache().repair_blobs(stop));
  report.trees = TRY(engine->cache().repair_trees(stop));
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
  std::cerr << "fsck: reading all blobs and trees back\n";
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
  if (report.trees)
    json["repaired_trees"] = {{"stray_trees", report.trees->stray_trees},
                              {"freed_bytes", report.trees->freed_bytes},
                              {"missing_trees", report.trees->missing_trees},
                              {"quarantined_records", report.trees->quarantined_records}};
  if (report.scrubbed)
    json["scrubbed"] = {{"blobs", report.scrubbed->blobs},
                        {"bytes", report.scrubbed->bytes},
                        {"damaged", report.scrubbed->damaged},
                        {"trees", report.scrubbed->trees},
                        {"tree_bytes", report.scrubbed->tree_bytes},
                        {"sealed", report.scrubbed->sealed},
                        {"damaged_trees", report.scrubbed->damaged_trees},
                        {"quarantined_records", report.scrubbed->quarantined_records}};
  return json_line(json);
}

std::string scrub_text(const cache::ScrubReport& scrubbed) {
  std::string text = fmt::format("{} blobs read back, {} damaged; {} trees read back, {} of them sealed for the first time, {} damaged",
                                 scrubbed.blobs, scrubbed.damaged, scrubbed.trees, scrubbed.sealed, scrubbed.damaged_trees);
  if (scrubbed.quarantined_records > 0) text += fmt::format(" ({} records are misses now)", scrubbed.quarantined_records);
  return text;
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
  if (report.trees && report.trees->missing_trees + report.trees->stray_trees > 0)
    std::cout << report.trees->missing_trees << " trees were not there, and " << report.trees->quarantined_records
              << " records are misses now; " << report.trees->stray_trees << " directories that nothing names are deleted\n";
  if (report.scrubbed) std::cout << scrub_text(*report.scrubbed) << "\n";
  std::cout << report.walk.rows << " rows, " << (report.clean() ? "clean" : "not clean") << "\n";
}

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
  const Interrupt interrupt;
  cache::ScrubOptions scrub;
  scrub.bytes_per_second = arguments.bytes_per_second;
  if (arguments.from_beginning) scrub.from = cache::ScrubOptions::From::beginning;
  const auto report = engine::scrub_store(*options, scrub, interrupt.token());
  if (!report) return report_error(report.error());
  std::cout << scrub_text(*report) << ", " << human_bytes(static_cast<std::int64_t>(report->bytes + report->tree_bytes)) << " in all"
            << (report->reached_end ? "\n" : "; the next scrub goes on here\n");
  return is_sound(*report) ? ExitCode::done : ExitCode::corruption;
}

ExitCode run_migrate(const GlobalOptions& global, const MigrateArguments&) {
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

}  // namespace

void add_repair_verbs(CLI::App& app, Program& program) {
  auto [fsck, to_check] = add_verb<FsckArguments>(app, program, "fsck", R"(Whether the store is what its metadata says, also while it is in use.

Examples:
  cachectl --root DIR fsck
  cachectl --root DIR fsck --repair     # nobody else uses the store
  cachectl --root DIR fsck --rebuild    # the metadata anew, from the journal)", run_fsck);
  fsck.add_flag("--repair", to_check.repair, "Make damaged metadata anew, read all blobs back, and make misses of what is damaged");
  fsck.add_flag("--rebuild", to_check.rebuild, "Make the metadata anew, whatever it is like");

  auto [scrub, to_scrub] = add_verb<ScrubArguments>(app, program, "scrub", R"(Read blobs and trees back and compare them with their names and seals.

Examples:
  cachectl --root DIR scrub --rate 20000000
  cachectl --root DIR scrub --from-beginning)", run_scrub);
  scrub.add_option("--rate", to_scrub.bytes_per_second, "Bytes per second, on the average; 0: as fast as it goes");
  scrub.add_flag("--from-beginning", to_scrub.from_beginning, "Not from where the last scrub stopped");

  add_verb<MigrateArguments>(app, program, "migrate", R"(Bring a store of an older format to this one.

Examples:
  cachectl --root DIR migrate)", run_migrate);
  add_verb<MigrateArguments>(noun(app, "store"), program, "migrate", R"(Bring a store of an older format to this one: migrate by its full name.

Examples:
  cachectl --root DIR store migrate)", run_migrate);
}

}  // namespace cairn::cachectl

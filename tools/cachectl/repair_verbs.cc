// SPDX-License-Identifier: Apache-2.0
// fsck, repair, scrub and migrate: whether a store is what its metadata says, and what is done if it is not.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libsnapshot/stray.h"
#include "tools/cachectl/fsck_report.h"
#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/progress_bar.h"
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
  bool repair = false, rebuild = false, dry_run = false;
  Output format = Output::text;
};
struct RepairArguments {
  bool rebuild = false, dry_run = false;
  Output format = Output::text;
};
struct ScrubArguments {
  std::uint64_t bytes_per_second = 0;
  bool from_beginning = false;
  Output format = Output::text;
};
struct MigrateArguments {
  bool dry_run = false;
  Output format = Output::text;
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
  if (report.walk.broken.empty()) {
    const ProgressBar bar("comparing rows with files");  // not before: the walk wants no other thread
    report.findings = TRY(check_twice(root));
  }
  report.unknown = TRY(unknown_names(root));
  for (std::string& name : TRY(unknown_trees(root))) report.unknown.push_back(std::move(name));
  return {};
}

// A directory beside other temporary files, for metadata that are made only to be looked at.
class Scratch {
 public:
  static Result<Scratch> make() {
    const char* temp = std::getenv("TMPDIR");
    std::string path = fmt::format("{}/cachectl-XXXXXX", temp != nullptr && *temp == '/' ? temp : "/tmp");
    if (::mkdtemp(path.data()) == nullptr) return base::fail_errno(errno, "make {}", path);
    return Scratch(TRY(HostPath::parse(path)));
  }
  Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, std::nullopt)) {}
  Scratch& operator=(Scratch&&) = delete;
  ~Scratch() {
    if (path_) (void)base::remove_host_tree(*path_);
  }
  HostPath metadata() const { return *path_ / "meta"; }

 private:
  explicit Scratch(HostPath path) : path_(std::move(path)) {}
  std::optional<HostPath> path_;
};

constexpr const char* doing_rebuild = "making the metadata anew";

// What reading all blobs and trees back takes; about.
std::uint64_t bytes_of_store(base::lmdb::Env& env, const HostPath& root) {
  const auto usage = cache::disk_usage(env, root);
  return usage ? static_cast<std::uint64_t>(usage->tree_bytes + usage->blob_bytes + usage->pack_bytes) : 0;
}
std::uint64_t bytes_of_store(const HostPath& root) {
  const auto env = engine::open_read_only(root);
  return env ? bytes_of_store(**env, root) : 0;
}
constexpr const char* doing_read = "reading blobs and trees back";

Result<cache::Rebuild> rebuild(const HostPath& root) {
  const base::Fd lock = TRY(engine::lock_for_repair(root));
  const auto tables = engine::all_tables();
  std::cerr << "making the metadata anew from the journal\n";
  const ProgressBar bar(doing_rebuild);
  return cache::rebuild_metadata(root, tables);
}

// As the owner: rows that follow from others are made anew, blobs and trees that are not what their names and seals say become
// misses, and what nothing names goes.
Result<cache::RepairPlan> read_back(const HostPath& root, std::stop_token stop) {
  const std::uint64_t bytes = bytes_of_store(root);
  auto engine = TRY(engine::Engine::open(engine::EngineOptions(root)));
  std::cerr << "reading all blobs and trees back\n";
  const ProgressBar bar(doing_read, ProgressUnit::bytes, bytes_read_of(bytes));
  cache::RepairPlan done;
  done.rows = TRY(engine->cache().repair_rows());
  done.blobs = TRY(engine->cache().repair_blobs(stop));
  done.trees = TRY(engine->cache().repair_trees(stop));
  done.scrubbed = TRY(engine->cache().scrub({.from = cache::ScrubOptions::From::beginning}, stop));
  if (stop.stop_requested()) return base::fail(base::ErrorCode::cancelled, "repair {}: interrupted; what was found damaged until then is a miss", root.str());
  return done;
}

bool is_bad(const cache::MetadataWalk& walk) { return !walk.broken.empty() || walk.damaged_count > 0; }

Result<FsckReport> check_and_repair(const HostPath& root, const FsckArguments& arguments, std::stop_token stop) {
  FsckReport report;
  if (!arguments.rebuild) TRY(look(root, report));
  if (arguments.rebuild || (arguments.repair && is_bad(report.walk))) {
    report.rebuilt = TRY(rebuild(root));
    TRY(look(root, report));
  }
  if (!arguments.repair) return report;
  report.repaired = TRY(read_back(root, stop));
  TRY(look(root, report));
  return report;
}

// The same, found without changing anything: beside an owner, and metadata that would be made anew are made elsewhere.
Result<FsckReport> plan(const HostPath& root, const FsckArguments& arguments, std::stop_token stop) {
  FsckReport report;
  report.effect = Effect::dry_run;
  const bool is_there = TRY(base::host_exists(root / "meta"));
  if (is_there) TRY(look(root, report));
  const auto tables = engine::all_tables();
  std::optional<Scratch> scratch;
  if (arguments.rebuild || (arguments.repair && is_bad(report.walk))) {
    const ProgressBar bar(doing_rebuild);
    scratch.emplace(TRY(Scratch::make()));
    report.rebuilt = TRY(cache::rebuild_metadata_into(scratch->metadata(), root, tables));
  }
  if (!arguments.repair) return report;
  base::lmdb::Env::Options read_only;
  read_only.mode = base::lmdb::Mode::read_only;
  const auto env = scratch ? TRY(base::lmdb::Env::open(scratch->metadata(), tables, read_only)) : TRY(engine::open_read_only(root));
  const ProgressBar bar(doing_read, ProgressUnit::bytes, bytes_read_of(bytes_of_store(*env, root)));
  report.repaired = TRY(cache::plan_repair(*env, root, stop));
  return report;
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
  if (arguments.dry_run && !arguments.repair && !arguments.rebuild) {
    return report_usage({.code = base::ErrorCode::invalid_argument,
                         .message = "fsck --dry-run: a look changes nothing",
                         .hint = "say of what: --repair or --rebuild"});
  }
  const auto report = arguments.dry_run ? plan(root, arguments, interrupt.token()) : check_and_repair(root, arguments, interrupt.token());
  if (!report) return report_error(report.error());
  std::cout << (arguments.format == Output::json ? report_json(*report) : report_text(*report));
  return report->clean() ? ExitCode::done : ExitCode::corruption;
}

ExitCode run_repair(const GlobalOptions& global, const RepairArguments& arguments) {
  return run_fsck(global, {.repair = true, .rebuild = arguments.rebuild, .dry_run = arguments.dry_run, .format = arguments.format});
}

Result<cache::ScrubReport> scrub_with_progress(const engine::StoreOptions& options, const cache::ScrubOptions& scrub, std::stop_token stop) {
  const bool whole = scrub.from == cache::ScrubOptions::From::beginning;
  const ProgressBar bar(doing_read, ProgressUnit::bytes, bytes_read_of(whole ? bytes_of_store(options.engine.root) : 0));
  return engine::scrub_store(options, scrub, std::move(stop));
}

ExitCode run_scrub(const GlobalOptions& global, const ScrubArguments& arguments) {
  const auto options = store_options(global);
  if (!options) return report_error(options.error());
  const Interrupt interrupt;
  cache::ScrubOptions scrub;
  scrub.bytes_per_second = arguments.bytes_per_second;
  if (arguments.from_beginning) scrub.from = cache::ScrubOptions::From::beginning;
  const auto report = scrub_with_progress(*options, scrub, interrupt.token());
  if (!report) return report_error(report.error());
  if (arguments.format == Output::json) {
    ordered_json json = {{"format", 1}};
    json.update(scrub_json(*report));
    json["reached_end"] = report->reached_end;
    std::cout << json_line(json);
    return is_sound(*report) ? ExitCode::done : ExitCode::corruption;
  }
  std::cout << scrub_text(*report) << ", " << human_bytes(static_cast<std::int64_t>(report->bytes + report->tree_bytes)) << " in all"
            << (report->reached_end ? "\n" : "; the next scrub goes on here\n");
  return is_sound(*report) ? ExitCode::done : ExitCode::corruption;
}

// How many rows were brought to this format; all of them are in the journal afterwards, which has had none of them.
Result<std::uint64_t> migrate(const HostPath& root) {
  const ProgressBar bar("migrating");
  std::uint64_t rows = 0;
  {
    const base::Fd lock = TRY(engine::lock_for_repair(root));
    if (TRY(engine::version_of_store(root)) == 1) {
      const auto tables = engine::all_tables();
      rows = TRY(cache::migrate_metadata(root, tables));
      TRY(engine::write_version(root));
    }
    TRY(cache::finish_migration(root));
  }
  auto engine = TRY(engine::Engine::open(engine::EngineOptions(root)));
  TRY(engine->cache().checkpoint_if_due());
  return rows;
}

Result<std::uint64_t> plan_migration(const HostPath& root) {
  const auto version = TRY(engine::version_of_store(root));
  if (!version) return base::fail(base::ErrorCode::not_found, "migrate {}: there is no store", root.str());
  const auto tables = engine::all_tables();
  if (version == 1) return cache::count_rows_to_migrate(root, tables);
  TRY(engine::open_read_only(root));  // whether it can be read at all
  return std::uint64_t{0};
}

ExitCode run_migrate(const GlobalOptions& global, const MigrateArguments& arguments) {
  const auto options = store_options(global);
  if (!options) return report_error(options.error());
  const HostPath& root = options->engine.root;
  const auto rows = arguments.dry_run ? plan_migration(root) : migrate(root);
  if (!rows) return report_error(rows.error());
  if (arguments.format == Output::json)
    std::cout << json_line({{"format", 1}, {"dry_run", arguments.dry_run}, {"store_format", engine::store_version}, {"rows", *rows}});
  else if (arguments.dry_run)
    std::cout << fmt::format("{} rows would be brought to format {}; nothing was changed\n", *rows, engine::store_version);
  else
    std::cout << fmt::format("the store has format {}; {} rows were brought to it\n", engine::store_version, *rows);
  return ExitCode::done;
}

void add_dry_run(CLI::App& verb, bool& dry_run) { verb.add_flag("--dry-run", dry_run, "Say what would be done, and change nothing"); }

}  // namespace

void add_repair_verbs(CLI::App& app, Program& program) {
  auto [fsck, to_check] = add_verb<FsckArguments>(app, program, "fsck", R"(Whether the store is what its metadata says, also while it is in use.

Examples:
  cachectl --root DIR fsck
  cachectl --root DIR fsck --repair     # nobody else uses the store
  cachectl --root DIR fsck --rebuild    # the metadata anew, from the journal)", run_fsck);
  fsck.add_flag("--repair", to_check.repair, "Make damaged metadata anew, read all blobs back, and make misses of what is damaged");
  fsck.add_flag("--rebuild", to_check.rebuild, "Make the metadata anew, whatever it is like");
  add_dry_run(fsck, to_check.dry_run);

  auto [repair, to_repair] = add_verb<RepairArguments>(app, program, "repair", R"(Make the store what its metadata says, and misses of what is damaged: fsck --repair by its own name.

Examples:
  cachectl --root DIR repair --dry-run
  cachectl --root DIR repair
  cachectl --root DIR repair --rebuild)", run_repair);
  repair.add_flag("--rebuild", to_repair.rebuild, "Make the metadata anew first, whatever it is like");
  add_dry_run(repair, to_repair.dry_run);

  auto [scrub, to_scrub] = add_verb<ScrubArguments>(app, program, "scrub", R"(Read blobs and trees back and compare them with their names and seals.

Examples:
  cachectl --root DIR scrub --rate 20000000
  cachectl --root DIR scrub --from-beginning --json)", run_scrub);
  scrub.add_option("--rate", to_scrub.bytes_per_second, "Bytes per second, on the average; 0: as fast as it goes");
  scrub.add_flag("--from-beginning", to_scrub.from_beginning, "Not from where the last scrub stopped");

  auto [migrate, to_migrate] = add_verb<MigrateArguments>(app, program, "migrate", R"(Bring a store of an older format to this one.

Examples:
  cachectl --root DIR migrate --dry-run
  cachectl --root DIR migrate)", run_migrate);
  add_dry_run(migrate, to_migrate.dry_run);
  auto [by_noun, of_store] = add_verb<MigrateArguments>(noun(app, "store"), program, "migrate", R"(Bring a store of an older format to this one: migrate by its full name.

Examples:
  cachectl --root DIR store migrate --dry-run
  cachectl --root DIR store migrate)", run_migrate);
  add_dry_run(by_noun, of_store.dry_run);
}

}  // namespace cairn::cachectl

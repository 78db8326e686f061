// SPDX-License-Identifier: Apache-2.0
// cachectl: solve, look, prune. The options of every verb are written out here; what they do is in the other files.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

#include "libbase/log/log.h"
#include "tools/cachectl/command.h"

namespace cairn::cachectl {
namespace {

constexpr const char* description = R"(Solve build graphs against a Cairn store, and look into it.

Examples:
  cachectl --root /var/lib/cairn solve graph.pb --local src=. --output type=local,dest=out
  cachectl llb inspect graph.pb
  cachectl --root /var/lib/cairn du
  cachectl --root /var/lib/cairn prune --dry-run

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 corruption found, 5 store busy, 130 interrupted.)";

void add_json(CLI::App* verb, Output& format) {
  verb->add_flag_callback("--json", [&format] { format = Output::json; }, "Print one JSON object on standard output");
}

struct Arguments {
  GlobalOptions global;
  SolveArguments solve;
  DigestArguments digest;
  InspectArguments inspect;
  PruneArguments prune, gc_run;
  FsckArguments fsck;
  ScrubArguments scrub;
  GcCheckArguments gc_check;
  ExportArguments record_export;
  HistoryArguments history;
  DuArguments du;
  Output ls = Output::text, stats = Output::text, doctor = Output::text;
  ExitCode exit_code = ExitCode::done;
};

void add_solve(CLI::App& app, Arguments& arguments) {
  SolveArguments& solve = arguments.solve;
  CLI::App* verb = app.add_subcommand("solve", R"(Solve a graph: run what has not been done before.

Examples:
  cachectl solve graph.pb --local src=. --oci-layout base=./base-image --output type=local,dest=out
  my-front-end | cachectl solve - --progress plain)");
  verb->add_option("FILE", solve.file, "A pb.Definition as BuildKit's clients send it; - reads standard input")->required();
  verb->add_option("--local", solve.locals, "The directory behind local://NAME")->type_name("NAME=DIR");
  verb->add_option("--oci-layout", solve.oci_layouts, "The image layout behind oci-layout://NAME@DIGEST")->type_name("NAME=DIR");
  verb->add_option("--secret", solve.secrets, "A secret that steps may see, from a file or a variable; it is stored nowhere")
      ->type_name("id=ID,src=FILE|env=NAME");
  verb->add_option("--ssh", solve.ssh_agents, "The agent behind a step's ssh mount, by its socket; alone, that of SSH_AUTH_SOCK")
      ->type_name("ID[=SOCKET]");
  verb->add_option("--allow", solve.allowed, "What steps may have beyond the usual: network.host, security.insecure")
      ->check(CLI::IsMember({"network.host", "security.insecure"}));
  verb->add_option("--cache-mount-on-fail", solve.cache_mount_on_fail, "What becomes of a failed step's cache mounts")
      ->check(CLI::IsMember({"keep", "drop"}))->capture_default_str();
  verb->add_flag("--keep-failed", solve.keep_failed, "Keep the trees of a step that fails, as records to look at");
  verb->add_option("--output", solve.output, "Where the result goes")->type_name("type=local,dest=DIR");
  verb->add_option("--source-policy", solve.source_policy, "Which sources it may have, and which it gets instead: BuildKit's JSON")
      ->type_name("FILE");
  verb->add_option("--executor", solve.executor, "What steps run in, if this process becomes the store's owner; auto: the first that works")
      ->check(CLI::IsMember({"auto", "oci", "crun", "runc", "bubblewrap"}));
  verb->add_option("--project", solve.project, "Whose build it is: a label for du and stats")->type_name("NAME");
  verb->add_option("--build", solve.build, "Which build it is: a label for du")->type_name("NAME");
  verb->add_flag("--no-cache", solve.no_cache, "Run every step; results are stored all the same");
  verb->add_option("--resolve-age", solve.resolve_age, "What remote sides have said is not asked again for so long")->type_name("AGE");
  verb->add_option("--max-download", solve.max_download, "The largest file that a source may fetch")->type_name("SPACE");
  verb->add_flag("--offline", solve.offline, "Ask no remote side: sources are what they were when they were last asked");
  verb->add_option("--progress", solve.progress, "How progress is shown on standard error")
      ->check(CLI::IsMember({"auto", "plain", "json", "none"}))->capture_default_str();
  add_json(verb, solve.format);
  verb->callback([&arguments] { arguments.exit_code = run_solve(arguments.global, arguments.solve); });
}

void add_digest(CLI::App& app, Arguments& arguments) {
  DigestArguments& digest = arguments.digest;
  CLI::App* verb = app.add_subcommand("digest", R"(The content digest of a directory, by BuildKit's rules for scanned trees, or of a record, by its own.

Examples:
  cachectl digest ./src
  cachectl --root DIR digest ./src    # what is learned of the files is kept in the store
  cachectl --root DIR digest --diff 1027 1031
  cachectl digest ./src --path lib --include '**/*.c' --json)");
  verb->add_option("DIR|RECORD", digest.targets, "A directory, or a record by its number")->required()->expected(1, 2);
  verb->add_flag("--diff", digest.diff, "Of two: which paths make their digests differ, and in what");
  verb->add_option("--path", digest.path, "What of it counts")->capture_default_str();
  verb->add_flag("--follow", digest.follow, "Follow a symlink that PATH names");
  verb->add_flag("--wildcard", digest.wildcard, "PATH is a pattern");
  verb->add_option("--include", digest.include, "Only what matches (.dockerignore language)")->type_name("PATTERN");
  verb->add_option("--exclude", digest.exclude, "Not what matches")->type_name("PATTERN");
  const std::string group = "What counts (else it is BuildKit's digest)";
  verb->add_flag("--ignore-owner", digest.ignore_owner, "Owners and groups do not count")->group(group);
  verb->add_option("--mode-mask", digest.mode_mask, "The bits of modes that count, octal")
      ->capture_default_str()->type_name("OCTAL")->group(group)
      ->check([](const std::string& text) { return octal_mode(text) ? "" : "not an octal number up to 7777: " + text; });
  verb->add_flag("--count-times", digest.count_times, "Times of modification count, to the nanosecond")->group(group);
  CLI::Option* xattrs = verb->add_option("--xattr", digest.xattrs, "Only these extended attributes count");
  xattrs->type_name("NAME")->group(group);
  verb->add_flag("--no-xattrs", digest.no_xattrs, "No extended attribute counts")->excludes(xattrs)->group(group);
  add_json(verb, digest.format);
  verb->callback([&arguments] { arguments.exit_code = run_digest(arguments.global, arguments.digest); });
}

void add_llb(CLI::App& app, Arguments& arguments) {
  CLI::App* noun = app.add_subcommand("llb", "Look into build graphs");
  noun->require_subcommand(1);
  CLI::App* verb = noun->add_subcommand("inspect", R"(The steps of a graph, with their digests and cache maps.

Examples:
  cachectl llb inspect graph.pb
  cachectl llb inspect --json - < graph.pb)");
  verb->add_option("FILE", arguments.inspect.file, "A pb.Definition; - reads standard input")->required();
  add_json(verb, arguments.inspect.format);
  verb->callback([&arguments] { arguments.exit_code = run_llb_inspect(arguments.inspect); });
}

void add_store_verbs(CLI::App& app, Arguments& arguments) {
  CLI::App* du = app.add_subcommand("du", R"(What the store takes on disk, and whose it is.

Examples:
  cachectl --root DIR du
  cachectl --root DIR du --by project
  cachectl --root DIR du --by type --json)");
  du->add_option("--by", arguments.du.by, "Trees and blobs by what is said of their records")
      ->check(CLI::IsMember({"type", "project", "build", "step"}));
  add_json(du, arguments.du.format);
  du->callback([&arguments] { arguments.exit_code = run_du(arguments.global, arguments.du); });

  CLI::App* ls = app.add_subcommand("ls", "The records of the store\n\nExamples:\n  cachectl --root DIR ls\n  cachectl --root DIR ls --json");
  add_json(ls, arguments.ls);
  ls->callback([&arguments] { arguments.exit_code = run_ls(arguments.global, arguments.ls); });

  CLI::App* stats = app.add_subcommand("stats", R"(Hits, misses by cause, and what hits have saved, by project.

Examples:
  cachectl --root DIR stats
  cachectl --root DIR stats --json)");
  add_json(stats, arguments.stats);
  stats->callback([&arguments] { arguments.exit_code = run_stats(arguments.global, arguments.stats); });

  CLI::App* doctor = app.add_subcommand("doctor", "What the store stands on, and what is wrong with it\n\nExamples:\n  cachectl --root DIR doctor\n  cachectl --root DIR doctor --json");
  add_json(doctor, arguments.doctor);
  doctor->callback([&arguments] { arguments.exit_code = run_doctor(arguments.global, arguments.doctor); });

  CLI::App* prune = app.add_subcommand("prune", R"(Remove records that nothing uses.

Examples:
  cachectl --root DIR prune --dry-run
  cachectl --root DIR prune --all
  cachectl --root DIR prune --filter type==exec.cachemount --until 48h --dry-run
  cachectl --root DIR prune --max-used 10GB --keep-storage 1GB)");
  prune->add_flag("--all", arguments.prune.all, "Also what a cache key leads to; with rules, also what is internal");
  prune->add_option("--filter", arguments.prune.filters, "Only what matches (BuildKit's filters); several: one of them")
      ->type_name("FILTER");
  prune->add_option("--until", arguments.prune.until, "Only what was not used for so long")->type_name("AGE");
  prune->add_option("--max-used", arguments.prune.max_used, "Only down to so many live bytes")->type_name("SPACE");
  prune->add_option("--min-free", arguments.prune.min_free, "Only until so much of the disk is free")->type_name("SPACE");
  prune->add_option("--keep-storage", arguments.prune.keep_storage, "Never below so many live bytes")->type_name("SPACE");
  prune->add_flag("--dry-run", arguments.prune.dry_run, "Say what would be removed and remove nothing");
  add_json(prune, arguments.prune.format);
  prune->callback([&arguments] { arguments.exit_code = run_prune(arguments.global, arguments.prune); });
}

void add_record(CLI::App& app, Arguments& arguments) {
  CLI::App* noun = app.add_subcommand("record", "What is about one record");
  noun->require_subcommand(1);
  CLI::App* verb = noun->add_subcommand("export", R"(Copy the tree of a record out of the store.

Examples:
  cachectl --root DIR ls
  cachectl --root DIR record export 1027 ./look)");
  verb->add_option("RECORD", arguments.record_export.record, "Its number, as ls and a failed step that was kept say it")->required();
  verb->add_option("DIR", arguments.record_export.dest, "Made if it is missing")->required();
  add_json(verb, arguments.record_export.format);
  verb->callback([&arguments] { arguments.exit_code = run_record_export(arguments.global, arguments.record_export); });
}

void add_history(CLI::App& app, Arguments& arguments) {
  HistoryArguments& history = arguments.history;
  CLI::App* noun = app.add_subcommand("history", "What was solved");
  noun->require_subcommand(1);
  CLI::App* list = noun->add_subcommand("list", R"(The last solves, the newest first.

Examples:
  cachectl --root DIR history list
  cachectl --root DIR history list --limit 0 --json)");
  list->add_option("--limit", history.limit, "How many; 0: all that are kept")->capture_default_str();
  add_json(list, history.list_format);
  list->callback([&arguments] { arguments.exit_code = run_history_list(arguments.global, arguments.history); });
  CLI::App* show = noun->add_subcommand("show", R"(The steps of one solve: how each was looked for, and what came of it.

Examples:
  cachectl --root DIR history show last
  cachectl --root DIR history show 187bcd5f2a3c9e10 --json)");
  show->add_option("SOLVE", history.solve, "Its id, or last")->required();
  add_json(show, history.show_format);
  show->callback([&arguments] { arguments.exit_code = run_history_show(arguments.global, arguments.history); });
  CLI::App* ledger = noun->add_subcommand("ledger", R"(Steps that made something else when they were run again, and the paths that differ.

Examples:
  cachectl --root DIR history ledger
  cachectl --root DIR history ledger 4c67a1
  cachectl --root DIR history ledger --limit 0 --json)");
  ledger->add_option("KEY", history.key, "Of one step, with all its paths; the first digits will do");
  ledger->add_option("--limit", history.limit, "How many steps; 0: all that are kept")->capture_default_str();
  add_json(ledger, history.ledger_format);
  ledger->callback([&arguments] { arguments.exit_code = run_history_ledger(arguments.global, arguments.history); });
}

void add_gc(CLI::App& app, Arguments& arguments) {
  CLI::App* noun = app.add_subcommand("gc", "Policies of collection");
  noun->require_subcommand(1);
  CLI::App* verb = noun->add_subcommand("check", R"(What a policy means, and what is wrong or risky in it.

Examples:
  cachectl gc check gc.toml
  cachectl gc check /etc/buildkit/buildkitd.toml    # translated)");
  verb->add_option("FILE", arguments.gc_check.file, "A policy, or BuildKit's configuration; - reads standard input")->required();
  add_json(verb, arguments.gc_check.format);
  verb->callback([&arguments] { arguments.exit_code = run_gc_check(arguments.gc_check); });

  CLI::App* run = noun->add_subcommand("run", R"(Apply a policy once: the store's own, or another.

Examples:
  cachectl --root DIR gc run --dry-run
  cachectl --root DIR gc run --policy gc.toml)");
  run->add_option("--policy", arguments.gc_run.policy_file, "A policy, or BuildKit's configuration")->type_name("FILE");
  run->add_flag("--dry-run", arguments.gc_run.dry_run, "Say what would be removed and remove nothing");
  add_json(run, arguments.gc_run.format);
  arguments.gc_run.own_policy = true;
  run->callback([&arguments] { arguments.exit_code = run_prune(arguments.global, arguments.gc_run); });
}

void add_repair_verbs(CLI::App& app, Arguments& arguments) {
  CLI::App* fsck = app.add_subcommand("fsck", R"(Whether the store is what its metadata says, also while it is in use.

Examples:
  cachectl --root DIR fsck
  cachectl --root DIR fsck --repair     # nobody else uses the store
  cachectl --root DIR fsck --rebuild    # the metadata anew, from the journal)");
  fsck->add_flag("--repair", arguments.fsck.repair,
                 "Make damaged metadata anew, read all blobs back, and make misses of what is damaged");
  fsck->add_flag("--rebuild", arguments.fsck.rebuild, "Make the metadata anew, whatever it is like");
  add_json(fsck, arguments.fsck.format);
  fsck->callback([&arguments] { arguments.exit_code = run_fsck(arguments.global, arguments.fsck); });

  CLI::App* scrub = app.add_subcommand("scrub", R"(Read blobs and trees back and compare them with their names and seals.

Examples:
  cachectl --root DIR scrub --rate 20000000
  cachectl --root DIR scrub --from-beginning)");
  scrub->add_option("--rate", arguments.scrub.bytes_per_second, "Bytes per second, on the average; 0: as fast as it goes");
  scrub->add_flag("--from-beginning", arguments.scrub.from_beginning, "Not from where the last scrub stopped");
  scrub->callback([&arguments] { arguments.exit_code = run_scrub(arguments.global, arguments.scrub); });

  CLI::App* migrate = app.add_subcommand("migrate", R"(Bring a store of an older format to this one.

Examples:
  cachectl --root DIR migrate)");
  migrate->callback([&arguments] { arguments.exit_code = run_migrate(arguments.global); });
}

int main_checked(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(description, "cachectl");
  app.set_version_flag("--version", "cachectl " CAIRN_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  const char* root = std::getenv("CAIRN_ROOT");
  arguments.global.root = root != nullptr ? root : "/var/lib/cairn";
  arguments.global.root_is_given = root != nullptr;
  app.add_option("--root", arguments.global.root, "The store (or $CAIRN_ROOT)")
      ->type_name("DIR")
      ->capture_default_str()
      ->each([&arguments](const std::string&) { arguments.global.root_is_given = true; });
  app.add_flag("--no-daemon", arguments.global.no_daemon, "Fail with exit code 5 if another process owns the store");
  app.add_flag("--verbose", arguments.global.verbose, "Say more on standard error")
      ->each([](const std::string&) { base::set_log_level(base::LogLevel::info); });
  add_solve(app, arguments);
  add_digest(app, arguments);
  add_llb(app, arguments);
  add_store_verbs(app, arguments);
  add_record(app, arguments);
  add_history(app, arguments);
  add_gc(app, arguments);
  add_repair_verbs(app, arguments);

  // CLI11 reports by exceptions; this is its door.
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  std::cout.flush();
  if (!std::cout) {
    std::cerr << "cachectl: write the result: standard output is closed or full\n";
    return static_cast<int>(ExitCode::failed);
  }
  return static_cast<int>(arguments.exit_code);
}

}  // namespace
}  // namespace cairn::cachectl

int main(int argc, char** argv) { return cairn::cachectl::main_checked(argc, argv); }

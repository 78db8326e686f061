// SPDX-License-Identifier: Apache-2.0
// record export, cat and mount: a record's tree, or one file of it, to look at. The owner of the store reads or mounts it.
#include <iostream>
#include <nlohmann/json.hpp>

#include "tools/cachectl/attached_tree.h"
#include "tools/cachectl/from_store.h"
#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/progress_bar.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {
namespace {

struct ExportArguments {
  std::uint64_t record = 0;
  std::string dest;
  Output format = Output::text;
};

base::Result<solver::ExportReport> export_record(const GlobalOptions& global, const ExportArguments& arguments) {
  const engine::StoreOptions options = TRY(store_options(global));
  const base::HostPath dest = TRY(base::HostPath::from_user(arguments.dest));
  const Interrupt interrupt;
  const ProgressBar bar("copying the tree", ProgressUnit::bytes, bytes_read_of(0));
  return engine::export_from_store(options, {arguments.record, dest.str()}, interrupt.token());
}

ExitCode run_record_export(const GlobalOptions& global, const ExportArguments& arguments) {
  const auto exported = export_record(global, arguments);
  if (!exported) {
    return report_error(base::add_context(exported.error(), fmt::format("export record {} to {}", arguments.record, arguments.dest)));
  }
  for (const std::string& warning : exported->warnings) std::cerr << "cachectl: warning: " << printable(warning) << '\n';
  if (arguments.format == Output::json) {
    const nlohmann::ordered_json json = {{"format", 1}, {"files", exported->files}, {"bytes", exported->bytes}};
    std::cout << json_line(json);
  } else {
    std::cout << fmt::format("exported {} files, {}\n", exported->files, human_bytes(static_cast<std::int64_t>(exported->bytes)));
  }
  return ExitCode::done;
}

struct CatArguments {
  std::uint64_t record = 0;
  std::string path;
};

ExitCode run_record_cat(const GlobalOptions& global, const CatArguments& arguments) {
  const base::Status written = write_from_store(global, {.of = cache::RecordId(arguments.record), .path = arguments.path, .offset = 0});
  return written ? ExitCode::done : report_error(written.error());
}

struct MountArguments {
  std::uint64_t record = 0;
  std::string dir;
  std::vector<std::string> command;
  Output format = Output::text;
};

void say_mounted(const MountArguments& arguments) {
  if (arguments.format == Output::json) std::cout << json_line({{"format", 1}, {"record", std::to_string(arguments.record)}, {"dir", arguments.dir}});
  else std::cout << fmt::format("record {} is mounted at {} until Ctrl-C\n", arguments.record, printable(arguments.dir));
  std::cout << std::flush;
}

// The exit code of the command, or 0.
base::Result<int> mount_record(const GlobalOptions& global, const MountArguments& arguments) {
  const engine::StoreOptions options = TRY(store_options(global));
  const base::HostPath dir = TRY(base::HostPath::from_user(arguments.dir), "{}", arguments.dir);
  TRY(base::open_host_dir(dir), "mount record {} at {}", arguments.record, dir.str());  // said before anything is done
  int code = 0;
  const auto look = [&](int tree, const std::stop_token& stop) -> base::Status {
    const AttachedTree attached = TRY(AttachedTree::attach(tree, dir));
    if (!arguments.command.empty()) {
      code = TRY(run_command(arguments.command, stop));
    } else {
      say_mounted(arguments);
      engine::wait_until_stopped(stop);
    }
    return {};
  };
  const Interrupt interrupt;
  TRY(engine::with_tree_of_store(options, {arguments.record}, look, interrupt.token()));
  return code;
}

ExitCode run_record_mount(const GlobalOptions& global, const MountArguments& arguments) {
  const auto code = mount_record(global, arguments);
  return code ? static_cast<ExitCode>(*code) : report_error(code.error());
}

}  // namespace

void add_record_verbs(CLI::App& app, Program& program) {
  auto [verb, arguments] = add_verb<ExportArguments>(noun(app, "record"), program, "export", R"(Copy the tree of a record out of the store.

Examples:
  cachectl --root DIR ls
  cachectl --root DIR record export 1027 ./look)", run_record_export);
  verb.add_option("RECORD", arguments.record, "Its number, as ls and a failed step that was kept say it")->required();
  verb.add_option("DIR", arguments.dest, "Made if it is missing")->required();
  auto cat = add_verb<CatArguments>(noun(app, "record"), program, "cat", R"(Print a file of a record.

Examples:
  cachectl --root DIR record cat 1027 etc/os-release)", run_record_cat);
  cat.app.add_option("RECORD", cat.arguments.record, "Its number")->required();
  cat.app.add_option("PATH", cat.arguments.path, "A regular file in its tree")->required();
  auto mount = add_verb<MountArguments>(noun(app, "record"), program, "mount", R"(Mount the tree of a record at a directory, read-only, until Ctrl-C or until a command ends.

Examples:
  cachectl --root DIR record mount 1027 ./look
  cachectl --root DIR record mount 1027 ./look -- find ./look -name '*.o'

The record is not collected meanwhile. With a command the exit code is that of the command.)", run_record_mount);
  mount.app.add_option("RECORD", mount.arguments.record, "Its number")->required();
  mount.app.add_option("DIR", mount.arguments.dir, "A directory; what is in it is hidden meanwhile")->required();
  mount.app.add_option("COMMAND", mount.arguments.command, "What is run, with its arguments, behind --");
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
// record export and cat: a record's tree, or one file of it, to look at. The owner of the store reads it.
#include <iostream>
#include <nlohmann/json.hpp>

#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/json.h"
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

// In pieces, each of which is written before the next is asked for.
base::Status write_file(const GlobalOptions& global, const CatArguments& arguments) {
  const engine::StoreOptions options = TRY(store_options(global));
  const Interrupt interrupt;
  engine::FileOrder order{.record = arguments.record, .path = arguments.path, .offset = 0};
  while (std::cout) {
    const engine::FilePiece piece = TRY(engine::read_from_store(options, order, interrupt.token()));
    std::cout.write(piece.bytes.data(), static_cast<std::streamsize>(piece.bytes.size()));
    order.offset += piece.bytes.size();
    if (piece.bytes.empty() || order.offset >= piece.file_size) break;
  }
  return {};
}

ExitCode run_record_cat(const GlobalOptions& global, const CatArguments& arguments) {
  const base::Status written = write_file(global, arguments);
  return written ? ExitCode::done : report_error(written.error());
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
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
// record export: a record's tree as files of this machine, so that one can look at it. The owner of the store copies it.
#include <iostream>
#include <nlohmann/json.hpp>

#include "tools/cachectl/interrupt.h"
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
    std::cout << json.dump() << '\n';
  } else {
    std::cout << fmt::format("exported {} files, {}\n", exported->files, human_bytes(static_cast<std::int64_t>(exported->bytes)));
  }
  return ExitCode::done;
}

}  // namespace

void add_record_verbs(CLI::App& app, Program& program) {
  auto [verb, arguments] = add_verb<ExportArguments>(noun(app, "record"), program, "export", R"(Copy the tree of a record out of the store.

Examples:
  cachectl --root DIR ls
  cachectl --root DIR record export 1027 ./look)", run_record_export);
  verb.add_option("RECORD", arguments.record, "Its number, as ls and a failed step that was kept say it")->required();
  verb.add_option("DIR", arguments.dest, "Made if it is missing")->required();
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
// llb inspect: a verb that needs no store.
#include <iostream>

#include "libsolver/inspect.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {
namespace {

struct InspectArguments {
  std::string file;
  Output format = Output::text;
};

ExitCode run_llb_inspect(const GlobalOptions&, const InspectArguments& arguments) {
  const auto bytes = read_input(arguments.file);
  if (!bytes) return report_error(bytes.error());
  const auto text =
      arguments.format == Output::json ? solver::inspect_json(*bytes) : solver::inspect_text(*bytes);
  if (!text) return report_error(base::add_context(text.error(), fmt::format("inspect {}", arguments.file)));
  std::cout << *text;
  if (!text->ends_with('\n')) std::cout << '\n';
  return ExitCode::done;
}

}  // namespace

void add_llb_verbs(CLI::App& app, Program& program) {
  auto [verb, arguments] = add_verb<InspectArguments>(noun(app, "llb"), program, "inspect", R"(The steps of a graph, with their digests and cache maps.

Examples:
  cachectl llb inspect graph.pb
  cachectl llb inspect --json - < graph.pb)", run_llb_inspect);
  verb.add_option("FILE", arguments.file, "A pb.Definition; - reads standard input")->required();
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/solve_options.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

struct SolveArguments {
  std::string file;
  std::vector<std::string> locals, oci_layouts;
  std::string output;
  SolveOptions options;
  Output format = Output::text;
};

// type=local,dest=DIR; the order is free.
Result<std::string> parse_output(const std::string& text) {
  if (text.empty()) return std::string();
  auto attributes = TRY(parse_attributes(text, "--output", "dest"));
  if (attributes["type"] != "local") return fail(ErrorCode::invalid_argument, "--output {}: want type=local,dest=DIR", text);
  if (attributes["dest"].empty()) return fail(ErrorCode::invalid_argument, "--output {}: dest is missing", text);
  for (const auto& [name, value] : attributes)
    if (name != "type" && name != "dest") return fail(ErrorCode::invalid_argument, "--output {}: do not know \"{}\"", text, name);
  return attributes["dest"];
}

base::Status read_arguments(const SolveArguments& arguments, engine::SolveOrder& order) {
  order.locals = TRY(parse_bindings(arguments.locals, "--local"));
  order.oci_layouts = TRY(parse_bindings(arguments.oci_layouts, "--oci-layout"));
  order.output_dir = TRY(parse_output(arguments.output));
  return {};
}

ExitCode run_solve(const GlobalOptions& global, const SolveArguments& arguments) {
  engine::SolveOrder order;
  if (const auto read = read_arguments(arguments, order); !read) return report_usage(read.error());
  if (const ExitCode filled = fill_order(arguments.options, order); filled != ExitCode::done) return filled;
  auto definition = read_input(arguments.file);
  if (!definition) return report_error(definition.error());
  order.definition = std::move(*definition);
  return run_order(global, arguments.options, arguments.format, std::move(order)).code;
}

}  // namespace

void add_solve(CLI::App& app, Program& program) {
  auto [verb, solve] = add_verb<SolveArguments>(app, program, "solve", R"(Solve a graph: run what has not been done before.

Examples:
  cachectl solve graph.pb --local src=. --oci-layout base=./base-image --output type=local,dest=out
  my-front-end | cachectl solve - --progress plain
  cachectl solve graph.pb --cache-from type=local,src=cache --cache-to type=local,dest=cache,mode=max)",
                               run_solve);
  verb.add_option("FILE", solve.file, "A pb.Definition as BuildKit's clients send it; - reads standard input")->required();
  verb.add_option("--local", solve.locals, "The directory behind local://NAME")->type_name("NAME=DIR");
  verb.add_option("--oci-layout", solve.oci_layouts, "The image layout behind oci-layout://NAME@DIGEST")->type_name("NAME=DIR");
  verb.add_option("--output", solve.output, "Where the result goes")->type_name("type=local,dest=DIR");
  add_solve_options(verb, solve.options);
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
// graph: a build graph to look at, with what a solve has made of each step. Graphviz lays it out.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "libbase/fs/beneath.h"
#include "libcache/history.h"
#include "libsolver/inspect.h"
#include "tools/cachectl/chart.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::Result;
using base::Status;
using Json = nlohmann::ordered_json;

namespace {

struct GraphArguments {
  std::string file, solve, output;
};

// In a label of dot: quotes and backslashes are its own, and a step's name may be anything.
std::string dot_text(std::string_view text) {
  constexpr std::size_t shown_max = 60;
  std::string out;
  for (const char c : printable(text.size() > shown_max ? std::string(text.substr(0, shown_max)) + "..." : std::string(text))) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

Result<std::map<std::string, cache::SolvedStep>> steps_of(const GlobalOptions& global, const std::string& solve) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  std::optional<cache::SolveRow> row;
  if (solve == "last") {
    auto all = TRY(cache::solve_history(*env, options.engine.root));
    if (!all.empty()) row = std::move(all.back());
  } else {
    row = TRY(cache::find_solve(*env, options.engine.root, TRY(cache::parse_solve_id(solve))));
  }
  if (!row) return base::fail(ErrorCode::not_found, "solve {}: it is not in the history of {}", solve, options.engine.root.str());
  std::map<std::string, cache::SolvedStep> steps;
  for (cache::SolvedStep& step : row->steps) {
    std::string digest = "sha256:" + base::to_hex(step.digest);
    steps.emplace(std::move(digest), std::move(step));
  }
  return steps;
}

// Hits are blue, misses orange, failures red, and what was not in the solve is grey; the words say it, too.
const char* colour_of(const std::optional<cache::SolvedStep>& step) {
  if (!step) return "#eeeeee";
  switch (step->state) {
    case cache::SolvedStep::State::cached: return "#b3d9f2";
    case cache::SolvedStep::State::executed: return "#f7c9a0";
    case cache::SolvedStep::State::failed: return "#f2a0a0";
    case cache::SolvedStep::State::cancelled: return "#dddddd";
  }
  return "#eeeeee";
}

Result<std::string> dot_of(const GlobalOptions& global, const GraphArguments& arguments) {
  const std::string bytes = TRY(read_input(arguments.file));
  const Json graph = Json::parse(TRY(solver::inspect_json(bytes), "read {}", arguments.file), nullptr, false);
  std::map<std::string, cache::SolvedStep> steps;
  if (!arguments.solve.empty()) steps = TRY(steps_of(global, arguments.solve));
  std::string dot = "digraph build {\n  rankdir=BT;\n  node [shape=box, style=filled, fontname=\"sans-serif\", fontsize=11];\n";
  for (const Json& op : graph.at("ops")) {
    if (op.at("kind") == "return") continue;
    const std::string digest = op.at("vertex_digest").get<std::string>();
    const auto found = steps.find(digest);
    const std::optional<cache::SolvedStep> step = found == steps.end() ? std::nullopt : std::optional(found->second);
    const std::string name = op.at("name").get<std::string>();
    std::string label = dot_text(op.at("kind").get<std::string>()) + "\\n" + dot_text(name.empty() ? digest.substr(7, 12) : name);
    if (step) {
      label += "\\n" + std::string(cache::to_string(step->state));
      if (step->duration.count() > 0) label += ", " + human_duration(step->duration);
      if (step->missed) label += "\\n" + std::string(cache::to_string(*step->missed));
    }
    dot += fmt::format("  \"{}\" [label=\"{}\", fillcolor=\"{}\"];\n", digest, label, colour_of(step));
    for (const Json& input : op.at("inputs"))
      dot += fmt::format("  \"{}\" -> \"{}\"{};\n", input.at("digest").get<std::string>(), digest,
                         input.at("index").get<int>() == 0 ? std::string() : fmt::format(" [label=\"output {}\"]", input.at("index").get<int>()));
  }
  return dot + "}\n";
}

// What dot makes of it. It reads a pipe and writes one; what it says of itself goes where our own talk goes.
Result<std::string> lay_out(const std::string& dot) {
  int in[2], out[2];
  if (::pipe2(in, O_CLOEXEC) != 0) return base::fail_errno(errno, "start dot");
  base::Fd read_in(in[0]), write_in(in[1]);
  if (::pipe2(out, O_CLOEXEC) != 0) return base::fail_errno(errno, "start dot");
  base::Fd read_out(out[0]), write_out(out[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return base::fail_errno(errno, "start dot");
  if (pid == 0) {
    ::dup2(read_in.get(), STDIN_FILENO);
    ::dup2(write_out.get(), STDOUT_FILENO);
    ::execlp("dot", "dot", "-Tsvg", static_cast<char*>(nullptr));
    ::_exit(errno == ENOENT ? 127 : 126);
  }
  read_in.reset();
  write_out.reset();
  // dot reads all before it writes anything.
  const Status written = base::write_full(write_in.get(), dot);
  write_in.reset();
  auto svg = base::read_all(read_out.get(), std::size_t{1} << 30);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
    auto error = base::fail(ErrorCode::unavailable, "lay out the graph: the program dot is not there");
    error.value().hint = "install Graphviz (Debian: apt-get install graphviz), or write --output graph.dot";
    return error;
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return base::fail(ErrorCode::io, "lay out the graph: dot failed");
  TRY(Status(written), "hand the graph to dot");
  return svg;
}

Status write_graph(const GlobalOptions& global, const GraphArguments& arguments) {
  const base::HostPath path = TRY(base::HostPath::from_user(arguments.output), "--output {}", arguments.output);
  const auto ends = [&](std::string_view with) { return arguments.output.ends_with(with); };
  if (!ends(".dot") && !ends(".svg") && !ends(".html"))
    return base::fail(ErrorCode::invalid_argument, "--output {}: want a name that ends in .svg, .dot or .html", arguments.output);
  std::string text = TRY(dot_of(global, arguments));
  if (!ends(".dot")) {
    text = TRY(lay_out(text));
    const std::size_t begin = text.find("<svg");  // before it stand a declaration and the address of a DTD
    if (begin == std::string::npos) return base::fail(ErrorCode::io, "lay out the graph: dot made no SVG");
    text.erase(0, begin);
  }
  if (ends(".html"))
    text = fmt::format("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title></head><body style=\"font-family:sans-serif\">\n<h1>{0}</h1>\n"
                       "<p>Blue: found. Orange: ran. Red: failed. Grey: not part of the solve.</p>\n{1}</body></html>\n", escape_markup(arguments.file), text);
  return base::write_file_atomic(path, text, base::Durable::no);
}

ExitCode run_graph(const GlobalOptions& global, const GraphArguments& arguments) {
  if (const Status written = write_graph(global, arguments); !written) return report_error(written.error());
  std::cout << "written to " << printable(arguments.output) << '\n';
  return ExitCode::done;
}

}  // namespace

void add_graph(CLI::App& app, Program& program) {
  auto [verb, arguments] = add_verb<GraphArguments>(app, program, "graph", R"(A build graph to look at, with what a solve has made of each step.

Examples:
  cachectl graph graph.pb --output graph.svg
  cachectl --root DIR graph graph.pb --solve last --output graph.html
  cachectl graph graph.pb --output graph.dot    # without Graphviz)", run_graph);
  verb.add_option("FILE", arguments.file, "A pb.Definition; - reads standard input")->required();
  verb.add_option("--solve", arguments.solve, "Which solve the colours, words and times are of: its id, or last")->type_name("SOLVE");
  verb.add_option("--output", arguments.output, "What is made of it is said by the name: .svg and .html by Graphviz, .dot for it")->type_name("FILE")->required();
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
// graph: a build graph to look at, or the steps of a solve, with what that has made of each. Graphviz lays it out.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libcache/inspect.h"
#include "libsolver/inspect.h"
#include "tools/cachectl/chart.h"
#include "tools/cachectl/lookup_error.h"
#include "tools/cachectl/named_solve.h"
#include "tools/cachectl/size_text.h"
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

// A step of the graph, with what a solve has made of it.
struct Node {
  std::string id, kind, name;
  std::vector<std::pair<std::string, int>> inputs;  // whose, and which of its outputs
  std::optional<cache::SolvedStep> step;
  std::optional<std::int64_t> bytes;  // of what it made or found, if the store still has that
};

std::string digest_text(const base::Sha256Bytes& digest) { return "sha256:" + base::to_hex(digest); }

// What the record has for itself; nullopt: the store has it no more.
Result<std::optional<std::int64_t>> size_of(base::lmdb::Env& env, cache::RecordId record) {
  const auto found = TRY(cache::find_record(env, record));
  return found ? std::optional(found->info.usage.bytes) : std::optional<std::int64_t>();
}

// Of the first result that the step made, or of what the key that was hit leads to.
Result<std::optional<std::int64_t>> size_of(base::lmdb::Env& env, const cache::SolvedStep& step) {
  if (step.made) return size_of(env, step.made);
  if (!step.hit) return std::optional<std::int64_t>();
  for (const cache::NamedThing& thing : TRY(cache::find_named(env, step.hit->hex(), 1)))
    for (const cache::RecordId record : thing.records)
      if (auto bytes = TRY(size_of(env, record))) return bytes;
  return std::optional<std::int64_t>();
}

struct Solved {
  std::unique_ptr<base::lmdb::Env> env;
  cache::SolveRow row;
};
Result<Solved> find_solve_of(const GlobalOptions& global, const std::string& name) {
  const engine::StoreOptions options = TRY(store_options(global));
  auto env = TRY(engine::open_read_only(options.engine.root));
  auto row = TRY(find_named_solve(*env, options.engine.root, name));
  return Solved{std::move(env), std::move(row)};
}

// The steps that the solve went through; of one from before what was kept of its graph, without arrows.
Result<std::vector<Node>> nodes_of_solve(const Solved& solved) {
  std::vector<Node> nodes;
  for (const cache::SolvedStep& step : solved.row.steps) {
    Node node{.id = digest_text(step.digest), .kind = {}, .name = step.name, .inputs = {}, .step = step, .bytes = TRY(size_of(*solved.env, step))};
    for (const std::uint32_t input : step.inputs) node.inputs.emplace_back(digest_text(solved.row.steps[input].digest), 0);
    nodes.push_back(std::move(node));
  }
  return nodes;
}

Result<std::vector<Node>> nodes_of_file(const std::string& file, const Solved* solved) {
  const std::string bytes = TRY(read_input(file));
  const Json graph = Json::parse(TRY(solver::inspect_json(bytes), "read {}", file), nullptr, false);
  std::map<std::string, const cache::SolvedStep*> steps;
  if (solved != nullptr)
    for (const cache::SolvedStep& step : solved->row.steps) steps.emplace(digest_text(step.digest), &step);
  std::vector<Node> nodes;
  for (const Json& op : graph.at("ops")) {
    if (op.at("kind") == "return") continue;
    Node node{.id = op.at("vertex_digest").get<std::string>(), .kind = op.at("kind").get<std::string>(), .name = op.at("name").get<std::string>(),
              .inputs = {}, .step = {}, .bytes = {}};
    for (const Json& input : op.at("inputs")) node.inputs.emplace_back(input.at("digest").get<std::string>(), input.at("index").get<int>());
    if (const auto step = steps.find(node.id); step != steps.end()) {
      node.step = *step->second;
      node.bytes = TRY(size_of(*solved->env, *node.step));
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
}

// A file of that name is the file.
bool draws_solve(const GraphArguments& arguments) {
  const auto path = base::HostPath::from_user(arguments.file);
  const bool is_file = path && base::host_exists(*path).value_or(true);
  return arguments.solve.empty() && may_name_solve(arguments.file) && !is_file;
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

std::string label_of(const Node& node) {
  const std::string name = dot_text(node.name.empty() ? node.id.substr(7, 12) : node.name);
  std::string label = node.kind.empty() ? name : dot_text(node.kind) + "\\n" + name;
  if (!node.step) return label;
  label += "\\n" + std::string(cache::to_string(node.step->state));
  if (node.step->duration.count() > 0) label += ", " + human_duration(node.step->duration);
  if (node.bytes) label += ", " + size_text(static_cast<double>(*node.bytes));
  if (node.step->missed) label += "\\n" + std::string(cache::to_string(*node.step->missed));
  return label;
}

Result<std::string> dot_of(const GraphArguments& arguments, const Solved* solved) {
  std::string dot = "digraph build {\n  rankdir=BT;\n  node [shape=box, style=filled, fontname=\"sans-serif\", fontsize=11];\n";
  const bool has_file = !draws_solve(arguments);
  for (const Node& node : has_file ? TRY(nodes_of_file(arguments.file, solved)) : TRY(nodes_of_solve(*solved))) {
    dot += fmt::format("  \"{}\" [label=\"{}\", fillcolor=\"{}\"];\n", node.id, label_of(node), colour_of(node.step));
    for (const auto& [input, output] : node.inputs)
      dot += fmt::format("  \"{}\" -> \"{}\"{};\n", input, node.id, output == 0 ? std::string() : fmt::format(" [label=\"output {}\"]", output));
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

Status write_graph(const GraphArguments& arguments, const Solved* solved) {
  const base::HostPath path = TRY(base::HostPath::from_user(arguments.output), "--output {}", arguments.output);
  const auto ends = [&](std::string_view with) { return arguments.output.ends_with(with); };
  if (!ends(".dot") && !ends(".svg") && !ends(".html"))
    return base::fail(ErrorCode::invalid_argument, "--output {}: want a name that ends in .svg, .dot or .html", arguments.output);
  std::string text = TRY(dot_of(arguments, solved));
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
  std::optional<Solved> solved;
  if (const std::string name = draws_solve(arguments) ? arguments.file : arguments.solve; !name.empty()) {
    auto found = find_solve_of(global, name);
    if (!found) return report_lookup_error(global, found.error());
    solved = std::move(*found);
  }
  if (const Status written = write_graph(arguments, solved ? &*solved : nullptr); !written) return report_error(written.error());
  std::cout << "written to " << printable(arguments.output) << '\n';
  return ExitCode::done;
}

}  // namespace

void add_graph(CLI::App& app, Program& program) {
  auto [verb, arguments] = add_verb<GraphArguments>(app, program, "graph", R"(A build graph to look at, with what a solve has made of each step.

Examples:
  cachectl --root DIR graph last --output graph.svg
  cachectl graph graph.pb --output graph.svg
  cachectl --root DIR graph graph.pb --solve last --output graph.html
  cachectl graph graph.pb --output graph.dot    # without Graphviz)", run_graph);
  verb.add_option("FILE|SOLVE", arguments.file, "A pb.Definition (- reads standard input), or a solve: its id, the first digits of it, last or previous")->required();
  verb.add_option("--solve", arguments.solve, "Which solve the colours, words and times are of: its id, or last")->type_name("SOLVE");
  verb.add_option("--output", arguments.output, "What is made of it is said by the name: .svg and .html by Graphviz, .dot for it")->type_name("FILE")->required();
}

}  // namespace cairn::cachectl

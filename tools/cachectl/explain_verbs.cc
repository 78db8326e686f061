// SPDX-License-Identifier: Apache-2.0
// explain: why a step had to run. Reads beside whoever owns the store, and no file of a tree.
#include <algorithm>
#include <iostream>
#include <set>

#include "libcache/history.h"
#include "tools/cachectl/explanation.h"
#include "tools/cachectl/hint.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/lookup_error.h"
#include "tools/cachectl/named_solve.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::fail;
using base::Result;
using nlohmann::ordered_json;

namespace {

constexpr std::size_t hints_max = 3;

struct ExplainArguments {
  std::string step, solve;
  std::uint64_t record = 0;
  Output format = Output::text;
};

bool names(const cache::SolvedStep& step, const std::string& wanted) {
  const std::string digits = wanted.starts_with("sha256:") ? wanted.substr(7) : wanted;
  return wanted.empty() || step.name == wanted || (digits.size() >= 4 && base::to_hex(step.digest).starts_with(digits));
}

// What solves have called their steps, if it has something to do with what was asked for.
Result<std::string> suggestions(base::lmdb::Env& env, const base::HostPath& root, const std::string& wanted) {
  std::set<std::string> found;
  auto rows = TRY(cache::solve_history(env, root));
  for (auto row = rows.rbegin(); row != rows.rend() && found.size() < hints_max; ++row)
    for (const cache::SolvedStep& step : row->steps)
      if (found.size() < hints_max && step.name.find(wanted) != std::string::npos) found.insert(step.name);
  std::string text;
  for (const std::string& name : found) text += (text.empty() ? "is it \"" : "\" or \"") + printable(name);
  return text.empty() ? "cachectl history show last says what steps are called" : text + "\"?";
}

Result<std::vector<cache::RecordId>> of_solve(base::lmdb::Env& env, const base::HostPath& root, const ExplainArguments& arguments) {
  const cache::SolveRow row = TRY(find_named_solve(env, root, arguments.solve));
  std::vector<cache::RecordId> records;
  bool named = false;
  for (const cache::SolvedStep& step : row.steps) {
    if (!names(step, arguments.step)) continue;
    named = true;
    if (step.made) records.push_back(step.made);
  }
  if (!named) return fail(ErrorCode::not_found, "solve {}: it had no step \"{}\"", cache::to_text(row.id), arguments.step);
  if (records.empty() && !arguments.step.empty())
    return fail(ErrorCode::not_found, "step \"{}\": solve {} did not execute it", arguments.step, cache::to_text(row.id));
  return records;
}

Result<std::vector<cache::RecordId>> records_of(base::lmdb::Env& env, const base::HostPath& root, const ExplainArguments& arguments) {
  if (arguments.record != 0) return std::vector<cache::RecordId>{cache::RecordId(arguments.record)};
  if (!arguments.solve.empty()) return of_solve(env, root, arguments);
  const auto found = TRY(cache::find_steps(env, arguments.step));
  if (found.empty()) {
    auto error = fail(ErrorCode::not_found, "step \"{}\": nothing of that name or digest was made in {}", arguments.step, root.str());
    error.value().hint = TRY(suggestions(env, root, arguments.step));
    return error;
  }
  std::set<std::string> vertices;
  for (const cache::FoundStep& step : found)
    if (step.name != arguments.step) vertices.insert(step.vertex);
  if (vertices.size() > 1) {
    auto error = fail(ErrorCode::invalid_argument, "step {}: {} digests begin so", arguments.step, vertices.size());
    error.value().hint = fmt::format("is it {} or {}?", *vertices.begin(), *std::next(vertices.begin()));
    return error;
  }
  return std::vector<cache::RecordId>{found.front().record};
}

Result<std::vector<cache::Explanation>> explain_all(const GlobalOptions& global, const ExplainArguments& arguments) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  std::vector<cache::Explanation> explanations;
  for (const cache::RecordId record : TRY(records_of(*env, options.engine.root, arguments))) {
    auto explanation = cache::explain(*env, record);
    const bool forgotten = !explanation && explanation.error().code == ErrorCode::not_found && arguments.record == 0;
    if (forgotten) continue;
    if (!explanation) return tl::unexpected(hint_if_missing(explanation.error(), "cachectl history show last says what steps are called, and what they made"));
    explanations.push_back(std::move(*explanation));
  }
  return explanations;
}

ExitCode run_explain(const GlobalOptions& global, const ExplainArguments& arguments) {
  if (arguments.step.empty() && arguments.solve.empty() && arguments.record == 0) {
    auto error = fail(ErrorCode::invalid_argument, "explain: no step is given");
    error.value().hint = "cachectl explain STEP, or --solve last for all that the last solve has executed";
    report_error(error.value());
    return ExitCode::usage;
  }
  auto explanations = explain_all(global, arguments);
  if (!explanations) return report_lookup_error(global, explanations.error());
  if (arguments.format == Output::json) {
    ordered_json json = {{"format", 1}, {"steps", ordered_json::array()}};
    for (const cache::Explanation& explanation : *explanations) {
      ordered_json step = explanation_json(explanation);
      step["rows_read"] = explanation.counts.rows_read;
      step["pages_read"] = explanation.counts.pages_read;
      json["steps"].push_back(std::move(step));
    }
    std::cout << json_line(json);
    return ExitCode::done;
  }
  const base::WallTime now = base::SystemClock().now();
  for (const cache::Explanation& explanation : *explanations)
    std::cout << printable(explanation.name) << ": " << reason_line(explanation, now) << '\n' << path_lines(explanation.reason);
  return ExitCode::done;
}

}  // namespace

void add_explain(CLI::App& app, Program& program) {
  auto [verb, to] = add_verb<ExplainArguments>(app, program, "explain", R"(Why a step had to run: what has changed since it was made before.

Examples:
  cachectl --root DIR explain 'cc -c main.c'
  cachectl --root DIR explain sha256:4c67a1
  cachectl --root DIR explain --solve last
  cachectl --root DIR explain --solve 187bcd5f2a3c9e10 'cc -c main.c' --json)", run_explain);
  verb.add_option("STEP", to.step, "Its name, or its digest, of which the first digits will do");
  CLI::Option* solve = verb.add_option("--solve", to.solve, "As this solve has executed it, or all that it has: its id, or last");
  verb.add_option("--record", to.record, "As it made this record")->type_name("RECORD")->excludes(solve);
}

}  // namespace cairn::cachectl

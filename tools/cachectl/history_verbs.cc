// SPDX-License-Identifier: Apache-2.0
// history: what was solved in a store, and how its steps were looked for. Reads beside whoever owns the store.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "libcache/history.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/lookup_error.h"
#include "tools/cachectl/named_solve.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using nlohmann::ordered_json;

namespace {

struct ListArguments {
  std::uint64_t limit = 20;
  Output format = Output::text;
};
struct ShowArguments {
  std::string solve;  // its id, or "last"
  Output format = Output::text;
};

using State = cache::SolvedStep::State;

base::Result<std::vector<cache::SolveRow>> read_history(const GlobalOptions& global) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  return cache::solve_history(*env, options.engine.root);
}

base::Result<cache::SolveRow> read_solve(const GlobalOptions& global, const std::string& solve) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  return find_named_solve(*env, options.engine.root, solve);
}

std::size_t count(const cache::SolveRow& row, State state) {
  return static_cast<std::size_t>(
      std::count_if(row.steps.begin(), row.steps.end(), [&](const cache::SolvedStep& step) { return step.state == state; }));
}

std::string hex_digest(const base::Sha256Bytes& digest) { return "sha256:" + base::to_hex(digest); }

ordered_json solve_json(const cache::SolveRow& row) {
  return {{"id", cache::to_text(row.id)},
          {"started", rfc3339(row.started())},
          {"duration_ns", row.duration.count()},
          {"project", row.project},
          {"build", row.build},
          {"definition", hex_digest(row.definition)},
          {"outcome", std::string(to_string(row.outcome))},
          {"error", row.error},
          {"executed", count(row, State::executed)},
          {"cached", count(row, State::cached)},
          {"failed", count(row, State::failed)},
          {"cancelled", count(row, State::cancelled)}};
}

ordered_json step_json(const cache::SolvedStep& step) {
  ordered_json json = {{"digest", hex_digest(step.digest)},
                       {"name", step.name},
                       {"state", std::string(to_string(step.state))},
                       {"started_ns", step.started.count()},
                       {"duration_ns", step.duration.count()},
                       {"keys_tried", step.keys_tried}};
  if (step.made) json["made"] = step.made.value();
  json["keys"] = ordered_json::array();
  for (const KeyDigest& key : step.keys) json["keys"].push_back(key.str());
  if (step.hit) json["hit"] = step.hit->str();
  if (step.missed) {
    std::string cause(to_string(*step.missed));
    std::replace(cause.begin(), cause.end(), ' ', '_');
    json["missed"] = cause;
  }
  return json;
}

// "3: 4c67a1b2c3d4 *187bcd5f2a3c +1", with a star at the one that hit.
std::string tried(const cache::SolvedStep& step) {
  constexpr std::size_t shown_max = 4;
  std::string text = std::to_string(step.keys_tried);
  const std::size_t shown = std::min(step.keys.size(), shown_max);
  for (std::size_t i = 0; i < shown; ++i)
    text += fmt::format("{}{}{}", i == 0 ? ": " : " ", step.hit == step.keys[i] ? "*" : "", step.keys[i].hex().substr(0, 12));
  if (shown > 0 && shown < step.keys_tried) text += fmt::format(" +{}", step.keys_tried - shown);
  return text;
}

ExitCode run_history_list(const GlobalOptions& global, const ListArguments& arguments) {
  auto rows = read_history(global);
  if (!rows) return report_error(rows.error());
  std::reverse(rows->begin(), rows->end());
  if (arguments.limit != 0 && rows->size() > arguments.limit) rows->resize(arguments.limit);
  if (arguments.format == Output::json) {
    ordered_json solves = ordered_json::array();
    for (const cache::SolveRow& row : *rows) solves.push_back(solve_json(row));
    std::cout << json_line({{"format", 1}, {"solves", std::move(solves)}});
    return ExitCode::done;
  }
  using Align = TextTable::Align;
  TextTable table({{"SOLVE", Align::left}, {"STARTED", Align::left}, {"TOOK", Align::right}, {"OUTCOME", Align::left},
                   {"EXECUTED", Align::right}, {"CACHED", Align::right}, {"PROJECT", Align::left}, {"BUILD", Align::left}});
  for (const cache::SolveRow& row : *rows) {
    table.add({cache::to_text(row.id), rfc3339(row.started()).substr(0, 19) + "Z", human_duration(row.duration),
               std::string(to_string(row.outcome)), std::to_string(count(row, State::executed)),
               std::to_string(count(row, State::cached)), printable(row.project), printable(row.build)});
  }
  std::cout << table.str();
  return ExitCode::done;
}

ExitCode run_history_show(const GlobalOptions& global, const ShowArguments& arguments) {
  const auto row = read_solve(global, arguments.solve);
  if (!row) return report_lookup_error(global, row.error());
  if (arguments.format == Output::json) {
    ordered_json json = {{"format", 1}};
    json.update(solve_json(*row));
    json["steps"] = ordered_json::array();
    for (const cache::SolvedStep& step : row->steps) json["steps"].push_back(step_json(step));
    std::cout << json_line(json);
    return ExitCode::done;
  }
  std::cout << fmt::format("solve {}, {}, {} in {}\n", cache::to_text(row->id), rfc3339(row->started()), to_string(row->outcome),
                           human_duration(row->duration));
  if (!row->error.empty()) std::cout << printable(row->error) << '\n';
  using Align = TextTable::Align;
  TextTable table({{"STATE", Align::left}, {"AT", Align::right}, {"TOOK", Align::right}, {"LOOKUP", Align::left}, {"KEYS TRIED", Align::left}, {"STEP", Align::left}});
  for (const cache::SolvedStep& step : row->steps) {
    const std::string lookup = step.hit      ? "hit " + step.hit->hex().substr(0, 12)
                               : step.missed ? std::string(to_string(*step.missed))
                                             : "";
    table.add({std::string(to_string(step.state)), human_duration(step.started), human_duration(step.duration),
               lookup, tried(step), printable(step.name)});
  }
  std::cout << table.str();
  return ExitCode::done;
}

}  // namespace

void add_history_verbs(CLI::App& app, Program& program) {
  auto [list, to_list] = add_verb<ListArguments>(noun(app, "history"), program, "list", R"(The last solves, the newest first.

Examples:
  cachectl --root DIR history list
  cachectl --root DIR history list --limit 0 --json)", run_history_list);
  list.add_option("--limit", to_list.limit, "How many; 0: all that are kept")->capture_default_str();
  auto [show, to_show] = add_verb<ShowArguments>(noun(app, "history"), program, "show", R"(The steps of one solve: how each was looked for, and what came of it.

Examples:
  cachectl --root DIR history show last
  cachectl --root DIR history show 187bcd5f2a3c9e10 --json)", run_history_show);
  show.add_option("SOLVE", to_show.solve, "Its id, or last")->required();
}

}  // namespace cairn::cachectl

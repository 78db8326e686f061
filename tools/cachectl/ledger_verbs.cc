// SPDX-License-Identifier: Apache-2.0
// history ledger: what made something else when it was run again. Reads beside whoever owns the store.
#include <iostream>
#include <nlohmann/json.hpp>

#include "libcache/ledger.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using nlohmann::ordered_json;

namespace {

struct LedgerArguments {
  std::uint64_t limit = 20;
  std::string key;  // of a step, or the first digits of it; "": all
  Output format = Output::text;
};

base::Result<cache::LedgerView> read_view(const GlobalOptions& global, const std::string& key) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  cache::LedgerView view = TRY(cache::read_ledger(*env));
  if (key.empty()) return view;
  const std::string digits = key.starts_with("sha256:") ? key.substr(7) : key;
  std::erase_if(view.entries, [&](const cache::LedgerEntry& entry) { return !entry.key.hex().starts_with(digits); });
  if (view.entries.empty())
    return tl::unexpected(base::Error{.code = base::ErrorCode::not_found,
                                      .message = fmt::format("key {}: no step of that key is in the ledger of {}", key, options.engine.root.str()),
                                      .hint = "cachectl history ledger lists those that are in it"});
  return view;
}

ordered_json path_json(const cache::TreeDifference& path) {
  ordered_json fields = ordered_json::array();
  for (const cache::DifferenceField field : path.fields) fields.push_back(std::string(to_string(field)));
  return {{"path", path.path}, {"kind", std::string(to_string(path.kind))}, {"fields", std::move(fields)}};
}

ordered_json entry_json(const cache::LedgerEntry& entry) {
  const cache::LedgerRow& row = entry.row;
  ordered_json json = {{"key", entry.key.str()},
                       {"vertex", "sha256:" + base::to_hex(row.vertex)},
                       {"name", row.name},
                       {"compared", row.compared},
                       {"differed", row.differed},
                       {"by_inputs", row.by_inputs},
                       {"first_differed", rfc3339(row.first_differed)},
                       {"last_differed", rfc3339(row.last_differed)},
                       {"older", row.older.value()},
                       {"newer", row.newer.value()},
                       {"last_by_inputs", row.last_by_inputs},
                       {"paths_total", row.paths_total}};
  json["paths"] = ordered_json::array();
  for (const cache::TreeDifference& path : row.paths) json["paths"].push_back(path_json(path));
  return json;
}

std::string line_of(const cache::TreeDifference& path) {
  std::string what(to_string(path.kind));
  const char* separator = " ";
  for (const cache::DifferenceField field : path.fields) what += std::exchange(separator, ", ") + std::string(to_string(field));
  return what;
}

std::string shown(const cache::TreeDifference& path) { return path.path.empty() ? "." : printable(path.path); }

void print_steps(const cache::LedgerView& view) {
  using Align = TextTable::Align;
  TextTable table({{"LAST", Align::left}, {"DIFFERED", Align::right}, {"BY INPUTS", Align::right}, {"PATHS", Align::right},
                   {"FIRST PATH", Align::left}, {"KEY", Align::left}, {"STEP", Align::left}});
  for (const auto& [key, row] : view.entries) {
    table.add({rfc3339(row.last_differed).substr(0, 19) + "Z", fmt::format("{} of {}", row.differed, row.compared),
               std::to_string(row.by_inputs), std::to_string(row.paths_total), row.paths.empty() ? "" : shown(row.paths.front()),
               key.hex().substr(0, 12), printable(row.name)});
  }
  std::cout << table.str();
}

void print_paths(const cache::LedgerEntry& entry) {
  const cache::LedgerRow& row = entry.row;
  std::cout << fmt::format("{}\nkey {}, vertex sha256:{}\ndiffered {} of {} times, {} of them made from inputs that differ\n", printable(row.name),
                           entry.key.str(), base::to_hex(row.vertex), row.differed, row.compared, row.by_inputs);
  std::cout << fmt::format("last {}: record {} is not what record {} was, in {} paths\n", rfc3339(row.last_differed), row.newer, row.older,
                           row.paths_total);
  using Align = TextTable::Align;
  TextTable table({{"CHANGE", Align::left}, {"PATH", Align::left}});
  for (const cache::TreeDifference& path : row.paths) table.add({line_of(path), shown(path)});
  std::cout << table.str();
  if (row.paths.size() < row.paths_total) std::cout << "and " << row.paths_total - row.paths.size() << " more\n";
}

ExitCode run_history_ledger(const GlobalOptions& global, const LedgerArguments& arguments) {
  auto view = read_view(global, arguments.key);
  if (!view) return report_error(view.error());
  if (arguments.limit != 0 && view->entries.size() > arguments.limit) view->entries.resize(arguments.limit);
  const cache::LedgerTotals& totals = view->totals;
  if (arguments.format == Output::json) {
    ordered_json json = {
        {"format", 1}, {"compared", totals.compared}, {"differed", totals.differed}, {"not_compared", totals.not_compared}};
    json["steps"] = ordered_json::array();
    for (const cache::LedgerEntry& entry : view->entries) json["steps"].push_back(entry_json(entry));
    std::cout << json_line(json);
    return ExitCode::done;
  }
  if (!arguments.key.empty()) {
    for (const cache::LedgerEntry& entry : view->entries) print_paths(entry);
    return ExitCode::done;
  }
  std::cout << fmt::format("{} results of steps that were run again: {} differed, {} were not compared\n",
                           totals.compared + totals.not_compared, totals.differed, totals.not_compared);
  if (!view->entries.empty()) print_steps(*view);
  return ExitCode::done;
}

}  // namespace

void add_ledger_verbs(CLI::App& app, Program& program) {
  auto [verb, ledger] = add_verb<LedgerArguments>(noun(app, "history"), program, "ledger", R"(Steps that made something else when they were run again, and the paths that differ.

Examples:
  cachectl --root DIR history ledger
  cachectl --root DIR history ledger 4c67a1
  cachectl --root DIR history ledger --limit 0 --json)", run_history_ledger);
  verb.add_option("KEY", ledger.key, "Of one step, with all its paths; the first digits will do");
  verb.add_option("--limit", ledger.limit, "How many steps; 0: all that are kept")->capture_default_str();
}

}  // namespace cairn::cachectl

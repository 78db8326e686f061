// SPDX-License-Identifier: Apache-2.0
// stats: what the cache was good for, by project; and du by owner. Both read beside whoever owns the store.
#include <iostream>
#include <nlohmann/json.hpp>

#include "tools/cachectl/command.h"

namespace cairn::cachectl {

using nlohmann::ordered_json;

namespace {

constexpr cache::MissCause causes[] = {cache::MissCause::never_seen, cache::MissCause::evicted,
                                       cache::MissCause::key_differs, cache::MissCause::error,
                                       cache::MissCause::timeout};

base::Result<std::vector<cache::ProjectCounters>> read_statistics(const GlobalOptions& global) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  return cache::statistics(*env, options.engine.root);
}

std::string underscored(std::string_view words) {
  std::string text(words);
  for (char& c : text)
    if (c == ' ') c = '_';
  return text;
}

ordered_json counters_json(const cache::Counters& counters) {
  ordered_json misses = ordered_json::object();
  for (const cache::MissCause cause : causes)
    misses[underscored(cache::to_string(cause))] = counters.misses[static_cast<std::size_t>(cause)];
  return {{"hits", counters.hits},
          {"misses", std::move(misses)},
          {"bytes_saved", counters.bytes_saved},
          {"time_saved_ns", counters.time_saved.count()}};
}

void print_json(const std::vector<cache::ProjectCounters>& projects, const cache::Counters& all) {
  ordered_json list = ordered_json::array();
  for (const auto& [project, counters] : projects) {
    ordered_json json = {{"project", project}};
    json.update(counters_json(counters));
    list.push_back(std::move(json));
  }
  ordered_json json = {{"format", 1}, {"total", counters_json(all)}, {"projects", std::move(list)}};
  std::cout << json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << "\n";
}

std::vector<std::string> row_of(std::string name, const cache::Counters& counters) {
  std::vector<std::string> row = {std::move(name), std::to_string(counters.hits)};
  for (const cache::MissCause cause : causes)
    row.push_back(std::to_string(counters.misses[static_cast<std::size_t>(cause)]));
  row.push_back(human_bytes(counters.bytes_saved));
  row.push_back(human_duration(counters.time_saved));
  return row;
}

}  // namespace

ExitCode run_stats(const GlobalOptions& global, Output format) {
  const auto projects = read_statistics(global);
  if (!projects) return report_error(projects.error());
  cache::Counters all;
  for (const auto& [project, counters] : *projects) all += counters;
  if (format == Output::json) {
    print_json(*projects, all);
    return ExitCode::done;
  }
  using Align = TextTable::Align;
  TextTable table({{"PROJECT", Align::left}, {"HITS", Align::right}, {"NEVER SEEN", Align::right}, {"EVICTED", Align::right},
                   {"KEY DIFFERS", Align::right}, {"ERROR", Align::right}, {"TIMEOUT", Align::right},
                   {"BYTES SAVED", Align::right}, {"TIME SAVED", Align::right}});
  for (const auto& [project, counters] : *projects)
    table.add(row_of(project.empty() ? "(not said)" : printable(project), counters));
  table.add(row_of("total", all));
  std::cout << table.str();
  return ExitCode::done;
}

}  // namespace cairn::cachectl

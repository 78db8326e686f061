// SPDX-License-Identifier: Apache-2.0
// stats: what the cache was good for, by project, what collections were wrong about, and what scrubs have read. Reads beside whoever owns the store.
#include <iostream>
#include <nlohmann/json.hpp>

#include "libcache/prometheus.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using nlohmann::ordered_json;

namespace {

struct StatsArguments {
  bool prometheus = false;
  Output format = Output::text;
};

constexpr cache::MissCause causes[] = {cache::MissCause::never_seen, cache::MissCause::evicted,
                                       cache::MissCause::key_differs, cache::MissCause::error,
                                       cache::MissCause::timeout};

struct Statistics {
  std::vector<cache::ProjectCounters> projects;
  cache::Counters all;
  cache::Regret regret;
  cache::ScrubTotals scrubs;
};
base::Result<Statistics> read_statistics(const GlobalOptions& global) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  Statistics statistics{TRY(cache::statistics(*env, options.engine.root)), {}, TRY(cache::regret(*env)),
                        TRY(cache::scrub_totals(*env))};
  for (const auto& [project, counters] : statistics.projects) statistics.all += counters;
  return statistics;
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

void print_json(const Statistics& statistics) {
  ordered_json list = ordered_json::array();
  for (const auto& [project, counters] : statistics.projects) {
    ordered_json json = {{"project", project}};
    json.update(counters_json(counters));
    list.push_back(std::move(json));
  }
  const auto& complete = statistics.scrubs.last_complete;
  const ordered_json json = {
      {"format", 1},
      {"total", counters_json(statistics.all)},
      {"projects", std::move(list)},
      {"regret", {{"results", statistics.regret.count}, {"time_ns", statistics.regret.build_time.count()}}},
      {"scrub",
       {{"bytes", statistics.scrubs.bytes},
        {"damaged", statistics.scrubs.damaged},
        {"last_complete", complete ? ordered_json(rfc3339(*complete)) : ordered_json(nullptr)}}}};
  std::cout << json_line(json);
}

std::vector<std::string> row_of(std::string name, const cache::Counters& counters) {
  std::vector<std::string> row = {std::move(name), std::to_string(counters.hits)};
  for (const cache::MissCause cause : causes)
    row.push_back(std::to_string(counters.misses[static_cast<std::size_t>(cause)]));
  row.push_back(human_bytes(counters.bytes_saved));
  row.push_back(human_duration(counters.time_saved));
  return row;
}

ExitCode run_stats(const GlobalOptions& global, const StatsArguments& arguments) {
  const auto statistics = read_statistics(global);
  if (!statistics) return report_error(statistics.error());
  if (arguments.prometheus) {
    std::cout << cache::prometheus_text({statistics->projects, statistics->regret, statistics->scrubs});
    return ExitCode::done;
  }
  if (arguments.format == Output::json) {
    print_json(*statistics);
    return ExitCode::done;
  }
  using Align = TextTable::Align;
  TextTable table({{"PROJECT", Align::left}, {"HITS", Align::right}, {"NEVER SEEN", Align::right}, {"EVICTED", Align::right},
                   {"KEY DIFFERS", Align::right}, {"ERROR", Align::right}, {"TIMEOUT", Align::right},
                   {"BYTES SAVED", Align::right}, {"TIME SAVED", Align::right}});
  for (const auto& [project, counters] : statistics->projects)
    table.add(row_of(project.empty() ? "(not said)" : printable(project), counters));
  table.add(row_of("total", statistics->all));
  std::cout << table.str();
  std::cout << fmt::format("regret: {} results made again after they were taken, {}\n", statistics->regret.count,
                           human_duration(statistics->regret.build_time));
  const cache::ScrubTotals& scrubs = statistics->scrubs;
  std::cout << fmt::format("scrub: {} read back, {} damaged, {}\n", human_bytes(static_cast<std::int64_t>(scrubs.bytes)), scrubs.damaged,
                           scrubs.last_complete ? "all of it last at " + rfc3339(*scrubs.last_complete) : "the end never reached");
  return ExitCode::done;
}

}  // namespace

void add_stats_verbs(CLI::App& app, Program& program) {
  auto [verb, arguments] = add_verb<StatsArguments>(app, program, "stats", R"(Hits, misses by cause, and what hits have saved, by project.

Examples:
  cachectl --root DIR stats
  cachectl --root DIR stats --json
  cachectl --root DIR stats --prometheus > /var/lib/node-exporter/cairn.prom)", run_stats);
  verb.add_flag("--prometheus", arguments.prometheus, "Print counters as Prometheus reads them");
}

}  // namespace cairn::cachectl

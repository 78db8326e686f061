// SPDX-License-Identifier: Apache-2.0
// trace: record what a store is asked for, and replay it against other policies and sizes. A replay needs no store.
#include <atomic>
#include <cmath>
#include <iostream>
#include <map>
#include <set>
#include <nlohmann/json.hpp>

#include "libbase/fs/beneath.h"
#include "libcache/trace.h"
#include "tools/cachectl/chart.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/progress_bar.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::Result;
using nlohmann::ordered_json;

namespace {

struct RecordArguments {
  std::string what;
  std::string output, max = "64MiB";
  Output format = Output::text;
};
struct ReplayArguments {
  std::string file;
  std::vector<std::string> policies = {"infinite", "lru", "cost"};
  std::vector<std::string> sizes;
  std::uint64_t skip = 0;
  std::string disk;  // "": nothing is said
  std::string output;
  Output format = Output::text;
};

// What is wrong with it; "": nothing.
std::string is_no_space(const std::string& text) {
  const auto space = cache::parse_space(text);
  return space ? "" : space.error().message;
}

Result<std::int64_t> bytes_of(const std::string& text, std::int64_t all) {
  const cache::Space space = TRY(cache::parse_space(text));
  return space.on({.total_bytes = all, .free_bytes = 0}).value_or(0);
}

Result<ordered_json> switch_record(const GlobalOptions& global, const RecordArguments& arguments) {
  const engine::StoreOptions options = TRY(store_options(global));
  const base::HostPath& root = options.engine.root;
  const auto env = TRY(engine::open_read_only(root));
  if (arguments.what == "on") {
    const cache::Space bound = TRY(cache::parse_space(arguments.max), "--max");
    if (bound.parts().size() != 1 || bound.parts()[0].unit != cache::Space::Part::Unit::bytes)
      return base::fail(ErrorCode::invalid_argument, "--max \"{}\": want bytes, as 64MiB", arguments.max);
    TRY(cache::begin_trace(*env, root, bound.parts()[0].amount));
  }
  const auto standing = TRY(cache::trace_standing(root));
  if (arguments.what == "off") {
    std::optional<base::HostPath> to;
    if (!arguments.output.empty()) to = TRY(base::HostPath::from_user(arguments.output));
    TRY(cache::end_trace(root, to));
  }
  return ordered_json{{"format", 1},
                      {"recording", arguments.what != "off" && standing.has_value()},
                      {"bytes", standing ? standing->bytes : 0},
                      {"bytes_max", standing ? standing->bytes_max : 0}};
}

ExitCode run_record(const GlobalOptions& global, const RecordArguments& arguments) {
  const auto done = switch_record(global, arguments);
  if (!done) return report_error(done.error());
  if (arguments.format == Output::json) {
    std::cout << json_line(*done);
    return ExitCode::done;
  }
  const auto bytes = [&](const char* field) { return human_bytes((*done)[field].get<std::int64_t>()); };
  if ((*done)["recording"].get<bool>())
    std::cout << fmt::format("recording: {} of at most {}\n", bytes("bytes"), bytes("bytes_max"));
  else if (arguments.what == "off")
    std::cout << fmt::format("recorded {}{}\n", bytes("bytes"), arguments.output.empty() ? ", and deleted it" : " to " + printable(arguments.output));
  else
    std::cout << "not recording\n";
  return ExitCode::done;
}

struct NamedPolicy {
  std::string name;
  cache::Policy policy;
  bool takes_size = true;
};

Result<NamedPolicy> read_policy(const std::string& name) {
  NamedPolicy named{name, {}, name != "infinite"};
  if (name == "infinite" || name == "cost") return named;
  if (name == "lru") {
    named.policy.order = cache::PolicyOrder::lru;
    return named;
  }
  const std::string text = TRY(read_input(name));
  named.policy = TRY(cache::parse_policy(text, name));
  return named;
}

struct Outcome {
  std::string policy;
  std::optional<std::int64_t> size;
  cache::ReplayReport report;
};

struct Replayed {
  std::size_t solves = 0, counted = 0;
  std::uint64_t unread_bytes = 0;
  std::int64_t everything = 0;  // what an infinite store would have in the end
  std::vector<Outcome> outcomes;
};

Result<cache::Trace> read_trace(const GlobalOptions& global, const std::string& file) {
  if (file == "-") return cache::parse_trace(TRY(read_input(file)));
  if (!file.empty()) return cache::parse_trace(TRY(base::read_file(TRY(base::HostPath::from_user(file)), 2 * cache::trace_bytes_max), "read {}", file));
  const engine::StoreOptions options = TRY(store_options(global));
  TRY(engine::open_read_only(options.engine.root));  // whether there is a store at all
  const auto text = base::read_file(options.engine.root / cache::trace_file, 2 * cache::trace_bytes_max);
  if (!text && text.error().code == ErrorCode::not_found) {
    auto error = base::fail(ErrorCode::not_found, "store {} is not being traced", options.engine.root.str());
    error.value().hint = "name the FILE of a trace, or begin one: cachectl trace record on";
    return error;
  }
  return cache::parse_trace(TRY(std::move(text)));
}

Result<Replayed> replay(const GlobalOptions& global, const ReplayArguments& arguments) {
  const cache::Trace trace = TRY(read_trace(global, arguments.file));
  if (arguments.skip >= trace.solves.size())
    return base::fail(ErrorCode::invalid_argument, "--skip {}: the trace has {} solves", arguments.skip, trace.solves.size());
  const cache::Replayer replayer(trace);
  // Of each policy in each size, and one that shows what there is.
  std::atomic<std::uint64_t> replays = 0;
  const std::uint64_t replays_max = 1 + arguments.policies.size() * std::max<std::size_t>(1, arguments.sizes.size());
  const ProgressBar bar("replaying", ProgressUnit::things, [&] { return ProgressReading{replays, replays_max}; });
  const auto run = [&](const cache::ReplayOptions& with) {
    ++replays;
    return replayer.run(with);
  };
  cache::ReplayOptions options{.counted_from = arguments.skip};
  const cache::ReplayReport everything = TRY(run(options));
  Replayed replayed{trace.solves.size(), trace.solves.size() - arguments.skip, trace.unread_bytes, everything.bytes_last, {}};
  options.disk.total_bytes = arguments.disk.empty() ? std::int64_t{1} << 50 : TRY(bytes_of(arguments.disk, 0), "--disk");
  options.disk.free_bytes = std::max<std::int64_t>(0, options.disk.total_bytes - everything.bytes_most);
  for (const std::string& name : arguments.policies) {
    const NamedPolicy named = TRY(read_policy(name));
    options.policy = named.policy;
    options.size.reset();
    if (arguments.sizes.empty() || !named.takes_size) replayed.outcomes.push_back({name, {}, TRY(run(options))});
    for (const std::string& size : arguments.sizes) {
      if (!named.takes_size) continue;
      options.size = TRY(bytes_of(size, everything.bytes_last), "--size");
      replayed.outcomes.push_back({name, options.size, TRY(run(options))});
    }
  }
  return replayed;
}

ordered_json outcome_json(const Outcome& outcome) {
  const cache::ReplayReport& report = outcome.report;
  return {{"policy", outcome.policy},
          {"size_bytes", outcome.size ? ordered_json(*outcome.size) : ordered_json(nullptr)},
          {"lookups", report.lookups},
          {"hits", report.hits},
          {"hit_rate", std::round(1e6 * report.hit_rate()) / 1e6},
          {"made", report.made},
          {"made_again", report.made_again},
          {"saved_ns", report.saved.count()},
          {"building_ns", report.building.count()},
          {"rebuilding_ns", report.rebuilding.count()},
          {"bytes_made", report.bytes_made},
          {"bytes_rebuilt", report.bytes_rebuilt},
          {"bytes_most", report.bytes_most},
          {"bytes_last", report.bytes_last},
          {"taken", report.taken}};
}

// Sizes on the x axis where there are several, else the hit rate as it went.
std::string chart_of(const Replayed& replayed) {
  LineChart chart{.title = "Hit rate of a replayed trace", .x_label = "size of the store", .y_label = "hits, % of lookups", .series = {}, .y_max = 100, .x_axis = LineChart::Axis::bytes};
  std::map<std::string, Series> by_policy;
  std::set<std::int64_t> sizes;
  for (const Outcome& outcome : replayed.outcomes)
    if (outcome.size) sizes.insert(*outcome.size);
  if (sizes.size() > 1) {
    for (const Outcome& outcome : replayed.outcomes) {
      Series& series = by_policy[outcome.policy];
      series.name = outcome.policy;
      const double rate = 100 * outcome.report.hit_rate();
      if (outcome.size) series.points.emplace_back(static_cast<double>(*outcome.size), rate);
      else for (const std::int64_t size : sizes) series.points.emplace_back(static_cast<double>(size), rate);
    }
    for (auto& [name, series] : by_policy) {
      std::sort(series.points.begin(), series.points.end());
      chart.series.push_back(std::move(series));
    }
    return svg_of(chart);
  }
  chart.x_label = "solves";
  chart.x_axis = LineChart::Axis::plain;
  for (const Outcome& outcome : replayed.outcomes) {
    Series series{outcome.policy, {}};
    for (std::size_t i = 0; i < outcome.report.over_time.size(); ++i) {
      const auto& point = outcome.report.over_time[i];
      if (point.lookups > 0) series.points.emplace_back(static_cast<double>(i + 1), 100.0 * static_cast<double>(point.hits) / static_cast<double>(point.lookups));
    }
    chart.series.push_back(std::move(series));
  }
  return svg_of(chart);
}

ExitCode run_replay(const GlobalOptions& global, const ReplayArguments& arguments) {
  const auto replayed = replay(global, arguments);
  if (!replayed) return report_error(replayed.error());
  if (replayed->unread_bytes > 0)
    std::cerr << fmt::format("cachectl: the last {} bytes of the trace are cut off or damaged, and were left out\n", replayed->unread_bytes);
  if (!arguments.output.empty()) {
    const auto path = base::HostPath::from_user(arguments.output);
    const base::Status written = path ? base::write_file_atomic(*path, chart_of(*replayed), base::Durable::no) : tl::unexpected(path.error());
    if (!written) return report_error(written.error());
  }
  if (arguments.format == Output::json) {
    ordered_json runs = ordered_json::array();
    for (const Outcome& outcome : replayed->outcomes) runs.push_back(outcome_json(outcome));
    std::cout << json_line({{"format", 1}, {"solves", replayed->solves}, {"counted", replayed->counted}, {"everything_bytes", replayed->everything}, {"runs", std::move(runs)}});
    return ExitCode::done;
  }
  using Align = TextTable::Align;
  TextTable table({{"POLICY", Align::left}, {"SIZE", Align::right}, {"HITS", Align::right}, {"OF LOOKUPS", Align::right}, {"TIME SAVED", Align::right},
                   {"BUILT", Align::right}, {"BUILT AGAIN", Align::right}, {"BYTES AGAIN", Align::right}, {"TAKEN", Align::right}});
  for (const auto& [policy, size, report] : replayed->outcomes)
    table.add({printable(policy), size ? human_bytes(*size) : "-", fmt::format("{:.1f} %", 100 * report.hit_rate()), std::to_string(report.lookups),
               human_duration(report.saved), human_duration(report.building), human_duration(report.rebuilding), human_bytes(report.bytes_rebuilt),
               std::to_string(report.taken)});
  std::cout << fmt::format("{} solves, {} counted; all that was made: {}\n", replayed->solves, replayed->counted, human_bytes(replayed->everything)) << table.str();
  return ExitCode::done;
}

}  // namespace

void add_trace_verbs(CLI::App& app, Program& program) {
  auto [record, to_record] = add_verb<RecordArguments>(noun(app, "trace"), program, "record", R"(Switch on or off the recording of what the store is asked for, or say how it stands.

Examples:
  cachectl --root DIR trace record on --max 256MiB
  cachectl --root DIR trace record status
  cachectl --root DIR trace record off --output week.trace)", run_record);
  record.add_option("SWITCH", to_record.what, "on: from now on, whoever uses the store; off: end it; status: how it stands")
      ->required()->check(CLI::IsMember({"on", "off", "status"}));
  record.add_option("--output", to_record.output, "With off: where the trace goes; without it is deleted")->type_name("FILE");
  record.add_option("--max", to_record.max, "With on: the most that it may take; what comes then is left out")->type_name("SPACE")->capture_default_str()->check(is_no_space);
  auto [verb, arguments] = add_verb<ReplayArguments>(noun(app, "trace"), program, "replay", R"(What would have come of a trace under other policies, in other sizes.

Examples:
  cachectl trace replay week.trace --policy infinite,lru,cost --size 25%,50%
  cachectl trace replay week.trace --policy gc.toml,lru --size 10GB,50GB --output chart.svg
  cachectl --root DIR trace replay --json    # what is being recorded)", run_replay);
  verb.add_option("FILE", arguments.file, "The trace; - reads standard input; default: the one that is being recorded");
  verb.add_option("--policy", arguments.policies, "infinite, lru, cost, or the file of a policy; several with commas")->type_name("POLICY")->delimiter(',')->capture_default_str();
  verb.add_option("--size", arguments.sizes, "A ceiling beyond the policy's own rules; 50%: of all that was made; several with commas")->type_name("SPACE")->delimiter(',')->check(is_no_space);
  verb.add_option("--skip", arguments.skip, "So many solves only fill the store, and are not counted")->type_name("SOLVES")->capture_default_str();
  verb.add_option("--disk", arguments.disk, "The size of the disk that percents in a policy are of; default: large")->type_name("SPACE")->check(is_no_space);
  verb.add_option("--output", arguments.output, "A chart of the hit rates")->type_name("chart.svg");
}

}  // namespace cairn::cachectl

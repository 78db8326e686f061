// SPDX-License-Identifier: Apache-2.0
// prune and gc run: what goes, by which rule, and whose it was. Both go through the owner of the store.
#include <sys/statvfs.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <tuple>

#include "libcache/policy.h"
#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/progress_bar.h"
#include "tools/cachectl/record_filter.h"
#include "tools/cachectl/record_json.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using nlohmann::ordered_json;

namespace {

using Align = TextTable::Align;

struct PruneArguments {
  bool all = false, dry_run = false;
  std::vector<std::string> filters;
  std::string keep_storage, max_used, min_free, until;  // "": not given
  std::string policy_file;
  bool own_policy = false;  // the store's
  Output format = Output::text;
};

// JSON's escapes are TOML's.
std::string quoted(const std::string& text) {
  return json_text(ordered_json(text));
}

// The rule that the options of prune make, as a policy; none if there is no such option.
std::optional<std::string> rule_of(const PruneArguments& arguments) {
  std::string text;
  const std::tuple<const char*, const std::string&> fields[] = {{"unused_for", arguments.until},
                                                                {"ceiling", arguments.max_used},
                                                                {"free", arguments.min_free},
                                                                {"floor", arguments.keep_storage}};
  for (const auto& [name, value] : fields)
    if (!value.empty()) text += fmt::format("{} = {}\n", name, quoted(value));
  std::string filters;
  for (const std::string& filter : arguments.filters) filters += (filters.empty() ? "" : ", ") + quoted(filter);
  if (!filters.empty()) text += fmt::format("filter = [{}]\n", filters);
  if (text.empty()) return std::nullopt;
  return fmt::format("only_these_rules = true\n[[rule]]\n{}all = {}\n", text, arguments.all);
}

base::Result<engine::PruneOrder> order_of(const PruneArguments& arguments) {
  engine::PruneOrder order{.all = arguments.all, .dry_run = arguments.dry_run, .policy = rule_of(arguments), .policy_name = "options"};
  if (!arguments.policy_file.empty()) {
    order.policy = TRY(read_input(arguments.policy_file));
    order.policy_name = arguments.policy_file;
    if (order.policy->empty()) order.policy = "\n";  // an empty file is no wish for the store's own
  } else if (arguments.own_policy) {
    order.policy = "";
  }
  TRY(parse_filters(arguments.filters));  // with a hint where one cannot be read
  // What is wrong with it is said here, before a store is opened.
  if (order.policy && !order.policy->empty()) TRY(cache::parse_policy(*order.policy, order.policy_name));
  return order;
}

// What goes of something, and what it would take to make it again.
struct Loss {
  std::uint64_t records = 0;
  std::int64_t bytes = 0;
  std::chrono::nanoseconds rebuild{0};
  void add(const cache::PrunedRecord& record) {
    ++records;
    bytes += record.freed_bytes;
    rebuild += record.facts.build_time;
  }
};
using Losses = std::map<std::string, Loss>;

Losses by_rule(const engine::PruneAnswer& answer) {
  Losses losses;
  for (const std::string& rule : answer.rules) losses[rule];
  for (const cache::PrunedRecord& record : answer.report.records)
    if (record.rule < answer.rules.size()) losses[answer.rules[record.rule]].add(record);
  return losses;
}

Losses by_project(const engine::PruneAnswer& answer) {
  Losses losses;
  for (const cache::PrunedRecord& record : answer.report.records) losses[record.facts.owner.project].add(record);
  return losses;
}

Loss of_all(const engine::PruneAnswer& answer) {
  Loss all;
  for (const cache::PrunedRecord& record : answer.report.records) all.add(record);
  return all;
}

ordered_json losses_json(const Losses& losses, const char* name) {
  ordered_json list = ordered_json::array();
  for (const auto& [text, loss] : losses)
    list.push_back({{name, text}, {"records", loss.records}, {"freed_bytes", loss.bytes}, {"rebuild_ns", loss.rebuild.count()}});
  return list;
}

std::string answer_json(const engine::PruneAnswer& answer) {
  ordered_json list = ordered_json::array();
  for (const cache::PrunedRecord& record : answer.report.records) {
    ordered_json json = record_json(record);
    json["freed_bytes"] = record.freed_bytes;
    json["rebuild_ns"] = record.facts.build_time.count();
    if (record.rule < answer.rules.size()) json["rule"] = answer.rules[record.rule];
    json["project"] = record.facts.owner.project;
    list.push_back(std::move(json));
  }
  const cache::Passed& passed = answer.report.passed;
  const ordered_json json = {{"format", 1},
                             {"records", std::move(list)},
                             {"blobs", answer.report.blobs},
                             {"freed_bytes", answer.report.freed_bytes},
                             {"rebuild_ns", of_all(answer).rebuild.count()},
                             {"rules", losses_json(by_rule(answer), "rule")},
                             {"projects", losses_json(by_project(answer), "project")},
                             {"stayed",
                              {{"in_use", passed.in_use},
                               {"pinned", passed.pinned},
                               {"too_young", passed.too_young},
                               {"other_filter", passed.other_filter},
                               {"internal", passed.internal},
                               {"below_floor", passed.below_floor}}}};
  return json_line(json);
}

std::string answer_table(const engine::PruneAnswer& answer) {
  TextTable table({{"ID", Align::right}, {"TYPE", Align::left}, {"SIZE", Align::right}, {"REBUILD", Align::right}, {"LAST USED", Align::left},
                   {"RULE", Align::left}, {"DESCRIPTION", Align::left}});
  for (const cache::PrunedRecord& record : answer.report.records) {
    table.add({std::to_string(record.id.value()), std::string(cache::to_string(record.facts.type)),
               human_bytes(record.freed_bytes), human_duration(record.facts.build_time), rfc3339(record.last_used).substr(0, 19) + "Z",
               record.rule < answer.rules.size() ? printable(answer.rules[record.rule]) : "", printable(record.facts.description)});
  }
  return table.str();
}

void print_losses(const char* title, const Losses& losses) {
  if (losses.empty()) return;
  TextTable table({{title, Align::left}, {"RECORDS", Align::right}, {"SIZE", Align::right}, {"REBUILD", Align::right}});
  for (const auto& [name, loss] : losses)
    table.add({name.empty() ? "(not said)" : printable(name), std::to_string(loss.records), human_bytes(loss.bytes), human_duration(loss.rebuild)});
  std::cout << table.str();
}

// What has become free on the disk of the store since; others fill and free it, too.
ProgressBar::Read bytes_freed(const base::HostPath& root) {
  const auto free_bytes = [root] {
    struct ::statvfs disk {};
    return ::statvfs(root.c_str(), &disk) == 0 ? std::uint64_t{disk.f_bfree} * disk.f_frsize : 0;
  };
  return [free_bytes, before = free_bytes()] {
    const std::uint64_t now = free_bytes();
    return ProgressReading{now > before ? now - before : 0, 0};
  };
}

base::Result<engine::PruneAnswer> prune_with_progress(const engine::StoreOptions& options, const engine::PruneOrder& order, std::stop_token stop) {
  const ProgressBar bar(order.dry_run ? "selecting" : "freeing space", ProgressUnit::bytes, bytes_freed(options.engine.root));
  return engine::prune_store(options, order, std::move(stop));
}

ExitCode run_prune(const GlobalOptions& global, const PruneArguments& arguments) {
  const auto options = store_options(global);
  if (!options) return report_error(options.error());
  const auto order = order_of(arguments);
  if (!order) return arguments.policy_file.empty() ? report_usage(order.error()) : report_error(order.error());
  // A prune must not make a store where there is none.
  if (auto env = engine::open_read_only(options->engine.root); !env) return report_error(env.error());
  const Interrupt interrupt;
  const auto answer = prune_with_progress(*options, *order, interrupt.token());
  if (!answer) return report_error(answer.error());
  const cache::PruneReport& report = answer->report;
  if (arguments.format == Output::json) {
    std::cout << answer_json(*answer);
    return ExitCode::done;
  }
  if (!report.records.empty()) std::cout << answer_table(*answer);
  print_losses("RULE", by_rule(*answer));
  print_losses("PROJECT", by_project(*answer));
  std::cout << (arguments.dry_run ? "would remove " : "removed ") << report.records.size() << " records, "
            << human_bytes(report.freed_bytes) << (arguments.dry_run ? " would be free" : " freed") << ", "
            << human_duration(of_all(*answer).rebuild) << " to rebuild\n";
  return ExitCode::done;
}

}  // namespace

void add_prune(CLI::App& app, Program& program) {
  auto [prune, arguments] = add_verb<PruneArguments>(app, program, "prune", R"(Remove records that nothing uses.

Examples:
  cachectl --root DIR prune --dry-run
  cachectl --root DIR prune --all
  cachectl --root DIR prune --filter type==exec.cachemount --until 48h --dry-run
  cachectl --root DIR prune --max-used 10GB --keep-storage 1GB)", run_prune);
  prune.add_flag("--all", arguments.all, "Also what a cache key leads to; with rules, also what is internal");
  add_filters(prune, arguments.filters);
  prune.add_option("--until", arguments.until, "Only what was not used for so long")->type_name("AGE");
  prune.add_option("--max-used", arguments.max_used, "Only down to so many live bytes")->type_name("SPACE");
  prune.add_option("--min-free", arguments.min_free, "Only until so much of the disk is free")->type_name("SPACE");
  prune.add_option("--keep-storage", arguments.keep_storage, "Never below so many live bytes")->type_name("SPACE");
  prune.add_flag("--dry-run", arguments.dry_run, "Say what would be removed and remove nothing");

  auto [run, policy] = add_verb<PruneArguments>(noun(app, "gc"), program, "run", R"(Apply a policy once: the store's own, or another.

Examples:
  cachectl --root DIR gc run --dry-run
  cachectl --root DIR gc run --policy gc.toml)", run_prune);
  policy.own_policy = true;
  run.add_option("--policy", policy.policy_file, "A policy, or BuildKit's configuration")->type_name("FILE");
  run.add_flag("--dry-run", policy.dry_run, "Say what would be removed and remove nothing");
}

}  // namespace cairn::cachectl

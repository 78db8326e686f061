// SPDX-License-Identifier: Apache-2.0
// gc check: what a policy means, without a store.
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "libbase/fs/fd.h"
#include "libcache/policy.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using nlohmann::ordered_json;

namespace {

struct CheckArguments {
  std::string file;
  Output format = Output::text;
};

void put_space(ordered_json& json, const char* name, const cache::Space& space) {
  if (!space.is_given()) return;
  ordered_json parts = ordered_json::array();
  for (const auto& part : space.parts())
    parts.push_back({{part.unit == cache::Space::Part::Unit::bytes ? "bytes" : "percent", part.amount}});
  json[name] = std::move(parts);
}

ordered_json filters_json(const std::vector<cache::RecordFilter>& filters) {
  ordered_json texts = ordered_json::array();
  for (const cache::RecordFilter& filter : filters) texts.push_back(filter.text());
  return texts;
}

ordered_json policy_json(const cache::Policy& policy) {
  ordered_json rules = ordered_json::array();
  for (const cache::PolicyRule& rule : policy.rules) {
    ordered_json json = {{"name", rule.name}, {"filter", filters_json(rule.filters)}, {"all", rule.all}};
    if (rule.unused_for) json["unused_for_ns"] = rule.unused_for->count();
    put_space(json, "ceiling", rule.ceiling);
    put_space(json, "floor", rule.effective_floor());
    put_space(json, "free", rule.free);
    rules.push_back(std::move(json));
  }
  return {{"format", 1},
          {"order", policy.order == cache::PolicyOrder::cost ? "cost" : "lru"},
          {"pins", filters_json(policy.pins)},
          {"rules", std::move(rules)},
          {"notes", policy.notes}};
}

std::string sentence(const cache::PolicyRule& rule) {
  std::string who = "every record";
  if (!rule.filters.empty()) {
    who = "records with";
    for (const cache::RecordFilter& filter : rule.filters)
      who += (&filter == rule.filters.data() ? " " : ", or ") + printable(filter.text());
  }
  if (!rule.all) who += ", internal ones aside";
  std::string text = who + (rule.unused_for ? fmt::format(", not used for {}", cache::to_string(*rule.unused_for)) : "");
  const bool bounded = rule.ceiling.is_given() || rule.free.is_given();
  text += bounded ? ": go" : ": all go";
  if (rule.ceiling.is_given()) text += fmt::format(" while they take more than {}", rule.ceiling.str());
  if (rule.free.is_given())
    text += fmt::format("{} while less than {} of the disk is free", rule.ceiling.is_given() ? " or" : "", rule.free.str());
  if (const cache::Space floor = rule.effective_floor(); floor.is_given()) text += fmt::format("; {} stay", floor.str());
  return text;
}

ExitCode run_gc_check(const GlobalOptions&, const CheckArguments& arguments) {
  const auto text = read_input(arguments.file);
  if (!text) return report_error(text.error());
  const auto policy = cache::parse_policy(*text, arguments.file);
  if (!policy) return report_error(policy.error());
  if (arguments.format == Output::json) {
    std::cout << policy_json(*policy).dump(-1, ' ', false, ordered_json::error_handler_t::replace) << '\n';
    return ExitCode::done;
  }
  std::cout << "order: " << (policy->order == cache::PolicyOrder::cost ? "cheapest to lose first" : "not used for longest first")
            << '\n';
  for (const cache::RecordFilter& pin : policy->pins) std::cout << "never: " << printable(pin.text()) << '\n';
  for (std::size_t i = 0; i < policy->rules.size(); ++i)
    std::cout << printable(cache::rule_title(*policy, i)) << ": " << sentence(policy->rules[i]) << '\n';
  for (const std::string& note : policy->notes) std::cout << "note: " << printable(note) << '\n';
  return ExitCode::done;
}

}  // namespace

void add_gc_verbs(CLI::App& app, Program& program) {
  auto [verb, arguments] = add_verb<CheckArguments>(noun(app, "gc"), program, "check", R"(What a policy means, and what is wrong or risky in it.

Examples:
  cachectl gc check gc.toml
  cachectl gc check /etc/buildkit/buildkitd.toml    # translated)", run_gc_check);
  verb.add_option("FILE", arguments.file, "A policy, or BuildKit's configuration; - reads standard input")->required();
}

}  // namespace cairn::cachectl

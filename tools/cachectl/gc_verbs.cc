// SPDX-License-Identifier: Apache-2.0
// gc check and gc explain: what a policy means, without a store, and what it says of one record of a store.
#include <iostream>
#include <nlohmann/json.hpp>

#include "libbase/fs/fd.h"
#include "libcache/explain_policy.h"
#include "libcache/policy.h"
#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/hint.h"
#include "tools/cachectl/json.h"
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
    std::cout << json_line(policy_json(*policy));
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

struct ExplainArguments {
  std::uint64_t record = 0;
  std::string policy_file;  // "": the store's own
  Output format = Output::text;
};

using Outcome = cache::RuleVerdict::Outcome;

std::string reason(const cache::RuleVerdict& verdict) {
  switch (verdict.outcome) {
    case Outcome::taken: return "takes it";
    case Outcome::taken_before: return "an earlier rule has taken it";
    case Outcome::in_use: return "keeps it: somebody holds or leases it";
    case Outcome::pinned: return "keeps it: it is pinned by the policy";
    case Outcome::internal: return "keeps it: it is internal, and the rule does not say all";
    case Outcome::other_filter: return "is not about it: no filter of the rule matches";
    case Outcome::too_young: return "keeps it: it was used too lately";
    case Outcome::satisfied:
      return fmt::format("takes nothing: {} live, and {} may stay", human_bytes(verdict.live_bytes), human_bytes(verdict.keep_bytes.value_or(0)));
    case Outcome::built_upon: return "keeps it: something that stays is built on it";
    case Outcome::below_floor:
      return fmt::format("keeps it: without it less would live than the floor of {}", human_bytes(verdict.floor_bytes.value_or(0)));
    case Outcome::later_in_line: return "does not come to it: what stands before it in the line is enough";
  }
  return "";
}

base::Result<cache::Policy> policy_of(const base::HostPath& root, const std::string& file) {
  if (!file.empty()) return cache::parse_policy(TRY(read_input(file)), file);
  const base::HostPath own = root / "gc.toml";
  const auto text = base::read_file(own, 1 << 20);
  if (!text && text.error().code == base::ErrorCode::not_found) return cache::default_policy();
  return cache::parse_policy(TRY(base::Result<std::string>(text)), own.str());
}

struct Explained {
  cache::Policy policy;
  cache::PolicyAnswer answer;
};
base::Result<Explained> explain(const GlobalOptions& global, const ExplainArguments& arguments) {
  const engine::StoreOptions options = TRY(store_options(global));
  const base::HostPath& root = options.engine.root;
  const auto env = TRY(engine::open_read_only(root));
  Explained explained{.policy = TRY(policy_of(root, arguments.policy_file)), .answer = {}};
  const Interrupt interrupt;
  auto answer = cache::explain_policy(*env, root, explained.policy, cache::RecordId(arguments.record), base::SystemClock().now(), {}, interrupt.token());
  if (!answer) return tl::unexpected(hint_if_missing(answer.error(), "cachectl ls lists the records that there are"));
  explained.answer = std::move(*answer);
  return explained;
}

ExitCode run_gc_explain(const GlobalOptions& global, const ExplainArguments& arguments) {
  const auto explained = explain(global, arguments);
  if (!explained) return report_error(explained.error());
  const auto& verdicts = explained->answer.verdicts;
  const auto& taken = explained->answer.taken;
  if (arguments.format == Output::json) {
    ordered_json rules = ordered_json::array();
    for (std::size_t i = 0; i < verdicts.size(); ++i) {
      ordered_json rule = {{"rule", cache::rule_title(explained->policy, i)}, {"outcome", std::string(to_string(verdicts[i].outcome))}, {"live_bytes", verdicts[i].live_bytes}};
      if (verdicts[i].keep_bytes) rule["keep_bytes"] = *verdicts[i].keep_bytes;
      if (verdicts[i].floor_bytes) rule["floor_bytes"] = *verdicts[i].floor_bytes;
      rules.push_back(std::move(rule));
    }
    ordered_json json = {{"format", 1}, {"record", std::to_string(arguments.record)}, {"goes", taken.has_value()}, {"rules", std::move(rules)}};
    if (taken) {
      json["freed_bytes"] = taken->freed_bytes;
      json["rebuild_ns"] = taken->facts.build_time.count();
    }
    std::cout << json_line(json);
    return ExitCode::done;
  }
  for (std::size_t i = 0; i < verdicts.size(); ++i)
    std::cout << printable(cache::rule_title(explained->policy, i)) << ' ' << reason(verdicts[i]) << '\n';
  if (taken) {
    std::cout << fmt::format("record {} goes with the next collection, as number {} of {}: {}, {} to rebuild\n", arguments.record,
                             explained->answer.place, explained->answer.going, human_bytes(taken->freed_bytes), human_duration(taken->facts.build_time));
  } else {
    std::cout << fmt::format("record {} stays\n", arguments.record);
  }
  return ExitCode::done;
}

}  // namespace

void add_gc_verbs(CLI::App& app, Program& program) {
  auto [verb, arguments] = add_verb<CheckArguments>(noun(app, "gc"), program, "check", R"(What a policy means, and what is wrong or risky in it.

Examples:
  cachectl gc check gc.toml
  cachectl gc check /etc/buildkit/buildkitd.toml    # translated)", run_gc_check);
  verb.add_option("FILE", arguments.file, "A policy, or BuildKit's configuration; - reads standard input")->required();

  auto [explain, to_explain] = add_verb<ExplainArguments>(noun(app, "gc"), program, "explain", R"(Which rule of the policy keeps a record or takes it, and why.

Examples:
  cachectl --root DIR gc explain 1027
  cachectl --root DIR gc explain 1027 --policy gc.toml --json)", run_gc_explain);
  explain.add_option("RECORD", to_explain.record, "Its number, as record list says it")->required();
  explain.add_option("--policy", to_explain.policy_file, "Another policy than the store's own")->type_name("FILE");
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
// entry: what untrusted writers of a cached have put, made a trusted result by somebody who says so, and the list of who did.
#include <pwd.h>
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "libcache/promotion.h"
#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::Status;
using cache::EntryStore;
using nlohmann::ordered_json;

namespace {

using Align = TextTable::Align;

struct PromoteArguments {
  engine::PromoteOrder order;
  Output format = Output::text;
};

std::string myself() {
  const struct ::passwd* const user = ::getpwuid(::getuid());
  return fmt::format("{} ({})", user != nullptr ? user->pw_name : "?", ::getuid());
}

std::string_view word_of(EntryStore::Outcome outcome) {
  if (outcome == EntryStore::Outcome::same) return "trusted before";
  return outcome == EntryStore::Outcome::replaced ? "promoted, replacing what was trusted" : "promoted";
}

ExitCode run_promote(const GlobalOptions& global, const PromoteArguments& arguments) {
  const auto options = store_options(global);
  if (!options) return report_error(options.error());
  engine::PromoteOrder order = arguments.order;
  order.who = myself();
  const Interrupt interrupt;
  auto promoted = engine::promote_in_store(*options, order, interrupt.token());
  if (!promoted) {
    if (promoted.error().code == ErrorCode::already_exists && promoted.error().hint.empty())
      promoted.error().hint = "--replace puts this one in its place";
    return report_error(promoted.error());
  }
  if (arguments.format == Output::json) {
    std::cout << json_line({{"format", 1},
                            {"door", order.door},
                            {"instance", order.instance},
                            {"key", order.key},
                            {"value", promoted->value.str()},
                            {"changed", promoted->outcome != EntryStore::Outcome::same},
                            {"replaced", promoted->outcome == EntryStore::Outcome::replaced}});
    return ExitCode::done;
  }
  std::cout << fmt::format("{}: {}\n", word_of(promoted->outcome), promoted->value);
  return ExitCode::done;
}

ordered_json promotion_json(cache::RecordId record, const cache::Promotion& promotion) {
  ordered_json json = {{"when", rfc3339(promotion.when)}, {"who", promotion.who},
                       {"reason", promotion.reason},      {"door", promotion.door},
                       {"instance", promotion.instance},  {"key", promotion.key},
                       {"value", promotion.value.str()},  {"record", std::to_string(record.value())}};
  if (promotion.replaced) json["replaced"] = promotion.replaced->str();
  return json;
}

ExitCode run_promotions(const GlobalOptions& global, const OnlyFormat& arguments) {
  TextTable table({{"WHEN", Align::left}, {"WHO", Align::left}, {"DOOR", Align::left}, {"INSTANCE", Align::left}, {"KEY", Align::left}, {"REASON", Align::left}});
  ordered_json list = ordered_json::array();
  const auto read = [&]() -> Status {
    const engine::StoreOptions options = TRY(store_options(global));
    const auto env = TRY(engine::open_read_only(options.engine.root));
    return cache::list_promotions(*env, [&](cache::RecordId record, const cache::Promotion& each) -> Status {
      if (arguments.format == Output::json) list.push_back(promotion_json(record, each));
      else table.add({rfc3339(each.when), printable(each.who), each.door, each.instance.empty() ? "-" : each.instance, printable(each.key), printable(each.reason)});
      return {};
    });
  };
  if (const Status listed = read(); !listed) return report_error(listed.error());
  std::cout << (arguments.format == Output::json ? json_line({{"format", 1}, {"promotions", std::move(list)}}) : table.str());
  return ExitCode::done;
}

}  // namespace

void add_entry_verbs(CLI::App& app, Program& program) {
  CLI::App& entry = *app.add_subcommand("entry", R"(What clients of cached have put under names of their own.

Examples:
  cachectl --root DIR entry promote bazel 5e8f... --instance team --reason "built again by the ci"
  cachectl --root DIR entry promotions)");
  entry.require_subcommand(1);
  auto promote = add_verb<PromoteArguments>(entry, program, "promote", R"(Make what an untrusted writer has put a trusted result, which everybody is shown.

Examples:
  cachectl --root DIR entry promote bazel 5e8f... --instance team --reason "built again by the ci"
  cachectl --root DIR entry promote ccache 9a/3bc... --replace --json

Its value and all that it needs are what they were; who has promoted what is kept in the store. Records whose description ends in
"untrusted" are what can be promoted.)", run_promote);
  promote.app.add_option("DOOR", promote.arguments.order.door, "The protocol: bazel, ccache, sccache, gradle, turborepo, nx, asset, redis")->required();
  promote.app.add_option("KEY", promote.arguments.order.key, "What the client calls it: of bazel the hash of the action")->required();
  promote.app.add_option("--instance", promote.arguments.order.instance, "Of that instance; else of the one without a name")->type_name("NAME");
  promote.app.add_option("--reason", promote.arguments.order.reason, "Why, for whoever reads the list")->type_name("TEXT");
  promote.app.add_flag("--replace", promote.arguments.order.replace, "Also where there is a trusted result of another value");
  add_verb<OnlyFormat>(entry, program, "promotions", R"(Who has made which results trusted ones, the oldest first.

Examples:
  cachectl --root DIR entry promotions
  cachectl --root DIR entry promotions --json)", run_promotions);
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
// who: whose bytes a digest or a number stands for. It reads beside whoever owns the store, and costs the rows that it prints.
#include <algorithm>
#include <charconv>
#include <iostream>

#include "libcache/inspect.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/record_json.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::Result;
using nlohmann::ordered_json;

namespace {

struct WhoArguments {
  std::string digest;
  Output format = Output::text;
};

struct Answer {
  std::string what;    // "blob", "diff", "chain", "key", "record"
  std::string digest;  // or the number
  std::optional<cache::BlobDetail> blob;
  std::vector<cache::RecordDetail> records;
  std::vector<cache::LeaseInfo> leases;  // on any of these
};

constexpr std::size_t shown_matches = 8;

// Few digits may stand for many things.
Result<cache::NamedThing> the_one(const base::HostPath& root, const std::string& digits, const std::vector<cache::NamedThing>& found) {
  if (found.empty())
    return tl::unexpected(base::Error{.code = ErrorCode::not_found,
                                      .message = fmt::format("who {}: nothing of {} has a digest that begins so", digits, root.str()),
                                      .hint = "blobs, layers (diff and chain ids) and cache keys have digests; records have numbers"});
  const bool one = std::all_of(found.begin(), found.end(), [&](const auto& each) { return each.digest == found.front().digest; });
  if (one) return found.front();
  std::string matches;
  for (std::size_t i = 0; i < found.size() && i < shown_matches; ++i)
    matches += fmt::format("{}{} {}…", i == 0 ? "" : ", ", to_string(found[i].what), found[i].digest.substr(0, 7 + 12));
  return tl::unexpected(base::Error{.code = ErrorCode::invalid_argument,
                                    .message = fmt::format("who {}: ambiguous: matches {}", digits, matches),
                                    .hint = "give one more digit"});
}

bool names_record(const std::string& text) {
  return text.size() < 20 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Result<Answer> look(base::lmdb::Env& env, const base::HostPath& root, const std::string& text) {
  Answer answer;
  std::vector<cache::RecordId> ids;
  std::uint64_t number = 0;
  if (names_record(text)) (void)std::from_chars(text.data(), text.data() + text.size(), number);
  if (number != 0 && TRY(cache::find_record(env, cache::RecordId(number)))) {
    answer.what = "record";
    answer.digest = text;
    ids = {cache::RecordId(number)};
  } else {
    const auto thing = TRY(the_one(root, text, TRY(cache::find_named(env, text, shown_matches + 1), "who {}", text)));
    answer.what = std::string(to_string(thing.what));
    answer.digest = thing.digest;
    ids = thing.records;
    if (thing.what == cache::NamedThing::What::blob) answer.blob = TRY(cache::find_blob(env, TRY(BlobDigest::parse(thing.digest))));
  }
  for (const cache::RecordId id : ids)
    if (auto detail = TRY(cache::find_record(env, id))) answer.records.push_back(std::move(*detail));
  const auto holds = [&](cache::LeaseId id) {
    const auto has = [&](const auto& leases) { return std::find(leases.begin(), leases.end(), id) != leases.end(); };
    return (answer.blob && has(answer.blob->leases)) ||
           std::any_of(answer.records.begin(), answer.records.end(), [&](const auto& record) { return has(record.leases); });
  };
  for (cache::LeaseInfo& lease : TRY(cache::list_leases(env, base::SystemClock().now())))
    if (holds(lease.id)) answer.leases.push_back(std::move(lease));
  return answer;
}

std::string answer_json(const Answer& answer) {
  ordered_json json = {{"format", 1}, {"what", answer.what}, {"name", answer.digest}};
  if (answer.blob) {
    json["size"] = answer.blob->info.size;
    json["allocated_bytes"] = answer.blob->info.allocated_bytes;
    json["place"] = std::string(answer.blob->place);
  }
  json["records"] = ordered_json::array();
  for (const cache::RecordDetail& record : answer.records) {
    ordered_json entry = record_json(record.info);
    const cache::Owner& owner = record.info.facts.owner;
    entry["owner"] = {{"project", owner.project}, {"build", owner.build}, {"step", owner.step}};
    entry["keys"] = ordered_json::array();
    for (const KeyDigest& key : record.keys) entry["keys"].push_back(key.str());
    json["records"].push_back(std::move(entry));
  }
  json["leases"] = ordered_json::array();
  for (const cache::LeaseInfo& lease : answer.leases)
    json["leases"].push_back({{"id", std::to_string(lease.id.value())}, {"owner", lease.owner}, {"expires", lease.expires ? ordered_json(rfc3339(*lease.expires)) : ordered_json(nullptr)}});
  return json_line(json);
}

void print_text(const Answer& answer) {
  std::cout << answer.what << ' ' << answer.digest;
  if (answer.blob)
    std::cout << fmt::format(", {}, in a {}", human_bytes(static_cast<std::int64_t>(answer.blob->info.size)), answer.blob->place);
  std::cout << '\n';
  using Align = TextTable::Align;
  TextTable table({{"RECORD", Align::right}, {"SIZE", Align::right}, {"PROJECT", Align::left}, {"BUILD", Align::left}, {"KEYS", Align::right},
                   {"DESCRIPTION", Align::left}});
  for (const cache::RecordDetail& record : answer.records) {
    const cache::Owner& owner = record.info.facts.owner;
    table.add({std::to_string(record.info.id.value()), human_bytes(record.info.usage.bytes), printable(owner.project), printable(owner.build),
               std::to_string(record.keys.size()), printable(record.info.facts.description)});
  }
  if (answer.records.empty()) std::cout << "no record names it\n";
  else std::cout << table.str();
  for (const cache::LeaseInfo& lease : answer.leases)
    std::cout << fmt::format("lease {} of {}, {}\n", lease.id.value(), printable(lease.owner), lease.expires ? "until " + rfc3339(*lease.expires) : "until it is released");
}

ExitCode run_who(const GlobalOptions& global, const WhoArguments& arguments) {
  const auto options = store_options(global);
  if (!options) return report_usage(options.error());
  const auto env = engine::open_read_only(options->engine.root);
  if (!env) return report_error(env.error());
  const auto answer = look(**env, options->engine.root, arguments.digest);
  if (!answer) return report_lookup_error(answer.error());
  if (arguments.format == Output::json) std::cout << answer_json(*answer);
  else print_text(*answer);
  return ExitCode::done;
}

}  // namespace

void add_who(CLI::App& app, Program& program) {
  auto [verb, arguments] = add_verb<WhoArguments>(app, program, "who", R"(Whose bytes these are: the records, owners, keys and leases behind a digest.

Examples:
  cachectl --root DIR who sha256:4c67a1b2c3d4
  cachectl --root DIR who 4c67
  cachectl --root DIR who 1027 --json)", run_who);
  verb.add_option("DIGEST", arguments.digest, "Of a blob, a layer (diff or chain id) or a key, or four of its digits; or a record's number")->required();
}

}  // namespace cairn::cachectl

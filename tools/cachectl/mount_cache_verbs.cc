// SPDX-License-Identifier: Apache-2.0
// mount-cache: the cache mounts of a store, one by one. Listing reads beside whoever owns the store; what looks into one or
// changes it is done by the owner.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "libcache/cache_mounts.h"
#include "libcache/policy.h"
#include "tools/cachectl/from_store.h"
#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/lookup_error.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::fail;
using base::Result;
using engine::CacheMountAnswer;
using engine::CacheMountOrder;
using nlohmann::ordered_json;

namespace {

using Align = TextTable::Align;

constexpr std::size_t short_key_digits = 12;

struct DuArguments {
  std::string mount, path;
  Output format = Output::text;
};
struct CatArguments {
  std::string mount, path;
};
struct RmArguments {
  std::string mount;
  bool dry_run = false;
  Output format = Output::text;
};
struct LimitArguments {
  std::string mount, limit;
  Output format = Output::text;
};

std::string short_key(const cache::CacheMountInfo& mount) { return mount.key.hex().substr(0, short_key_digits); }

Result<std::vector<cache::CacheMountInfo>> read_mounts(const GlobalOptions& global) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  return cache::list_cache_mounts(*env, options.engine.root);
}

// By its id, or by the first digits of its key, which tell those of one id apart.
Result<cache::CacheMountInfo> find_mount(const GlobalOptions& global, const std::string& wanted) {
  auto mounts = TRY(read_mounts(global));
  std::string known;
  for (const cache::CacheMountInfo& mount : mounts) known += (known.empty() ? "" : ", ") + mount.id;
  const auto drop_unless = [&](const auto& is_meant) {
    if (std::any_of(mounts.begin(), mounts.end(), is_meant)) std::erase_if(mounts, [&](const auto& mount) { return !is_meant(mount); });
    else mounts.clear();
  };
  if (std::any_of(mounts.begin(), mounts.end(), [&](const auto& mount) { return mount.id == wanted; })) {
    drop_unless([&](const cache::CacheMountInfo& mount) { return mount.id == wanted; });
  } else {
    drop_unless([&](const cache::CacheMountInfo& mount) { return !wanted.empty() && mount.key.hex().starts_with(wanted); });
  }
  if (mounts.size() == 1) return std::move(mounts.front());
  if (mounts.empty()) {
    auto error = fail(ErrorCode::not_found, "cache mount \"{}\": there is none", wanted);
    error.value().hint = known.empty() ? "no step with a cache mount has been run in this store" : "there are: " + known;
    return error;
  }
  std::string keys;
  for (const cache::CacheMountInfo& mount : mounts) keys += (keys.empty() ? "" : ", ") + short_key(mount);
  auto error = fail(ErrorCode::invalid_argument, "cache mount \"{}\": ambiguous: there are {}", wanted, mounts.size());
  error.value().hint = "say which by its key: " + keys;
  return error;
}

ordered_json mount_json(const cache::CacheMountInfo& mount) {
  ordered_json json = {{"id", mount.id}, {"key", mount.key.str()}};
  if (mount.base) json["base"] = std::to_string(mount.base.value());
  json["versions"] = mount.versions.size();
  json["bytes"] = mount.bytes();
  if (mount.limit) json["limit"] = *mount.limit;
  if (!mount.versions.empty()) {
    json["record"] = std::to_string(mount.versions.front().id.value());
    json["changed"] = rfc3339(mount.versions.front().created);
    json["by"] = mount.versions.front().facts.description;
  }
  return json;
}

ExitCode run_list(const GlobalOptions& global, const OnlyFormat& arguments) {
  const auto mounts = read_mounts(global);
  if (!mounts) return report_error(mounts.error());
  if (arguments.format == Output::json) {
    ordered_json list = ordered_json::array();
    for (const cache::CacheMountInfo& mount : *mounts) list.push_back(mount_json(mount));
    std::cout << json_line({{"format", 1}, {"mounts", std::move(list)}});
    return ExitCode::done;
  }
  TextTable table({{"ID", Align::left}, {"KEY", Align::left}, {"BYTES", Align::right}, {"LIMIT", Align::right}, {"VERSIONS", Align::right}, {"CHANGED", Align::left}});
  for (const cache::CacheMountInfo& mount : *mounts) {
    table.add({printable(mount.id), short_key(mount), human_bytes(mount.bytes()), mount.limit ? human_bytes(*mount.limit) : "-",
               std::to_string(mount.versions.size()), mount.versions.empty() ? "-" : rfc3339(mount.versions.front().created)});
  }
  std::cout << table.str();
  return ExitCode::done;
}

Result<CacheMountAnswer> ask(const GlobalOptions& global, const CacheMountOrder& order) {
  const engine::StoreOptions options = TRY(store_options(global));
  const Interrupt interrupt;
  return engine::cache_mount_in_store(options, order, interrupt.token());
}

ExitCode run_du(const GlobalOptions& global, const DuArguments& arguments) {
  const auto mount = find_mount(global, arguments.mount);
  if (!mount) return report_lookup_error(global, mount.error());
  const auto answer = ask(global, {.action = CacheMountOrder::Action::measure, .key = mount->key, .path = arguments.path, .limit = {}});
  if (!answer) return report_error(base::add_context(answer.error(), fmt::format("measure cache mount \"{}\"", mount->id)));
  std::int64_t sum = 0;
  for (const CacheMountAnswer::Entry& entry : answer->entries) sum += entry.bytes;
  if (arguments.format == Output::json) {
    ordered_json entries = ordered_json::array();
    for (const auto& entry : answer->entries) entries.push_back({{"name", entry.name}, {"bytes", entry.bytes}, {"inodes", entry.inodes}});
    std::cout << json_line({{"format", 1}, {"id", mount->id}, {"key", mount->key.str()}, {"path", arguments.path}, {"bytes", sum}, {"entries", std::move(entries)}});
    return ExitCode::done;
  }
  TextTable table({{"BYTES", Align::right}, {"FILES", Align::right}, {"NAME", Align::left}});
  for (const auto& entry : answer->entries) table.add({human_bytes(entry.bytes), std::to_string(entry.inodes), printable(entry.name)});
  table.add({human_bytes(sum), "", "in all"});
  std::cout << table.str();
  return ExitCode::done;
}

ExitCode run_cat(const GlobalOptions& global, const CatArguments& arguments) {
  const auto mount = find_mount(global, arguments.mount);
  if (!mount) return report_lookup_error(global, mount.error());
  const base::Status written = write_from_store(global, {.of = mount->key, .path = arguments.path, .offset = 0});
  return written ? ExitCode::done : report_error(base::add_context(written.error(), fmt::format("cache mount \"{}\"", mount->id)));
}

ExitCode run_rm(const GlobalOptions& global, const RmArguments& arguments) {
  const auto mount = find_mount(global, arguments.mount);
  if (!mount) return report_lookup_error(global, mount.error());
  const auto answer = ask(global, {.action = CacheMountOrder::Action::end, .key = mount->key, .path = {}, .limit = {}, .dry_run = arguments.dry_run});
  if (!answer) return report_error(base::add_context(answer.error(), fmt::format("remove cache mount \"{}\"", mount->id)));
  if (arguments.format == Output::json) {
    std::cout << json_line({{"format", 1}, {"id", mount->id}, {"key", mount->key.str()}, {"dry_run", arguments.dry_run}, {"versions", answer->records}, {"freed_bytes", answer->freed_bytes}});
    return ExitCode::done;
  }
  std::cout << fmt::format("{} {}: {} versions, {}\n", arguments.dry_run ? "would remove" : "removed", printable(mount->id), answer->records,
                           human_bytes(answer->freed_bytes));
  return ExitCode::done;
}

Result<std::optional<std::int64_t>> parse_limit(const std::string& text) {
  if (text == "none") return std::optional<std::int64_t>();
  const cache::Space space = TRY(cache::parse_space(text));
  if (space.parts().size() != 1 || space.parts().front().unit != cache::Space::Part::Unit::bytes)
    return fail(ErrorCode::invalid_argument, "\"{}\" is not a size: a cache mount has no percent", text);
  return std::optional(static_cast<std::int64_t>(space.parts().front().amount));
}

ExitCode run_limit(const GlobalOptions& global, const LimitArguments& arguments) {
  const auto limit = parse_limit(arguments.limit);
  if (!limit) {
    report_error(base::add_context(limit.error(), "SIZE"));
    return ExitCode::usage;
  }
  const auto mount = find_mount(global, arguments.mount);
  if (!mount) return report_lookup_error(global, mount.error());
  const auto answer = ask(global, {.action = CacheMountOrder::Action::limit, .key = mount->key, .path = {}, .limit = *limit});
  if (!answer) return report_error(base::add_context(answer.error(), fmt::format("limit cache mount \"{}\"", mount->id)));
  if (arguments.format == Output::json) {
    ordered_json json = {{"format", 1}, {"id", mount->id}, {"key", mount->key.str()}};
    if (*limit) json["limit"] = **limit;
    std::cout << json_line(json);
    return ExitCode::done;
  }
  std::cout << fmt::format("{}: {}\n", printable(mount->id), *limit ? "may hold " + human_bytes(**limit) : "has no limit");
  return ExitCode::done;
}

template <class Arguments>
void add_mount(Verb<Arguments>& verb) {
  verb.app.add_option("MOUNT", verb.arguments.mount, "Its id, or the first digits of its key, as mount-cache list says them")->required();
}

}  // namespace

void add_mount_cache_verbs(CLI::App& app, Program& program) {
  CLI::App& mount_cache = noun(app, "mount-cache");
  add_verb<OnlyFormat>(mount_cache, program, "list", R"(The cache mounts of the store: what steps keep for their next run.

Examples:
  cachectl --root DIR mount-cache list
  cachectl --root DIR mount-cache list --json)", run_list);
  auto du = add_verb<DuArguments>(mount_cache, program, "du", R"(What a cache mount holds, the largest first.

Examples:
  cachectl --root DIR mount-cache du /root/.cache
  cachectl --root DIR mount-cache du /root/.cache go-build)", run_du);
  add_mount(du);
  du.app.add_option("PATH", du.arguments.path, "A directory in it");
  auto cat = add_verb<CatArguments>(mount_cache, program, "cat", R"(Print a file of a cache mount, as its newest version has it.

Examples:
  cachectl --root DIR mount-cache cat /root/.cache go-build/trim.txt)", run_cat);
  add_mount(cat);
  cat.app.add_option("PATH", cat.arguments.path, "A regular file in it")->required();
  auto rm = add_verb<RmArguments>(mount_cache, program, "rm", R"(Remove a cache mount with all its versions; the next step that uses it begins anew.

Examples:
  cachectl --root DIR mount-cache rm /root/.cache --dry-run
  cachectl --root DIR mount-cache rm /root/.cache)", run_rm);
  add_mount(rm);
  rm.app.add_flag("--dry-run", rm.arguments.dry_run, "Say what would be freed, and change nothing");
  auto limit = add_verb<LimitArguments>(mount_cache, program, "limit", R"(How much a cache mount may hold: a step that leaves more in it ends it, and the next one begins anew.

Examples:
  cachectl --root DIR mount-cache limit /root/.cache 5GB
  cachectl --root DIR mount-cache limit /root/.cache none)", run_limit);
  add_mount(limit);
  limit.app.add_option("SIZE", limit.arguments.limit, "500MB, 2GiB, ...; none: without a limit")->required();
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
// du and ls. They read beside whoever owns the store.
#include <algorithm>
#include <cctype>
#include <iostream>
#include <nlohmann/json.hpp>

#include "tools/cachectl/record_json.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using nlohmann::ordered_json;

namespace {

struct DuArguments {
  std::string by;  // "": the lines of the store; else a word of cache::Dimension
  Output format = Output::text;
};

std::string dump(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string records_table(const std::vector<cache::RecordInfo>& records) {
  using Align = TextTable::Align;
  TextTable table({{"ID", Align::right}, {"TYPE", Align::left}, {"SIZE", Align::right}, {"LAST USED", Align::left},
                   {"DESCRIPTION", Align::left}});
  for (const cache::RecordInfo& record : records) {
    table.add({std::to_string(record.id.value()), std::string(cache::to_string(record.facts.type)),
               human_bytes(record.usage.bytes), rfc3339(record.last_used).substr(0, 19) + "Z",
               printable(record.facts.description)});
  }
  return table.str();
}

std::string records_json(const std::vector<cache::RecordInfo>& records) {
  ordered_json list = ordered_json::array();
  for (const cache::RecordInfo& record : records) {
    ordered_json json = record_json(record);
    const cache::Owner& owner = record.facts.owner;
    json["exclusive_bytes"] = record.space.exclusive_bytes + record.space.blob_exclusive_bytes;
    json["shared_bytes"] = record.space.shared_bytes + record.space.blob_shared_bytes;
    json["owner"] = {{"project", owner.project}, {"build", owner.build}, {"step", owner.step}};
    list.push_back(std::move(json));
  }
  return dump({{"format", 1}, {"records", std::move(list)}, {"freed_bytes", 0}});
}

base::Result<cache::DiskUsage> read_usage(const GlobalOptions& global) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  return cache::disk_usage(*env, options.engine.root);
}

base::Result<std::vector<cache::RecordInfo>> read_records(const GlobalOptions& global) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  std::vector<cache::RecordInfo> records;
  TRY(cache::each_record(*env, options.engine.root, [&](const cache::RecordInfo& record) -> base::Status {
    records.push_back(record);
    return {};
  }));
  return records;
}

base::Result<cache::Breakdown> read_breakdown(const GlobalOptions& global, cache::Dimension dimension) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  return cache::usage_by(*env, dimension);
}

std::string breakdown_json(const cache::Breakdown& breakdown, const std::string& by) {
  ordered_json shares = ordered_json::array();
  for (const cache::Share& share : breakdown.shares) {
    shares.push_back({{"name", share.name},
                      {"records", share.records},
                      {"inodes", share.inodes},
                      {"exclusive_bytes", share.exclusive_bytes},
                      {"shared_bytes", share.shared_bytes}});
  }
  return dump({{"format", 1},
               {"by", by},
               {"shares", std::move(shares)},
               {"unowned_bytes", breakdown.unowned_bytes},
               {"total_bytes", breakdown.total_bytes}});
}

std::string breakdown_table(cache::Breakdown breakdown, std::string by) {
  const auto bytes_of = [](const cache::Share& share) { return share.exclusive_bytes + share.shared_bytes; };
  std::stable_sort(breakdown.shares.begin(), breakdown.shares.end(),
                   [&](const cache::Share& a, const cache::Share& b) { return bytes_of(a) > bytes_of(b); });
  std::transform(by.begin(), by.end(), by.begin(), [](unsigned char c) { return std::toupper(c); });
  using Align = TextTable::Align;
  TextTable table({{by, Align::left}, {"RECORDS", Align::right}, {"INODES", Align::right}, {"EXCLUSIVE", Align::right},
                   {"SHARED", Align::right}, {"SIZE", Align::right}});
  for (const cache::Share& share : breakdown.shares) {
    table.add({share.name.empty() ? "(not said)" : printable(share.name), std::to_string(share.records),
               std::to_string(share.inodes), human_bytes(share.exclusive_bytes), human_bytes(share.shared_bytes),
               human_bytes(bytes_of(share))});
  }
  table.add({"of no record", "", "", "", "", human_bytes(breakdown.unowned_bytes)});
  table.add({"total", "", "", "", "", human_bytes(breakdown.total_bytes)});
  return table.str();
}

ExitCode run_du_by(const GlobalOptions& global, const DuArguments& arguments) {
  auto dimension = cache::Dimension::type;
  for (const auto each : {cache::Dimension::project, cache::Dimension::build, cache::Dimension::step}) {
    if (arguments.by == cache::to_string(each)) dimension = each;
  }
  auto breakdown = read_breakdown(global, dimension);
  if (!breakdown) return report_error(breakdown.error());
  std::cout << (arguments.format == Output::json ? breakdown_json(*breakdown, arguments.by)
                                                 : breakdown_table(std::move(*breakdown), arguments.by));
  return ExitCode::done;
}

ExitCode run_du(const GlobalOptions& global, const DuArguments& arguments) {
  if (!arguments.by.empty()) return run_du_by(global, arguments);
  const Output format = arguments.format;
  const auto usage = read_usage(global);
  if (!usage) return report_error(usage.error());
  const std::pair<const char*, std::int64_t> lines[] = {
      {"total_bytes", usage->total_bytes}, {"tree_bytes", usage->tree_bytes},         {"active_bytes", usage->active_bytes},
      {"trash_bytes", usage->trash_bytes}, {"blob_bytes", usage->blob_bytes},         {"pack_bytes", usage->pack_bytes},
      {"metadata_bytes", usage->metadata_bytes}, {"temp_bytes", usage->temp_bytes},   {"reserve_bytes", usage->reserve_bytes},
      {"other_bytes", usage->other_bytes}};
  if (format == Output::json) {
    ordered_json json = {{"format", 1}};
    for (const auto& [name, bytes] : lines) json[name] = bytes;
    json["pack_reclaimable_bytes"] = usage->pack_reclaimable_bytes;
    json["live_bytes"] = usage->live_bytes();
    json["records"] = usage->records;
    json["blobs"] = usage->blobs;
    std::cout << dump(json);
    return ExitCode::done;
  }
  TextTable table({{"WHAT", TextTable::Align::left}, {"SIZE", TextTable::Align::right}});
  const char* titles[] = {"total", "trees", "active trees", "being freed", "blobs", "packs", "metadata", "temporary",
                          "reserve", "other"};
  for (std::size_t i = 1; i < std::size(lines); ++i) table.add({titles[i], human_bytes(lines[i].second)});
  table.add({titles[0], human_bytes(lines[0].second)});
  std::cout << table.str() << usage->records << " records, " << usage->blobs << " blobs, "
            << human_bytes(usage->pack_reclaimable_bytes) << " of the packs reclaimable\n";
  return ExitCode::done;
}

ExitCode run_ls(const GlobalOptions& global, const OnlyFormat& arguments) {
  const auto records = read_records(global);
  if (!records) return report_error(records.error());
  std::cout << (arguments.format == Output::json ? records_json(*records) : records_table(*records));
  return ExitCode::done;
}

}  // namespace

void add_store_verbs(CLI::App& app, Program& program) {
  auto [du, arguments] = add_verb<DuArguments>(app, program, "du", R"(What the store takes on disk, and whose it is.

Examples:
  cachectl --root DIR du
  cachectl --root DIR du --by project
  cachectl --root DIR du --by type --json)", run_du);
  du.add_option("--by", arguments.by, "Trees and blobs by what is said of their records")
      ->check(CLI::IsMember({"type", "project", "build", "step"}));

  add_verb<OnlyFormat>(app, program, "ls", R"(The records of the store.

Examples:
  cachectl --root DIR ls
  cachectl --root DIR ls --json)", run_ls);
}

}  // namespace cairn::cachectl

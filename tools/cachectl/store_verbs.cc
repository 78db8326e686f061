// SPDX-License-Identifier: Apache-2.0
// du and ls. They read beside whoever owns the store.
#include <iostream>
#include <nlohmann/json.hpp>

#include "tools/cachectl/command.h"
#include "tools/cachectl/record_json.h"

namespace cairn::cachectl {

using nlohmann::ordered_json;

namespace {

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
  for (const cache::RecordInfo& record : records) list.push_back(record_json(record));
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

}  // namespace

ExitCode run_du(const GlobalOptions& global, Output format) {
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

ExitCode run_ls(const GlobalOptions& global, Output format) {
  const auto records = read_records(global);
  if (!records) return report_error(records.error());
  std::cout << (format == Output::json ? records_json(*records) : records_table(*records));
  return ExitCode::done;
}

}  // namespace cairn::cachectl

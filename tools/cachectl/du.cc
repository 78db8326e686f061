// SPDX-License-Identifier: Apache-2.0
// du and top: where the bytes are, and whose. They read sums, whatever the store holds, beside whoever owns it; only du --filter
// adds up records.
#include <algorithm>
#include <cctype>
#include <iostream>
#include <nlohmann/json.hpp>

#include "tools/cachectl/json.h"
#include "tools/cachectl/record_filter.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using nlohmann::ordered_json;

namespace {

struct DuArguments {
  std::string by;  // "": the lines of the store; else as TopArguments
  std::vector<std::string> filters;
  Output format = Output::text;
};
struct TopArguments {
  std::string by = "project";  // a word of cache::Dimension, or "owner"
  std::uint64_t limit = 10;
  Output format = Output::text;
};

base::Result<cache::DiskUsage> read_usage(const GlobalOptions& global) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  return cache::disk_usage(*env, options.engine.root);
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
  return json_line({{"format", 1},
               {"by", by},
               {"shares", std::move(shares)},
               {"unowned_bytes", breakdown.unowned_bytes},
               {"total_bytes", breakdown.total_bytes}});
}

std::int64_t bytes_of(const cache::Share& share) { return share.exclusive_bytes + share.shared_bytes; }

void sort_by_size(cache::Breakdown& breakdown) {
  std::stable_sort(breakdown.shares.begin(), breakdown.shares.end(),
                   [](const cache::Share& a, const cache::Share& b) { return bytes_of(a) > bytes_of(b); });
}

std::string breakdown_table(const cache::Breakdown& breakdown, std::string by) {
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

// The owner that quotas and policies know is the project.
cache::Dimension dimension_of(const std::string& by) {
  for (const auto each : {cache::Dimension::type, cache::Dimension::build, cache::Dimension::step})
    if (by == cache::to_string(each)) return each;
  return cache::Dimension::project;
}

ExitCode run_du_by(const GlobalOptions& global, const DuArguments& arguments) {
  auto breakdown = read_breakdown(global, dimension_of(arguments.by));
  if (!breakdown) return report_error(breakdown.error());
  if (arguments.format == Output::json) {
    std::cout << breakdown_json(*breakdown, arguments.by);
    return ExitCode::done;
  }
  sort_by_size(*breakdown);
  std::cout << breakdown_table(*breakdown, arguments.by);
  return ExitCode::done;
}

ExitCode run_du_filter(const GlobalOptions& global, const DuArguments& arguments) {
  const auto filters = parse_filters(arguments.filters);
  if (!filters) return report_usage(filters.error());
  std::uint64_t records = 0;
  std::int64_t exclusive = 0, shared = 0;
  const auto read = each_matching(global, *filters, [&](const cache::RecordInfo& record) {
    ++records;
    exclusive += record.space.exclusive_bytes + record.space.blob_exclusive_bytes;
    shared += record.space.shared_bytes + record.space.blob_shared_bytes;
  });
  if (!read) return report_error(read.error());
  if (arguments.format == Output::json) {
    std::cout << json_line({{"format", 1}, {"records", records}, {"exclusive_bytes", exclusive}, {"shared_bytes", shared}});
  } else {
    std::cout << records << " records, " << human_bytes(exclusive) << " of their own, " << human_bytes(shared) << " shared\n";
  }
  return ExitCode::done;
}

ExitCode run_du(const GlobalOptions& global, const DuArguments& arguments) {
  if (!arguments.by.empty()) return run_du_by(global, arguments);
  if (!arguments.filters.empty()) return run_du_filter(global, arguments);
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
    std::cout << json_line(json);
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

ExitCode run_top(const GlobalOptions& global, const TopArguments& arguments) {
  auto breakdown = read_breakdown(global, dimension_of(arguments.by));
  if (!breakdown) return report_error(breakdown.error());
  const std::size_t all = breakdown->shares.size();
  sort_by_size(*breakdown);
  if (arguments.limit != 0 && all > arguments.limit) breakdown->shares.resize(arguments.limit);
  if (arguments.format == Output::json) {
    std::cout << breakdown_json(*breakdown, arguments.by);
    return ExitCode::done;
  }
  std::cout << breakdown_table(*breakdown, arguments.by);
  if (breakdown->shares.size() < all) std::cout << "and " << all - breakdown->shares.size() << " more\n";
  return ExitCode::done;
}

}  // namespace

void add_du(CLI::App& app, Program& program) {
  auto [du, arguments] = add_verb<DuArguments>(app, program, "du", R"(What the store takes on disk, and whose it is.

Examples:
  cachectl --root DIR du
  cachectl --root DIR du --by project
  cachectl --root DIR du --by type --json
  cachectl --root DIR du --filter type==exec.cachemount,until=24h)", run_du);
  const auto dimensions = CLI::IsMember({"type", "project", "build", "step", "owner"});
  CLI::Option* by = du.add_option("--by", arguments.by, "Trees and blobs by what is said of their records; owner: project")->check(dimensions);
  add_filters(du, arguments.filters)->excludes(by);

  auto [top, to_top] = add_verb<TopArguments>(app, program, "top", R"(Whose trees and blobs take most, the largest first.

Examples:
  cachectl --root DIR top
  cachectl --root DIR top --by step --limit 20
  cachectl --root DIR top --by owner --json)", run_top);
  top.add_option("--by", to_top.by, "What is said of the records; owner: project")->check(dimensions)->capture_default_str();
  top.add_option("--limit", to_top.limit, "How many; 0: all")->capture_default_str();
}

}  // namespace cairn::cachectl

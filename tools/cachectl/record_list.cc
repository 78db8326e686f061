// SPDX-License-Identifier: Apache-2.0
// record list, ls and record show. They read beside whoever owns the store.
#include <iostream>

#include "libcache/inspect.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/record_filter.h"
#include "tools/cachectl/record_json.h"

namespace cairn::cachectl {

using nlohmann::ordered_json;

namespace {

struct ListArguments {
  std::vector<std::string> filters;
  Output format = Output::text;
};
struct ShowArguments {
  std::uint64_t record = 0;
  Output format = Output::text;
};

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

ordered_json listed_json(const cache::RecordInfo& record) {
  ordered_json json = record_json(record);
  const cache::Owner& owner = record.facts.owner;
  json["exclusive_bytes"] = record.space.exclusive_bytes + record.space.blob_exclusive_bytes;
  json["shared_bytes"] = record.space.shared_bytes + record.space.blob_shared_bytes;
  json["owner"] = {{"project", owner.project}, {"build", owner.build}, {"step", owner.step}};
  return json;
}

ExitCode run_list(const GlobalOptions& global, const ListArguments& arguments) {
  const auto filters = parse_filters(arguments.filters);
  if (!filters) return report_usage(filters.error());
  std::vector<cache::RecordInfo> records;
  const auto read = each_matching(global, *filters, [&](const cache::RecordInfo& record) { records.push_back(record); });
  if (!read) return report_error(read.error());
  if (arguments.format == Output::text) {
    std::cout << records_table(records);
    return ExitCode::done;
  }
  ordered_json list = ordered_json::array();
  for (const cache::RecordInfo& record : records) list.push_back(listed_json(record));
  std::cout << json_line({{"format", 1}, {"records", std::move(list)}, {"freed_bytes", 0}});
  return ExitCode::done;
}

base::Result<cache::RecordDetail> read_detail(const GlobalOptions& global, std::uint64_t number) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  auto detail = TRY(cache::find_record(*env, cache::RecordId(number)), "show record {}", number);
  if (detail) return std::move(*detail);
  return tl::unexpected(base::Error{.code = base::ErrorCode::not_found,
                                    .message = fmt::format("show record {}: there is none in {}", number, options.engine.root.str()),
                                    .hint = "cachectl record list shows them all"});
}

template <class Ids>
std::string joined(const Ids& ids, const auto& text_of) {
  constexpr std::size_t shown_max = 8;
  std::string text;
  for (std::size_t i = 0; i < ids.size() && i < shown_max; ++i) text += (i == 0 ? "" : " ") + text_of(ids[i]);
  if (ids.size() > shown_max) text += fmt::format(" and {} more", ids.size() - shown_max);
  return text.empty() ? "-" : text;
}

std::string number_text(const auto& id) { return std::to_string(id.value()); }
std::string digest_text(const auto& digest) { return digest.str(); }

std::string show_json(const cache::RecordDetail& detail) {
  ordered_json json = {{"format", 1}};
  json.update(listed_json(detail.info));
  json["kind"] = std::string(to_string(detail.info.kind));
  json["lazy"] = !detail.info.snapshot;
  json["snapshot"] = detail.info.snapshot.value();
  json["rebuild_ns"] = detail.info.facts.build_time.count();
  json["use_count"] = detail.info.use_count;
  const auto list = [](const auto& ids, const auto& text_of) {
    ordered_json texts = ordered_json::array();
    for (const auto& id : ids) texts.push_back(text_of(id));
    return texts;
  };
  json["children"] = list(detail.children, [](auto id) { return number_text(id); });
  json["keys"] = list(detail.keys, [](const auto& key) { return digest_text(key); });
  json["leases"] = list(detail.leases, [](auto id) { return number_text(id); });
  json["blobs"] = list(detail.blobs, [](const auto& blob) { return digest_text(blob); });
  if (detail.diff) json["diff"] = detail.diff->str();
  return json_line(json);
}

ExitCode run_show(const GlobalOptions& global, const ShowArguments& arguments) {
  const auto detail = read_detail(global, arguments.record);
  if (!detail) return report_error(detail.error());
  if (arguments.format == Output::json) {
    std::cout << show_json(*detail);
    return ExitCode::done;
  }
  const cache::RecordInfo& record = detail->info;
  const cache::Owner& owner = record.facts.owner;
  const auto numbers = [](auto id) { return number_text(id); };
  const auto digests = [](const auto& digest) { return digest_text(digest); };
  const std::pair<const char*, std::string> lines[] = {
      {"record", std::to_string(record.id.value())},
      {"type", fmt::format("{}, {}", to_string(record.facts.type), to_string(record.kind))},
      {"description", printable(record.facts.description)},
      {"owner", printable(fmt::format("project {}, build {}, step {}", owner.project.empty() ? "-" : owner.project,
                                      owner.build.empty() ? "-" : owner.build, owner.step.empty() ? "-" : owner.step))},
      {"own bytes", human_bytes(record.space.exclusive_bytes + record.space.blob_exclusive_bytes)},
      {"shared bytes", human_bytes(record.space.shared_bytes + record.space.blob_shared_bytes)},
      {"to rebuild", human_duration(record.facts.build_time)},
      {"created", rfc3339(record.created)},
      {"last used", rfc3339(record.last_used)},
      {"uses", std::to_string(record.use_count)},
      {"snapshot", record.snapshot ? std::to_string(record.snapshot.value()) : "none: it is lazy"},
      {"parents", joined(record.parents, numbers)},
      {"children", joined(detail->children, numbers)},
      {"keys", joined(detail->keys, digests)},
      {"leases", joined(detail->leases, numbers)},
      {"blobs", joined(detail->blobs, digests)},
      {"diff", detail->diff ? detail->diff->str() : "-"}};
  for (const auto& [title, text] : lines) std::cout << fmt::format("{:<13} {}\n", title, text);
  return ExitCode::done;
}

}  // namespace

void add_record_list(CLI::App& app, Program& program) {
  auto [list, to_list] = add_verb<ListArguments>(noun(app, "record"), program, "list", R"(The records of the store, in the order of their numbers.

Examples:
  cachectl --root DIR record list
  cachectl --root DIR record list --filter type==exec.cachemount,until=24h
  cachectl --root DIR record list --filter 'description~=^exec cc' --json)", run_list);
  add_filters(list, to_list.filters);
  auto [ls, to_ls] = add_verb<ListArguments>(app, program, "ls", R"(The records of the store: record list in short.

Examples:
  cachectl --root DIR ls
  cachectl --root DIR ls --filter type==regular --json)", run_list);
  add_filters(ls, to_ls.filters);
  auto [show, to_show] = add_verb<ShowArguments>(noun(app, "record"), program, "show", R"(Everything that is known of one record.

Examples:
  cachectl --root DIR record show 1027
  cachectl --root DIR record show 1027 --json)", run_show);
  show.add_option("RECORD", to_show.record, "Its number")->required();
}

}  // namespace cairn::cachectl

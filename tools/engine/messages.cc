// SPDX-License-Identifier: Apache-2.0
// What crosses the socket, to and from messages. Decoding is lenient in what it ignores and strict in what it needs.
#include "tools/engine/message_fields.h"
#include "tools/engine/protocol.h"

namespace cairn::engine {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

Message encode_selection(const cache::Selection& selection) {
  const cache::Normalisation& policy = selection.normalisation;
  return {{"path", bytes_of(selection.path)},
          {"follow", selection.follow_links},
          {"wildcard", selection.wildcard},
          {"include", encode_texts(selection.include_patterns)},
          {"exclude", encode_texts(selection.exclude_patterns)},
          {"ignore_owner", policy.owner == cache::Normalisation::Owner::ignored},
          {"mode_mask", policy.mode_mask},
          {"count_times", policy.times == cache::Times::counted},
          {"all_xattrs", !policy.xattrs},
          {"xattrs", encode_texts(policy.xattrs.value_or(std::vector<std::string>()))}};
}

Result<cache::Selection> decode_selection(const Message& message) {
  cache::Selection selection;
  selection.path = TRY(take<std::string>(message, "path"));
  selection.follow_links = TRY(take<bool>(message, "follow"));
  selection.wildcard = TRY(take<bool>(message, "wildcard"));
  selection.include_patterns = TRY(decode_texts(message, "include"));
  selection.exclude_patterns = TRY(decode_texts(message, "exclude"));
  cache::Normalisation& policy = selection.normalisation;
  if (TRY(take<bool>(message, "ignore_owner"))) policy.owner = cache::Normalisation::Owner::ignored;
  policy.mode_mask = TRY(take<std::uint32_t>(message, "mode_mask"));
  if (TRY(take<bool>(message, "count_times"))) policy.times = cache::Times::counted;
  auto xattrs = TRY(decode_texts(message, "xattrs"));
  if (!TRY(take<bool>(message, "all_xattrs"))) policy.xattrs = std::move(xattrs);
  return selection;
}

Message encode_record(const cache::RecordInfo& record) {
  Message parents = Message::array();
  for (cache::RecordId parent : record.parents) parents.push_back(parent.value());
  return {{"id", record.id.value()},
          {"type", static_cast<int>(record.facts.type)},
          {"bytes", record.usage.bytes},
          {"parents", std::move(parents)},
          {"description", bytes_of(record.facts.description)},
          {"created", base::to_unix_ns(record.created)},
          {"last_used", base::to_unix_ns(record.last_used)}};
}

Result<cache::RecordInfo> decode_record(const Message& message) {
  cache::RecordInfo record;
  record.id = cache::RecordId(TRY(take<std::uint64_t>(message, "id")));
  record.facts.type = static_cast<cache::RecordType>(TRY(take<int>(message, "type")));
  record.facts.description = TRY(take<std::string>(message, "description"));
  record.usage.bytes = TRY(take<std::int64_t>(message, "bytes"));
  record.created = base::from_unix_ns(TRY(take<std::int64_t>(message, "created")));
  record.last_used = base::from_unix_ns(TRY(take<std::int64_t>(message, "last_used")));
  for (const Message& parent : *TRY(take_array(message, "parents"))) {
    if (!parent.is_number_integer()) return fail(ErrorCode::corrupt, "message with a strange parent");
    record.parents.emplace_back(parent.get<std::uint64_t>());
  }
  return record;
}

}  // namespace

Message encode(const base::Error& error) {
  return {{"code", static_cast<int>(error.code)}, {"message", bytes_of(error.message)}, {"hint", bytes_of(error.hint)}};
}

base::Error decode_error(const Message& message) {
  base::Error error{ErrorCode::io, "the engine failed without saying why", {}};
  if (auto text = take<std::string>(message, "message")) error.message = *text;
  if (auto hint = take<std::string>(message, "hint")) error.hint = *hint;
  if (auto code = take<int>(message, "code"); code && *code >= 0 && *code <= static_cast<int>(ErrorCode::io)) {
    error.code = static_cast<ErrorCode>(*code);
  }
  return error;
}

Message encode(const DigestOrder& order) {
  Message message = encode_selection(order.selection);
  message["record"] = order.record;
  return message;
}

Result<DigestOrder> decode_digest_order(const Message& message) {
  DigestOrder order;
  order.record = TRY(take<std::uint64_t>(message, "record"));
  order.selection = TRY(decode_selection(message));
  return order;
}

Message encode(const DifferenceOrder& order) {
  Message message = encode_selection(order.selection);
  message["sides"] = Message::array();
  for (const auto* side : {&order.first, &order.second})
    message["sides"].push_back({{"record", side->record}, {"directory", bytes_of(side->directory)}});
  return message;
}

Result<DifferenceOrder> decode_difference_order(const Message& message) {
  DifferenceOrder order;
  order.selection = TRY(decode_selection(message));
  const Message& sides = *TRY(take_array(message, "sides"));
  if (sides.size() != 2) return fail(ErrorCode::corrupt, "message with {} sides", sides.size());
  for (std::size_t i = 0; i < 2; ++i) {
    auto& side = i == 0 ? order.first : order.second;
    side.record = TRY(take<std::uint64_t>(sides[i], "record"));
    side.directory = TRY(take<std::string>(sides[i], "directory"));
  }
  return order;
}

Message encode(const Differences& differences) {
  Message list = Message::array();
  for (const cache::TreeDifference& difference : differences) {
    Message fields = Message::array();
    for (const cache::DifferenceField field : difference.fields) fields.push_back(static_cast<int>(field));
    list.push_back({{"path", bytes_of(difference.path)}, {"kind", static_cast<int>(difference.kind)}, {"fields", fields}});
  }
  return {{"differences", std::move(list)}};
}

Result<Differences> decode_differences(const Message& message) {
  Differences differences;
  for (const Message& entry : *TRY(take_array(message, "differences"))) {
    cache::TreeDifference& difference = differences.emplace_back();
    difference.path = TRY(take<std::string>(entry, "path"));
    const int kind = TRY(take<int>(entry, "kind"));
    if (kind < 0 || kind > static_cast<int>(cache::TreeDifference::Kind::changed)) {
      return fail(ErrorCode::corrupt, "message with a strange kind");
    }
    difference.kind = static_cast<cache::TreeDifference::Kind>(kind);
    for (const Message& field : *TRY(take_array(entry, "fields"))) {
      const int number = field.is_number_integer() ? field.get<int>() : -1;
      if (number < 0 || number > static_cast<int>(cache::DifferenceField::device)) {
        return fail(ErrorCode::corrupt, "message with a strange field");
      }
      difference.fields.push_back(static_cast<cache::DifferenceField>(number));
    }
  }
  return differences;
}

Message encode(const TreeDigest& digest) { return {{"digest", bytes_of(digest.raw())}}; }

Result<TreeDigest> decode_digest(const Message& message) {
  return TreeDigest::from_raw(TRY(take<std::string>(message, "digest")));
}

Message encode(const ExportOrder& order) { return {{"record", order.record}, {"output_dir", bytes_of(order.output_dir)}}; }

Result<ExportOrder> decode_export_order(const Message& message) {
  return ExportOrder{TRY(take<std::uint64_t>(message, "record")), TRY(take<std::string>(message, "output_dir"))};
}

Message encode(const solver::ExportReport& report) {
  return {{"entries", report.entries}, {"files", report.files}, {"bytes", report.bytes}, {"warnings", encode_texts(report.warnings)}};
}

Result<solver::ExportReport> decode_export_report(const Message& message) {
  return solver::ExportReport{TRY(take<std::uint64_t>(message, "entries")), TRY(take<std::uint64_t>(message, "files")),
                              TRY(take<std::uint64_t>(message, "bytes")), TRY(decode_texts(message, "warnings"))};
}

Message encode(const PruneOrder& order) {
  return {{"all", order.all},
          {"dry_run", order.dry_run},
          {"policy", bytes_of(order.policy.value_or(""))},
          {"has_policy", order.policy.has_value()},
          {"policy_name", bytes_of(order.policy_name)}};
}

Result<PruneOrder> decode_prune_order(const Message& message) {
  PruneOrder order;
  order.all = TRY(take<bool>(message, "all"));
  order.dry_run = TRY(take<bool>(message, "dry_run"));
  if (TRY(take<bool>(message, "has_policy"))) order.policy = TRY(take<std::string>(message, "policy"));
  order.policy_name = TRY(take<std::string>(message, "policy_name"));
  return order;
}

Message encode(const cache::ScrubOptions& options) {
  return {{"bytes_per_second", options.bytes_per_second}, {"from_beginning", options.from == cache::ScrubOptions::From::beginning}};
}

Result<cache::ScrubOptions> decode_scrub_options(const Message& message) {
  cache::ScrubOptions options;
  options.bytes_per_second = TRY(take<std::uint64_t>(message, "bytes_per_second"));
  if (TRY(take<bool>(message, "from_beginning"))) options.from = cache::ScrubOptions::From::beginning;
  return options;
}

Message encode(const cache::ScrubReport& report) {
  return {{"blobs", report.blobs},
          {"bytes", report.bytes},
          {"damaged", report.damaged},
          {"trees", report.trees},
          {"tree_bytes", report.tree_bytes},
          {"sealed", report.sealed},
          {"damaged_trees", report.damaged_trees},
          {"quarantined_records", report.quarantined_records},
          {"reached_end", report.reached_end}};
}

Result<cache::ScrubReport> decode_scrub_report(const Message& message) {
  cache::ScrubReport report;
  report.blobs = TRY(take<std::uint64_t>(message, "blobs"));
  report.bytes = TRY(take<std::uint64_t>(message, "bytes"));
  report.damaged = TRY(take<std::uint64_t>(message, "damaged"));
  report.trees = TRY(take<std::uint64_t>(message, "trees"));
  report.tree_bytes = TRY(take<std::uint64_t>(message, "tree_bytes"));
  report.sealed = TRY(take<std::uint64_t>(message, "sealed"));
  report.damaged_trees = TRY(take<std::uint64_t>(message, "damaged_trees"));
  report.quarantined_records = TRY(take<std::uint64_t>(message, "quarantined_records"));
  report.reached_end = TRY(take<bool>(message, "reached_end"));
  return report;
}

Message encode(const PruneAnswer& answer) {
  const cache::PruneReport& report = answer.report;
  Message records = Message::array();
  for (const cache::PrunedRecord& record : report.records) {
    Message message = encode_record(record);
    message["rule"] = record.rule;
    message["freed"] = record.freed_bytes;
    message["build_time"] = record.facts.build_time.count();
    const cache::Owner& owner = record.facts.owner;
    message["owner"] = {{"project", bytes_of(owner.project)}, {"build", bytes_of(owner.build)}, {"step", bytes_of(owner.step)}};
    records.push_back(std::move(message));
  }
  Message rules = Message::array();
  for (const std::string& rule : answer.rules) rules.push_back({{"title", bytes_of(rule)}});
  const cache::Passed& passed = report.passed;
  return {{"records", std::move(records)},
          {"rules", std::move(rules)},
          {"blobs", report.blobs},
          {"freed_bytes", report.freed_bytes},
          {"rows_visited", report.rows_visited},
          {"passed", {passed.in_use, passed.pinned, passed.too_young, passed.other_filter, passed.internal, passed.below_floor}}};
}

Result<PruneAnswer> decode_prune_answer(const Message& message) {
  PruneAnswer answer;
  cache::PruneReport& report = answer.report;
  for (const Message& entry : *TRY(take_array(message, "records"))) {
    cache::PrunedRecord record{TRY(decode_record(entry)), TRY(take<std::uint32_t>(entry, "rule")),
                               TRY(take<std::int64_t>(entry, "freed"))};
    const auto owner = entry.find("owner");
    if (owner == entry.end() || !owner->is_object()) return fail(ErrorCode::corrupt, "message without \"owner\"");
    record.facts.owner = {TRY(take<std::string>(*owner, "project")), TRY(take<std::string>(*owner, "build")),
                          TRY(take<std::string>(*owner, "step"))};
    record.facts.build_time = std::chrono::nanoseconds(TRY(take<std::int64_t>(entry, "build_time")));
    report.records.push_back(std::move(record));
  }
  for (const Message& entry : *TRY(take_array(message, "rules"))) answer.rules.push_back(TRY(take<std::string>(entry, "title")));
  report.blobs = TRY(take<std::uint64_t>(message, "blobs"));
  report.freed_bytes = TRY(take<std::int64_t>(message, "freed_bytes"));
  report.rows_visited = TRY(take<std::uint64_t>(message, "rows_visited"));
  const Message& counts = *TRY(take_array(message, "passed"));
  cache::Passed& passed = report.passed;
  std::uint64_t* const out[] = {&passed.in_use,       &passed.pinned,   &passed.too_young,
                                &passed.other_filter, &passed.internal, &passed.below_floor};
  if (counts.size() != std::size(out)) return fail(ErrorCode::corrupt, "message with strange counts");
  for (std::size_t i = 0; i < std::size(out); ++i) {
    if (!counts[i].is_number_integer()) return fail(ErrorCode::corrupt, "message with strange counts");
    *out[i] = counts[i].get<std::uint64_t>();
  }
  return answer;
}

}  // namespace cairn::engine

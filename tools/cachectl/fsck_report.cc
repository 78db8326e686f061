// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/fsck_report.h"

#include "tools/cachectl/command.h"
#include "tools/cachectl/json.h"

namespace cairn::cachectl {

using nlohmann::ordered_json;

bool is_sound(const cache::ScrubReport& scrubbed) { return scrubbed.damaged == 0 && scrubbed.damaged_trees == 0; }

bool FsckReport::clean() const {
  return walk.broken.empty() && walk.damaged_count == 0 && findings.empty() && (!repaired || is_sound(repaired->scrubbed));
}

std::string report_json(const FsckReport& report) {
  ordered_json json = {{"format", 1},
                       {"clean", report.clean()},
                       {"dry_run", report.effect == Effect::dry_run},
                       {"rows", report.walk.rows},
                       {"damaged_rows", report.walk.damaged_count},
                       {"broken", report.walk.broken}};
  json["damaged"] = report.walk.damaged;
  json["findings"] = ordered_json::array();
  for (const cache::Finding& finding : report.findings)
    json["findings"].push_back({{"invariant", finding.invariant}, {"text", finding.text}});
  json["unknown"] = report.unknown;
  if (report.rebuilt)
    json["rebuilt"] = {{"rows", report.rebuilt->rows},
                       {"transactions", report.rebuilt->transactions},
                       {"damaged_entries", report.rebuilt->damaged_entries},
                       {"missing", report.rebuilt->missing}};
  json["repaired_rows"] = report.repaired ? report.repaired->rows : 0;
  if (!report.repaired) return json_line(json);
  const cache::RepairPlan& done = *report.repaired;
  json["repaired"] = {{"blobs_missed", done.blobs.missed},
                      {"stray_files", done.blobs.stray_files},
                      {"freed_bytes", done.blobs.freed_bytes}};
  json["repaired_trees"] = {{"stray_trees", done.trees.stray_trees},
                            {"freed_bytes", done.trees.freed_bytes},
                            {"missing_trees", done.trees.missing_trees},
                            {"quarantined_records", done.trees.quarantined_records}};
  json["scrubbed"] = scrub_json(done.scrubbed);
  return json_line(json);
}

ordered_json scrub_json(const cache::ScrubReport& scrubbed) {
  return {{"blobs", scrubbed.blobs},
          {"bytes", scrubbed.bytes},
          {"damaged", scrubbed.damaged},
          {"trees", scrubbed.trees},
          {"tree_bytes", scrubbed.tree_bytes},
          {"sealed", scrubbed.sealed},
          {"damaged_trees", scrubbed.damaged_trees},
          {"quarantined_records", scrubbed.quarantined_records}};
}

std::string scrub_text(const cache::ScrubReport& scrubbed) {
  std::string text = fmt::format("{} blobs read back, {} damaged; {} trees read back, {} of them sealed for the first time, {} damaged",
                                 scrubbed.blobs, scrubbed.damaged, scrubbed.trees, scrubbed.sealed, scrubbed.damaged_trees);
  if (scrubbed.quarantined_records > 0) text += fmt::format(" ({} records are misses now)", scrubbed.quarantined_records);
  return text;
}

namespace {

// What repairing comes to. The same lines say what it would come to: see the last one.
std::string repair_text(const cache::RepairPlan& done) {
  std::string text;
  if (done.blobs.missed + done.blobs.stray_files > 0)
    text += fmt::format("{} blobs were not there and are misses now, {} files that nothing names are deleted\n", done.blobs.missed, done.blobs.stray_files);
  if (done.rows > 0) text += fmt::format("{} rows made anew\n", done.rows);
  if (done.trees.missing_trees + done.trees.stray_trees > 0)
    text += fmt::format("{} trees were not there, and {} records are misses now; {} directories that nothing names are deleted\n",
                        done.trees.missing_trees, done.trees.quarantined_records, done.trees.stray_trees);
  return text + scrub_text(done.scrubbed) + "\n";
}

}  // namespace

std::string report_text(const FsckReport& report) {
  std::string text;
  if (report.rebuilt)
    text += fmt::format("metadata made anew: {} rows, {} damaged entries of the journal\n", report.rebuilt->rows, report.rebuilt->damaged_entries);
  if (!report.walk.broken.empty()) text += "metadata: " + printable(report.walk.broken) + "\n";
  for (const std::string& row : report.walk.damaged) text += "damaged row: " + row + "\n";
  for (const cache::Finding& finding : report.findings) text += fmt::format("I{}: {}\n", finding.invariant, printable(finding.text));
  for (const std::string& name : report.unknown) text += "not ours, left alone: " + printable(name) + "\n";
  if (report.repaired) text += repair_text(*report.repaired);
  text += fmt::format("{} rows, {}\n", report.walk.rows, report.clean() ? "clean" : "not clean");
  if (report.effect == Effect::dry_run) text += "a dry run: this is what a repair would do; nothing was changed\n";
  return text;
}

}  // namespace cairn::cachectl

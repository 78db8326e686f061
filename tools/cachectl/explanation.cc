// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/explanation.h"

#include "libcache/policy.h"
#include "tools/cachectl/command.h"

namespace cairn::cachectl {

using cache::Reason;
using nlohmann::ordered_json;

namespace {

std::string quoted(const std::string& text) { return "\"" + printable(text) + "\""; }

std::string changed(const Reason& reason) {
  const std::string field = printable(reason.field);
  if (!reason.before) return fmt::format("{}: {} is new", field, quoted(reason.after.value_or("")));
  if (!reason.after) return fmt::format("{}: {} is gone", field, quoted(*reason.before));
  return fmt::format("{}: {} became {}", field, quoted(*reason.before), quoted(*reason.after));
}

std::string evicted(const Reason& reason, base::WallTime now) {
  const auto ago = std::chrono::duration_cast<std::chrono::seconds>(now - reason.evicted_at);
  return fmt::format("evicted {} ago by {}, {} to rebuild", cache::to_string(std::max(ago, std::chrono::seconds(1))), printable(reason.rule),
                     human_duration(reason.build_time));
}

std::string cause(const cache::Explanation& explanation, base::WallTime now) {
  const Reason& reason = explanation.reason;
  switch (reason.kind) {
    case Reason::Kind::never_seen: return "never seen";
    case Reason::Kind::evicted: return evicted(reason, now);
    case Reason::Kind::field: return changed(reason);
    case Reason::Kind::inputs: return changed(reason);
    case Reason::Kind::content:
      if (reason.paths_total == 0) return "its content is another; the paths are not known any more";
      return fmt::format("its content is another in {} path{}", reason.paths_total, reason.paths_total == 1 ? "" : "s");
    case Reason::Kind::asked: return "asked to run whatever is stored";
    case Reason::Kind::again: return fmt::format("the same as record {}, which could not be used", reason.earlier);
    case Reason::Kind::unknown: return "it is another, and nothing is kept of how it was made";
  }
  return "";
}

std::string line_of(const cache::TreeDifference& path) {
  std::string what(to_string(path.kind));
  const char* separator = " ";
  for (const cache::DifferenceField field : path.fields) what += std::exchange(separator, ", ") + std::string(to_string(field));
  return fmt::format("    {}  {}\n", what, path.path.empty() ? "." : printable(path.path));
}

}  // namespace

std::string reason_line(const cache::Explanation& explanation, base::WallTime now) {
  std::string line;
  for (const cache::Explanation::Hop& hop : explanation.way) line += fmt::format("input {} {}: ", hop.input, quoted(hop.name));
  return line + cause(explanation, now);
}

std::string path_lines(const Reason& reason) {
  std::string lines;
  for (const cache::TreeDifference& path : reason.paths) lines += line_of(path);
  if (reason.paths.size() < reason.paths_total) lines += fmt::format("    and {} more\n", reason.paths_total - reason.paths.size());
  return lines;
}

ordered_json reason_json(const Reason& reason) {
  using Kind = Reason::Kind;
  ordered_json json = {{"kind", std::string(to_string(reason.kind))}};
  if (reason.kind == Kind::field || reason.kind == Kind::inputs) {
    json["field"] = reason.field;
    json["before"] = reason.before ? ordered_json(*reason.before) : ordered_json();
    json["after"] = reason.after ? ordered_json(*reason.after) : ordered_json();
  }
  if (reason.kind == Kind::evicted) {
    json["when"] = rfc3339(reason.evicted_at);
    json["rule"] = reason.rule;
    json["build_time_ns"] = reason.build_time.count();
  }
  if (reason.kind == Kind::content || reason.paths_total > 0) {
    json["paths_total"] = reason.paths_total;
    json["paths"] = ordered_json::array();
    for (const cache::TreeDifference& path : reason.paths) {
      ordered_json fields = ordered_json::array();
      for (const cache::DifferenceField field : path.fields) fields.push_back(std::string(to_string(field)));
      json["paths"].push_back({{"path", path.path}, {"kind", std::string(to_string(path.kind))}, {"fields", std::move(fields)}});
    }
  }
  if (reason.earlier) json["earlier"] = {{"record", reason.earlier.value()}, {"made", rfc3339(reason.earlier_made)}};
  return json;
}

ordered_json explanation_json(const cache::Explanation& explanation) {
  ordered_json json = {{"name", explanation.name},
                       {"vertex", "sha256:" + explanation.vertex},
                       {"record", explanation.record.value()},
                       {"made", rfc3339(explanation.made)},
                       {"took_ns", explanation.took.count()}};
  json["way"] = ordered_json::array();
  for (const cache::Explanation::Hop& hop : explanation.way)
    json["way"].push_back({{"input", hop.input}, {"name", hop.name}, {"record", hop.record.value()}});
  json["reason"] = reason_json(explanation.reason);
  return json;
}

}  // namespace cairn::cachectl

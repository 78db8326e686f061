// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/subrequests.h"

#include <nlohmann/json.hpp>

#include "libbase/base64.h"
#include "libdockerfile/lint/rules.h"

namespace cairn::dockerfile {
namespace {

using nlohmann::ordered_json;

std::string print(const ordered_json& json) { return json.dump(2, ' ', false, ordered_json::error_handler_t::replace); }

// A range for each line, as the front end has them.
ordered_json location_of(Lines lines) {
  ordered_json ranges = ordered_json::array();
  for (int line = lines.first; line > 0 && line <= lines.last; ++line)
    ranges.push_back({{"start", {{"line", line}}}, {"end", {{"line", line}}}});
  return {{"ranges", std::move(ranges)}};
}

void add_unless_empty(ordered_json& json, const char* key, std::string_view value) {
  if (!value.empty()) json[key] = value;
}

ordered_json secrets_of(const std::vector<Outline::Secret>& secrets) {
  ordered_json list = ordered_json::array();
  for (const Outline::Secret& secret : secrets) {
    ordered_json json = {{"name", secret.id}};
    if (secret.required) json["required"] = true;
    json["location"] = location_of(secret.lines);
    list.push_back(std::move(json));
  }
  return list;
}

}  // namespace

const std::vector<Subrequest>& subrequests() {
  static const std::vector<Subrequest> all{{"outline", "1.0.0", "The parameters that a target takes"},
                                           {"targets", "1.0.0", "The stages that can be built"},
                                           {"lint", "1.0.0", "What the build checks find"},
                                           {"subrequests.describe", "1.0.0", "The requests that are answered"}};
  return all;
}

std::string print_targets(const std::vector<TargetStage>& targets, std::string_view text) {
  ordered_json list = ordered_json::array();
  for (const TargetStage& target : targets) {
    ordered_json json = ordered_json::object();
    add_unless_empty(json, "name", target.name);
    if (target.is_default) json["default"] = true;
    add_unless_empty(json, "description", target.description);
    add_unless_empty(json, "base", target.base);
    add_unless_empty(json, "platform", target.platform);
    json["location"] = location_of(target.lines);
    list.push_back(std::move(json));
  }
  return print({{"targets", std::move(list)}, {"sources", ordered_json::array({base::base64(text)})}});
}

std::string print_outline(const Outline& outline, std::string_view text) {
  ordered_json out = ordered_json::object();
  add_unless_empty(out, "name", outline.name);
  add_unless_empty(out, "description", outline.description);
  for (const Outline::Argument& argument : outline.arguments) {
    ordered_json json = {{"name", argument.name}};
    add_unless_empty(json, "description", argument.description);
    add_unless_empty(json, "value", argument.value);
    json["location"] = location_of(argument.lines);
    out["args"].push_back(std::move(json));
  }
  if (!outline.secrets.empty()) out["secrets"] = secrets_of(outline.secrets);
  if (!outline.ssh.empty()) out["ssh"] = secrets_of(outline.ssh);
  for (const Outline::CacheMount& cache : outline.caches)
    out["cache"].push_back({{"ID", cache.id}, {"location", location_of(cache.lines)}});
  out["sources"] = ordered_json::array({base::base64(text)});
  return print(out);
}

std::string print_lint(const Diagnostics& diagnostics, std::string_view filename,
                       const std::optional<base::Error>& error) {
  ordered_json warnings = ordered_json::array();
  for (const Warning& warning : diagnostics.warnings) {
    ordered_json json = {{"ruleName", warning.rule}};
    add_unless_empty(json, "description", description_of_rule(warning.rule));
    add_unless_empty(json, "url", warning.url);
    add_unless_empty(json, "detail", warning.message);
    json["location"] = location_of(warning.lines);
    warnings.push_back(std::move(json));
  }
  ordered_json sources = ordered_json::array();
  if (!diagnostics.text.empty())
    sources.push_back({{"filename", filename}, {"data", base::base64(diagnostics.text)}, {"language", "Dockerfile"}});
  ordered_json out = {{"warnings", std::move(warnings)}, {"sources", std::move(sources)}};
  if (error) out["buildError"] = {{"message", error->message}, {"location", location_of(diagnostics.error_lines)}};
  return print(out);
}

std::string print_subrequests() {
  ordered_json list = ordered_json::array();
  for (const Subrequest& request : subrequests()) {
    ordered_json options = ordered_json::array();
    if (request.name == "outline")
      options.push_back({{"name", "target"}, {"description", "The stage that is asked about"}});
    list.push_back({{"name", "frontend." + std::string(request.name)},
                    {"version", request.version},
                    {"type", "rpc"},
                    {"description", request.description},
                    {"opts", std::move(options)},
                    {"inputs", nullptr},
                    {"metadata", ordered_json::array({ordered_json{{"name", "result.json"}}})},
                    {"refs", nullptr}});
  }
  return print(list);
}

}  // namespace cairn::dockerfile

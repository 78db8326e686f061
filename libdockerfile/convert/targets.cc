// SPDX-License-Identifier: Apache-2.0
// The stages of a file, for who asks which there are.
#include <nlohmann/json.hpp>

#include "libdockerfile/convert/conversion.h"

namespace cairn::dockerfile {

base::Result<std::string> list_targets(std::string_view text, Diagnostics& diagnostics) {
  using nlohmann::ordered_json;
  Linter linter;
  const Source source = TRY(parse_source(text, diagnostics.error_lines));
  const Stages parsed = TRY(parse_stages(source, linter, diagnostics.error_lines));
  ordered_json targets = ordered_json::array();
  for (const Stage& stage : parsed.stages) {
    ordered_json target = ordered_json::object();
    if (!stage.name.empty()) target["name"] = stage.name;
    if (&stage == &parsed.stages.back()) target["default"] = true;
    if (!stage.comment.empty()) target["description"] = stage.comment;
    target["base"] = stage.base;
    if (!stage.platform.empty()) target["platform"] = stage.platform;
    ordered_json ranges = ordered_json::array();
    for (int line = stage.lines.first; line <= stage.lines.last; ++line) {
      ranges.push_back({{"start", {{"line", line}}}, {"end", {{"line", line}}}});
    }
    target["location"] = {{"ranges", ranges}};
    targets.push_back(std::move(target));
  }
  const ordered_json out{{"targets", std::move(targets)}};
  return out.dump(2, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace cairn::dockerfile

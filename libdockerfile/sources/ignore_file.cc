// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/convert/paths.h"
#include "libdockerfile/dockerfile.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {

std::vector<std::string> parse_ignore_file(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::vector<std::string> patterns;
  for (const std::string& line : split(text, '\n')) {
    if (line.starts_with('#')) continue;
    std::string_view pattern = trim(line);
    if (pattern.empty()) continue;
    const bool inverted = pattern.starts_with('!');
    if (inverted) pattern = trim(pattern.substr(1));
    std::string clean(pattern);
    if (!clean.empty()) {
      clean = clean_path(pattern);
      if (clean.size() > 1 && clean.starts_with('/')) clean.erase(0, 1);
    }
    patterns.push_back((inverted ? "!" : "") + clean);
  }
  return patterns;
}

}  // namespace cairn::dockerfile

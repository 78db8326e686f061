// SPDX-License-Identifier: Apache-2.0
#include "libcache/options.h"

#include "libcache/blobs/chunk_rule.h"
#include "libcache/policy/toml_table.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;

Result<CacheOptions> parse_options(std::string_view text, std::string_view name) {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed)
    return base::fail(ErrorCode::invalid_argument, "{}, line {}: {}", name, parsed.error().source().begin.line,
                      parsed.error().description());
  TomlTable document(parsed.table(), std::string(name), "", KeyCase::exact);
  CacheOptions options;
  if (document.has("chunk_bytes")) {
    const auto bytes = TRY(document.integer("chunk_bytes"));
    if (!bytes || *bytes < 0 || *bytes > ChunkRule::average_max) return document.wrong("chunk_bytes", "want a number of bytes");
    options.chunk_bytes = static_cast<std::uint32_t>(*bytes);
    if (options.chunk_bytes != 0) {
      const auto rule = ChunkRule::of_average(options.chunk_bytes);
      if (!rule) return document.wrong("chunk_bytes", rule.error().message);
    }
  }
  TRY(document.expect_no_other());
  return options;
}

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
#include "libcache/options.h"

#include "libbase/toml/toml_table.h"
#include "libcache/chunk_rule.h"
#include "libcache/history.h"
#include "libcache/ledger.h"
#include "libcache/policy.h"

namespace cairn::cache {

using base::KeyCase;
using base::Result;
using base::TomlTable;

namespace {

base::Status read_amounts(TomlTable& document, std::initializer_list<std::pair<const char*, std::uint64_t*>> fields) {
  for (const auto& [field, value] : fields) {
    if (!document.has(field)) continue;
    const auto number = TRY(document.integer(field));
    if (!number || *number < 0) return document.wrong(field, "want a number of at least 0");
    *value = static_cast<std::uint64_t>(*number);
  }
  return {};
}

Result<HistoryOptions> read_history(TomlTable& document) {
  HistoryOptions options;
  TRY(read_amounts(document, {{"history_solves", &options.solves_max}, {"history_bytes", &options.bytes_max}}));
  return options;
}

Result<LedgerOptions> read_ledger_options(TomlTable& document) {
  LedgerOptions options;
  TRY(read_amounts(document, {{"ledger_steps", &options.steps_max}, {"ledger_bytes", &options.bytes_max}}));
  if (const auto age_max = TRY(document.text("ledger_age"))) {
    const auto age = parse_age(*age_max);
    if (!age) return document.wrong("ledger_age", age.error().message);
    options.age_max = *age;
  }
  return options;
}

}  // namespace

Result<CacheOptions> parse_options(std::string_view text, std::string_view name) {
  const toml::parse_result parsed = TRY(base::parse_toml(text, name));
  TomlTable document(parsed.table(), std::string(name), "", KeyCase::exact);
  CacheOptions options;
  if (document.has("chunk_bytes")) {
    const auto bytes = TRY(document.integer("chunk_bytes"));
    if (!bytes || *bytes < 0 || *bytes > ChunkRule::average_max)
      return document.wrong("chunk_bytes", "want a number of bytes");
    options.chunk_bytes = static_cast<std::uint32_t>(*bytes);
    if (options.chunk_bytes != 0) {
      const auto rule = ChunkRule::of_average(options.chunk_bytes);
      if (!rule) return document.wrong("chunk_bytes", rule.error().message);
    }
  }
  TRY(read_history(document));
  TRY(read_ledger_options(document));
  TRY(read_amounts(document, {{"explain_steps", &options.recipes_max}}));
  if (document.has("scrub_bytes_per_second")) {
    const auto bytes = TRY(document.integer("scrub_bytes_per_second"));
    if (!bytes || *bytes < 0) return document.wrong("scrub_bytes_per_second", "want a number of bytes; 0: off");
    options.scrub.bytes_per_second = static_cast<std::uint64_t>(*bytes);
  }
  if (const auto every = TRY(document.text("scrub_every"))) {
    const auto age = parse_age(*every);
    if (!age) return document.wrong("scrub_every", age.error().message);
    options.scrub.every = *age;
  }
  TRY(document.expect_no_other());
  return options;
}

Result<HistoryOptions> parse_history_options(std::string_view text, std::string_view name) {
  const toml::parse_result parsed = TRY(base::parse_toml(text, name));
  TomlTable document(parsed.table(), std::string(name), "", KeyCase::exact);
  return read_history(document);
}

Result<LedgerOptions> parse_ledger_options(std::string_view text, std::string_view name) {
  const toml::parse_result parsed = TRY(base::parse_toml(text, name));
  TomlTable document(parsed.table(), std::string(name), "", KeyCase::exact);
  return read_ledger_options(document);
}

}  // namespace cairn::cache

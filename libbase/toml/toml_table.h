// SPDX-License-Identifier: Apache-2.0
// The door to TOML: a table that knows where in which file it stands, so that every error names line and field.
#pragma once

#define TOML_EXCEPTIONS 0
#define TOML_ASSERT(condition) static_cast<void>(0)  // it asserts of input what only its next line checks
#include <toml++/toml.h>

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::base {

enum class KeyCase : std::uint8_t { exact, ignored };

// The document, or an error that names the line.
Result<toml::parse_result> parse_toml(std::string_view text, std::string_view file);

// The document outlives it.
class TomlTable {
 public:
  TomlTable(const toml::table& table, std::string file, std::string path, KeyCase key_case)
      : table_(&table), file_(std::move(file)), path_(std::move(path)), key_case_(key_case) {}

  // Absence is nullopt; what has another type is an error.
  Result<std::optional<std::string>> text(std::string_view key);
  Result<std::optional<bool>> truth(std::string_view key);
  Result<std::optional<std::int64_t>> integer(std::string_view key);  // nullopt also for a text
  Result<std::vector<std::string>> texts(std::string_view key);       // one, or an array of them; empty if absent
  Result<std::vector<std::int64_t>> integers(std::string_view key);   // the same; none below 0
  Result<std::vector<TomlTable>> tables(std::string_view key);        // [[key]]
  Result<std::optional<TomlTable>> table(std::string_view key);
  bool has(std::string_view key) const { return find(key) != nullptr; }

  // An error that names the line of the key (or of the table), and the key.
  tl::unexpected<Error> wrong(std::string_view key, std::string_view why) const;
  // Every key has been asked for.
  Status expect_no_other() const;

 private:
  const toml::node* find(std::string_view key) const;
  const toml::node* take(std::string_view key);
  template <class T>
  Result<std::vector<T>> one_or_more(std::string_view key, std::string_view what);

  const toml::table* table_;
  std::string file_, path_;
  KeyCase key_case_;
  std::set<std::string, std::less<>> asked_;
};

}  // namespace cairn::base

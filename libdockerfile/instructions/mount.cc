// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/dockerfile.h"
#include "libdockerfile/instructions/mount.h"

#include <array>
#include <charconv>
#include <cmath>

#include "libdockerfile/instructions/flags.h"
#include "libdockerfile/parse/arguments.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

using base::Result;
using base::Status;

constexpr std::array kinds{"bind", "cache", "tmpfs", "secret", "ssh"};  // in the order of MountKind

bool is_secret(MountKind kind) { return kind == MountKind::secret || kind == MountKind::ssh; }

Result<bool> parse_bool(std::string_view key, std::string_view value) {
  for (const char* yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (value == yes) return true;
  }
  for (const char* no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (value == no) return false;
  }
  return refuse("invalid value for {}: {}", key, value);
}

Result<std::uint32_t> parse_number(std::string_view key, std::string_view value, int base) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number, base);
  if (error != std::errc() || end != value.data() + value.size()) return refuse("invalid value {} for {}", value, key);
  return number;
}

class MountParser {
 public:
  explicit MountParser(const Expand& expand) : expand_(expand) {}

  Result<RunMount> parse(std::string_view text) {
    for (const std::string& field : TRY(csv_fields(text), "failed to parse csv mounts")) TRY(take(field));
    TRY(check());
    return std::move(mount_);
  }

 private:
  Status take(const std::string& field) {
    const Cut at = cut(field, '=');
    const std::string key = lower(at.head);
    if (!at.found) return take_word(key, field);
    return set(key, TRY(expand_(std::string(at.rest))), field);
  }

  Status take_word(const std::string& key, const std::string& field) {
    if (key == "readonly" || key == "ro" || key == "readwrite" || key == "rw") {
      read_only_ = key.starts_with("reado") || key == "ro";
      return {};
    }
    if (key != "required") return refuse("invalid field '{}' must be a key=value pair", field);
    if (!is_secret(mount_.kind)) return unexpected(key);
    mount_.required = true;
    return {};
  }

  Status unexpected(std::string_view key) const {
    return refuse("unexpected key '{}' for mount type '{}'", key, kinds[static_cast<std::size_t>(mount_.kind)]);
  }

  Status set_kind(const std::string& value) {
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      if (value != kinds[i]) continue;
      mount_.kind = static_cast<MountKind>(i);
      return {};
    }
    return refuse("unsupported mount type {}{}", go_quoted(value), suggestion(value, {kinds.begin(), kinds.end()}));
  }

  Status set(const std::string& key, const std::string& value, const std::string& field) {
    if (key == "type") return set_kind(value);
    if (key == "from")
      mount_.from = value;
    else if (key == "source" || key == "src")
      mount_.source = value;
    else if (key == "target" || key == "dst" || key == "destination")
      mount_.target = value;
    else if (key == "readonly" || key == "ro")
      read_only_ = TRY(parse_bool(key, value));
    else if (key == "readwrite" || key == "rw")
      read_only_ = !TRY(parse_bool(key, value));
    else if (key == "id")
      mount_.id = value;
    else if (key == "mode")
      mount_.mode = TRY(parse_number(key, value, 8));
    else if (key == "uid")
      mount_.uid = TRY(parse_number(key, value, 10));
    else if (key == "gid")
      mount_.gid = TRY(parse_number(key, value, 10));
    else
      return set_of_kind(key, value, field);
    return {};
  }

  // What only some kinds have.
  Status set_of_kind(const std::string& key, const std::string& value, const std::string& field) {
    if (key == "required") {
      if (!is_secret(mount_.kind)) return unexpected(key);
      mount_.required = TRY(parse_bool(key, value));
    } else if (key == "size") {
      if (mount_.kind != MountKind::tmpfs) return unexpected(key);
      mount_.size = TRY(parse_bytes(value), "invalid value for {}: {}", key, value);
    } else if (key == "env") {
      if (mount_.kind != MountKind::secret) return unexpected(key);
      mount_.env = value;
    } else if (key == "sharing") {
      const std::vector<std::string> known{"shared", "private", "locked"};
      mount_.sharing = value;
      if (value != known[0] && value != known[1] && value != known[2]) {
        return refuse("unsupported sharing value {}{}", go_quoted(value), suggestion(value, known));
      }
    } else {
      const std::vector<std::string> keys{"type",        "from", "source", "target",    "readonly", "id",  "sharing",
                                          "required",    "size", "mode",   "uid",       "gid",      "src", "dst",
                                          "destination", "ro",   "rw",     "readwrite", "env"};
      return refuse("unexpected key '{}' in '{}'{}", key, field, suggestion(key, keys));
    }
    return {};
  }

  Status check() {
    const char* kind = kinds[static_cast<std::size_t>(mount_.kind)];
    const bool has_owner = is_secret(mount_.kind) || mount_.kind == MountKind::cache;
    if (!has_owner && mount_.mode) return refuse("mode not allowed for {} type mounts", go_quoted(kind));
    if (!has_owner && mount_.uid) return refuse("uid not allowed for {} type mounts", go_quoted(kind));
    if (!has_owner && mount_.gid) return refuse("gid not allowed for {} type mounts", go_quoted(kind));
    const bool written = mount_.kind == MountKind::cache || mount_.kind == MountKind::tmpfs;
    mount_.read_only = read_only_.value_or(!written);
    if (!mount_.sharing.empty() && mount_.kind != MountKind::cache)
      return refuse("invalid cache sharing set for {} mount", kind);
    if (mount_.kind != MountKind::secret) return {};
    if (!mount_.from.empty()) return refuse("secret mount should not have a from");
    if (mount_.source.empty() && mount_.target.empty() && mount_.id.empty()) {
      return refuse("invalid secret mount. one of source, target required");
    }
    if (!mount_.source.empty() && !mount_.id.empty()) return refuse("both source and id can't be set");
    return {};
  }

  const Expand& expand_;
  RunMount mount_;
  std::optional<bool> read_only_;
};

}  // namespace

Result<std::string> mount_from(std::string_view text) {
  std::string from;
  for (const std::string& field : TRY(csv_fields(text), "failed to parse csv mounts")) {
    const Cut at = cut(field, '=');
    if (!at.found || lower(at.head) != "from") continue;
    const std::size_t variable = at.rest.find('$');
    if (variable != std::string_view::npos && variable + 1 < at.rest.size()) {
      return refuse("'from' doesn't support variable expansion, define alias stage instead");
    }
    from = at.rest;
  }
  return from;
}

Result<RunMount> parse_mount(std::string_view text, const Expand& expand) { return MountParser(expand).parse(text); }

Result<std::int64_t> parse_bytes(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string unit = lower(trim(std::string_view(end, static_cast<std::size_t>(text.data() + text.size() - end))));
  if (unit.ends_with('b')) unit.pop_back();
  if (unit.size() == 2 && unit.ends_with('i')) unit.pop_back();
  constexpr std::string_view units = "kmgtp";
  const bool known = unit.empty() || (unit.size() == 1 && units.find(unit) != std::string_view::npos);
  if (error != std::errc() || number < 0 || !known) return refuse("invalid size: '{}'", text);
  const double bytes = unit.empty() ? number : std::ldexp(number, 10 * static_cast<int>(units.find(unit) + 1));
  if (bytes > 9e18) return refuse("invalid size: '{}'", text);
  return static_cast<std::int64_t>(bytes);
}

}  // namespace cairn::dockerfile

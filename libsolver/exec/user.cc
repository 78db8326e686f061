// SPDX-License-Identifier: Apache-2.0
// Users of a step's root: passwd and group, read as untrusted text.
#include "libsolver/exec/user.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "libbase/fs/beneath.h"
#include "libsolver/exec/split.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;

constexpr std::size_t file_size_max = 10 << 20;
constexpr std::uint32_t id_max = 0x7fffffff;

std::optional<std::uint32_t> parse_id(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() || value > id_max) return std::nullopt;
  return value;
}

bool is_number(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

struct PasswdEntry {
  std::string_view name;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string_view home;
};

std::optional<PasswdEntry> find_user(std::string_view passwd, std::string_view wanted) {
  const std::optional<std::uint32_t> wanted_uid = parse_id(wanted);
  for (const std::string_view line : split(passwd, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 4 || line.starts_with('#')) continue;
    const auto uid = parse_id(fields[2]);
    const auto gid = parse_id(fields[3]);
    if (!uid || !gid || fields[0].empty()) continue;
    if (wanted_uid ? *uid == *wanted_uid : fields[0] == wanted) {
      return PasswdEntry{fields[0], *uid, *gid, fields.size() > 5 ? fields[5] : std::string_view()};
    }
  }
  return std::nullopt;
}

std::optional<std::uint32_t> find_group(std::string_view group, std::string_view name) {
  for (const std::string_view line : split(group, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() >= 3 && fields[0] == name) return parse_id(fields[2]);
  }
  return std::nullopt;
}

std::vector<std::uint32_t> groups_with_member(std::string_view group, std::string_view user) {
  std::vector<std::uint32_t> found;
  for (const std::string_view line : split(group, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 4) continue;
    const auto members = split(fields[3], ',');
    const auto gid = parse_id(fields[2]);
    if (gid && std::find(members.begin(), members.end(), user) != members.end()) found.push_back(*gid);
  }
  return found;
}

base::Result<std::uint32_t> resolve_group(std::string_view text, std::string_view group) {
  if (const auto gid = parse_id(text)) return *gid;
  if (is_number(text)) return base::fail(ErrorCode::invalid_argument, "group \"{}\": not a group number", text);
  if (const auto gid = find_group(group, text)) return *gid;
  return base::fail(ErrorCode::invalid_argument, "group \"{}\": not in /etc/group of the step's root", text);
}

base::Result<std::string> read_if_present(int root, const char* path) {
  auto text = base::read_beneath(root, TRY(base::TreePath::parse(path)), file_size_max, base::Follow::in_root);
  if (!text && text.error().code == ErrorCode::not_found) return std::string();
  return text;
}

}  // namespace

base::Result<StepUser> resolve_user(std::string_view text, std::string_view passwd, std::string_view group) {
  const std::size_t colon = text.find(':');
  const bool has_group = colon != std::string_view::npos && colon + 1 < text.size();
  const std::string_view user_part = text.substr(0, colon);
  const std::string_view user_text = user_part.empty() ? "0" : user_part;
  const auto entry = find_user(passwd, user_text);
  const auto number = parse_id(user_text);
  if (!entry && !number) {
    return base::fail(ErrorCode::invalid_argument, "user \"{}\": {}", user_text,
                      is_number(user_text) ? "not a user number" : "not in /etc/passwd of the step's root");
  }
  StepUser user;
  if (entry && !entry->home.empty() && entry->home.find('\0') == std::string_view::npos) user.home = entry->home;
  user.uid = entry ? entry->uid : *number;
  user.gid = entry ? entry->gid : 0;
  if (has_group) {
    user.gid = TRY(resolve_group(text.substr(colon + 1), group));
  } else if (entry) {
    user.groups = groups_with_member(group, entry->name);
  }
  std::erase(user.groups, user.gid);
  user.groups.insert(user.groups.begin(), user.gid);
  return user;
}

base::Result<std::uint32_t> resolve_group_in(int root, std::string_view text) {
  if (const auto gid = parse_id(text)) return *gid;
  return resolve_group(text, TRY(read_if_present(root, "etc/group"), "read groups of the step's root"));
}

base::Result<StepUser> resolve_user_in(int root, std::string_view text) {
  // Both given as numbers need no file but for the home; a broken passwd must not fail such a step.
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos && parse_id(text.substr(0, colon)) && parse_id(text.substr(colon + 1))) {
    return resolve_user(text, read_if_present(root, "etc/passwd").value_or(""), {});
  }
  const std::string passwd = TRY(read_if_present(root, "etc/passwd"), "read users of the step's root");
  const std::string group = TRY(read_if_present(root, "etc/group"), "read groups of the step's root");
  return resolve_user(text, passwd, group);
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
#include "tools/cached/config.h"

#include <algorithm>
#include <set>

#include "libbase/fs/fd.h"
#include "libbase/toml/toml_table.h"
#include "libcache/policy.h"

namespace cairn::cached {

using base::Result;
using base::Status;
using base::TomlTable;
using serve::AccessRules;
using serve::Grant;
using serve::Principal;
using serve::Rights;

namespace {

constexpr std::uint64_t config_bytes_max = 1 << 20;
constexpr std::int64_t connections_max = 1'000'000, drain_seconds_max = 86'400, lease_seconds_max = 7 * 86'400;

// All faults of a file, and not only the first one.
class Faults {
 public:
  explicit Faults(std::vector<std::string>& lines) : lines_(lines) {}
  void add(const Status& status) {
    if (!status) lines_.push_back(status.error().message);
  }
  // What is there goes into `into`.
  template <class T, class Into>
  void take(const Result<std::optional<T>>& read, Into& into) {
    if (!read) lines_.push_back(read.error().message);
    if (read && *read) into = static_cast<Into>(**read);
  }

 private:
  std::vector<std::string>& lines_;
};

Result<std::optional<std::int64_t>> number_at(TomlTable& table, std::string_view key, std::int64_t least,
                                              std::int64_t most) {
  if (!table.has(key)) return std::optional<std::int64_t>();
  const auto number = table.integer(key);
  if (number && *number && **number >= least && **number <= most) return **number;
  return table.wrong(key, fmt::format("want a number from {} to {}", least, most));
}

Result<std::vector<serve::InstancePattern>> patterns_at(TomlTable& table, std::string_view key) {
  std::vector<serve::InstancePattern> patterns;
  for (const std::string& text : TRY(table.texts(key))) {
    const auto pattern = serve::InstancePattern::parse(text);
    if (!pattern) return table.wrong(key, pattern.error().message);
    patterns.push_back(*pattern);
  }
  return patterns;
}

// read, write: true, or the instances where.
Result<Grant> anonymous_grant(TomlTable& table, std::string_view key, Rights rights) {
  Grant grant{.instances = {}, .rights = rights};
  const auto everywhere = table.truth(key);
  if (!everywhere) {
    grant.instances = TRY(patterns_at(table, key));
  } else if (everywhere->value_or(false)) {
    grant.instances.push_back(*serve::InstancePattern::parse("*"));
  }
  return grant;
}

// Nothing is said: trusted.
Result<cache::Trust> trust_at(TomlTable& table) {
  const std::string text = TRY(table.text("trust")).value_or("trusted");
  for (const cache::Trust trust : {cache::Trust::untrusted, cache::Trust::trusted})
    if (text == to_string(trust)) return trust;
  return table.wrong("trust", R"(want "trusted" or "untrusted")");
}

Result<Principal> read_anonymous(TomlTable table) {
  Principal who{.name = "anonymous"};
  who.grants.push_back(TRY(anonymous_grant(table, "read", Rights::read)));
  who.grants.push_back(TRY(anonymous_grant(table, "write", Rights::write)));
  who.trust = TRY(trust_at(table));
  TRY(table.expect_no_other());
  return who;
}

bool is_name(std::string_view name) {
  const auto fits = [](char c) { return c > 0x20 && c < 0x7f && c != ':' && c != '"'; };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), fits);
}

// What tokens and peers have alike.
Result<Principal> read_principal(TomlTable& table, std::set<std::string>& names) {
  Principal who{.name = TRY(table.text("name")).value_or("")};
  if (!is_name(who.name))
    return table.wrong("name", "want a name of 1 to 64 characters that one can see, without : and \"");
  if (!names.insert(who.name).second) return table.wrong("name", fmt::format("there is a \"{}\" already", who.name));
  Grant grant{.instances = TRY(patterns_at(table, "instances"))};
  if (!table.has("instances")) grant.instances.push_back(*serve::InstancePattern::parse("*"));
  const auto rights = TRY(table.text("rights"));
  if (!rights || (*rights != "read" && *rights != "write")) return table.wrong("rights", R"(want "read" or "write")");
  grant.rights = *rights == "write" ? Rights::write : Rights::read;
  who.trust = TRY(trust_at(table));
  who.grants.push_back(std::move(grant));
  return who;
}

Status read_token(TomlTable& table, std::set<std::string>& names, AccessRules& rules) {
  AccessRules::Token token{.who = TRY(read_principal(table, names)), .hash = {}};
  const auto kind = TRY(table.text("kind"));
  if (!kind || (*kind != "bearer" && *kind != "basic")) return table.wrong("kind", R"(want "bearer" or "basic")");
  const auto hash = serve::SecretHash::parse(TRY(table.text("hash")).value_or(""));
  if (!hash) return table.wrong("hash", hash.error().message + "; `cached --new-token NAME` makes one");
  if (hash->is_of_password() != (*kind == "basic"))
    return table.wrong("hash", "a bearer token has sha256:HEX, the password of a basic one scrypt:COST:SALT:HEX");
  for (const AccessRules::Token& other : rules.tokens)
    if (other.hash.str() == hash->str())
      return table.wrong("hash", fmt::format("it is that of \"{}\"", other.who.name));
  token.hash = *hash;
  TRY(table.expect_no_other());
  rules.tokens.push_back(std::move(token));
  return {};
}

Status read_peer(TomlTable& table, std::set<std::string>& names, AccessRules& rules) {
  AccessRules::Peer peer{.who = TRY(read_principal(table, names)), .uids = {}};
  for (const std::int64_t uid : TRY(table.integers("uids"))) {
    if (uid > 0xffff'fffe) return table.wrong("uids", "want the numbers of users");
    peer.uids.push_back(static_cast<uid_t>(uid));
    for (const AccessRules::Peer& other : rules.peers)
      if (std::find(other.uids.begin(), other.uids.end(), peer.uids.back()) != other.uids.end())
        return table.wrong("uids", fmt::format("{} is one of \"{}\"", uid, other.who.name));
  }
  if (peer.uids.empty()) return table.wrong("uids", "want the numbers of users");
  TRY(table.expect_no_other());
  rules.peers.push_back(std::move(peer));
  return {};
}

Status read_certificate(TomlTable& table, std::set<std::string>& names, AccessRules& rules) {
  AccessRules::Certificate certificate{.who = TRY(read_principal(table, names)), .names = TRY(table.texts("names"))};
  if (certificate.names.empty()) return table.wrong("names", R"(want names as "CN:ci" or "DNS:ci.example.com")");
  for (const std::string& name : certificate.names) {
    const auto is_kind = [&](std::string_view kind) { return name.starts_with(kind) && name.size() > kind.size(); };
    if (!is_kind("CN:") && !is_kind("DNS:") && !is_kind("URI:") && !is_kind("email:"))
      return table.wrong("names", fmt::format("\"{}\" begins with none of CN:, DNS:, URI: and email:", name));
    for (const AccessRules::Certificate& other : rules.certificates)
      if (std::find(other.names.begin(), other.names.end(), name) != other.names.end())
        return table.wrong("names", fmt::format("{} is one of \"{}\"", name, other.who.name));
  }
  TRY(table.expect_no_other());
  rules.certificates.push_back(std::move(certificate));
  return {};
}

Result<base::HostPath> path_at(TomlTable& table, std::string_view key) {
  const auto path = base::HostPath::from_user(TRY(table.text(key)).value_or(""));
  return path ? path : table.wrong(key, path.error().message);
}

Result<serve::TlsFiles> read_tls(TomlTable table) {
  serve::TlsFiles files{.certificate = TRY(path_at(table, "certificate")), .key = TRY(path_at(table, "key"))};
  if (table.has("client_ca")) files.client_ca = TRY(path_at(table, "client_ca"));
  TRY(table.expect_no_other());
  return files;
}

template <class Read>
void read_each(TomlTable& table, std::string_view key, Faults& faults, Read read) {
  auto tables = table.tables(key);
  if (!tables) return faults.add(tl::unexpected(tables.error()));
  for (TomlTable& each : *tables) faults.add(read(each));
}

AccessRules read_access(TomlTable table, Faults& faults) {
  AccessRules rules;
  std::set<std::string> names;
  if (auto anonymous = table.table("anonymous"); !anonymous) {
    faults.add(tl::unexpected(anonymous.error()));
  } else if (*anonymous) {
    auto who = read_anonymous(std::move(**anonymous));
    if (who)
      rules.anonymous = std::move(*who);
    else
      faults.add(tl::unexpected(who.error()));
  }
  read_each(table, "token", faults, [&](TomlTable& each) { return read_token(each, names, rules); });
  read_each(table, "peer", faults, [&](TomlTable& each) { return read_peer(each, names, rules); });
  read_each(table, "certificate", faults, [&](TomlTable& each) { return read_certificate(each, names, rules); });
  faults.add(table.expect_no_other());
  return rules;
}

void read_limits(TomlTable table, Config& config, Faults& faults) {
  faults.take(bytes_at(table, "max_bytes"), config.max_bytes);
  faults.take(bytes_at(table, "soft_bytes"), config.soft_bytes);
  if (config.soft_bytes > config.max_bytes) faults.add(table.wrong("soft_bytes", "it is more than max_bytes"));
  faults.take(number_at(table, "lease_seconds", 0, lease_seconds_max), config.lease_seconds);
  faults.take(number_at(table, "connections", 1, connections_max), config.connections);
  faults.take(number_at(table, "drain_seconds", 0, drain_seconds_max), config.drain_seconds);
  faults.add(table.expect_no_other());
}

// Whether there is one; a fault is none.
std::optional<TomlTable> section(TomlTable& document, std::string_view key, Faults& faults) {
  auto table = document.table(key);
  if (table) return std::move(*table);
  faults.add(tl::unexpected(table.error()));
  return std::nullopt;
}

}  // namespace

Result<std::optional<std::uint64_t>> bytes_at(TomlTable& table, std::string_view key) {
  if (!table.has(key)) return std::optional<std::uint64_t>();
  if (const auto number = TRY(table.integer(key))) return std::optional(static_cast<std::uint64_t>(*number));
  const auto space = cache::parse_space(TRY(table.text(key)).value_or(""));
  using Unit = cache::Space::Part::Unit;
  if (!space || space->parts().size() != 1 || space->parts()[0].unit != Unit::bytes)
    return table.wrong(key, "want a size as \"50GB\"");
  return std::optional(space->parts()[0].amount);
}

std::vector<std::string> read_config(std::string_view text, std::string_view file, Config& config) {
  std::vector<std::string> lines;
  Faults faults(lines);
  const auto parsed = base::parse_toml(text, file);
  if (!parsed) return {parsed.error().message};
  TomlTable document(parsed->table(), std::string(file), "", base::KeyCase::exact);
  faults.take(document.text("root"), config.root);
  faults.take(document.text("http"), config.http);
  faults.take(document.text("grpc"), config.grpc);
  faults.take(document.text("resp"), config.resp);
  faults.take(document.text("containerd"), config.containerd);
  faults.take(document.truth("allow_remote"), config.allow_remote);
  faults.take(document.truth("fetch"), config.fetch);
  if (auto limits = section(document, "limits", faults)) read_limits(std::move(*limits), config, faults);
  if (auto tls = section(document, "tls", faults)) {
    auto files = read_tls(std::move(*tls));
    if (files)
      config.tls = std::move(*files);
    else
      faults.add(tl::unexpected(files.error()));
  }
  if (auto tiers = section(document, "tiers", faults)) {
    faults.take(number_at(*tiers, "lookup_ms", 1, 60'000), config.tiers.lookup_ms);
    faults.add(tiers->expect_no_other());
  }
  read_each(document, "tier", faults, [&](TomlTable& each) -> Status {
    config.tiers.sections.push_back(TRY(read_tier(each)));
    return {};
  });
  if (auto access = section(document, "access", faults)) config.access = read_access(std::move(*access), faults);
  faults.add(document.expect_no_other());
  return lines;
}

std::vector<std::string> load_config(const std::string& path, Config& config) {
  const auto file = base::HostPath::from_user(path);
  if (!file) return {file.error().message};
  const auto text = base::read_file(*file, config_bytes_max);
  if (!text) return {text.error().message};
  return read_config(*text, path, config);
}

}  // namespace cairn::cached

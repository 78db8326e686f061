// SPDX-License-Identifier: Apache-2.0
#include "libremote/registry/routes.h"

#include <algorithm>

#include "libbase/toml/toml_table.h"

namespace cairn::remote {

using base::Result;
using base::TomlTable;
using Scheme = RegistryRoute::Scheme;

namespace {

// A spelling of its own: the registry of docker.io has another name than its images.
constexpr const char* docker_hub =
    "registry-1"
    ".docker.io";

// Whether a part of an address can be sent as it stands.
bool is_plain(std::string_view text, std::string_view without) {
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return c > 0x20 && c < 0x7f && without.find(c) == without.npos; });
}

// "host", "host:port", "[::1]:port".
bool is_host(std::string_view text) { return !text.empty() && is_plain(text, "/@?#\\\""); }

Result<RegistryRoute::Mirror> parse_mirror(const TomlTable& table, std::string_view text) {
  RegistryRoute::Mirror mirror;
  for (const auto& [prefix, scheme] : {std::pair("http://", Scheme::http), std::pair("https://", Scheme::https)}) {
    if (!text.starts_with(prefix)) continue;
    mirror.scheme = scheme;
    text.remove_prefix(std::string_view(prefix).size());
  }
  while (text.ends_with('/')) text.remove_suffix(1);
  const std::size_t slash = text.find('/');
  mirror.host = text.substr(0, slash);
  if (slash != text.npos) mirror.path = text.substr(slash + 1);
  if (!is_host(mirror.host) || text.find("//") != text.npos || !is_plain(mirror.path, "?#@"))
    return table.wrong("mirrors", "want HOST[:PORT][/PATH], with http:// or https:// before it or nothing");
  return mirror;
}

}  // namespace

std::string registry_url(const std::string& host, Scheme scheme) {
  const std::string_view bare =
      std::string_view(host).substr(0, host.starts_with('[') ? host.find(']') + 1 : host.find(':'));
  const bool here = bare == "localhost" || bare.starts_with("127.") || bare == "[::1]";
  const bool in_the_clear = scheme == Scheme::usual ? here : scheme == Scheme::http;
  return (in_the_clear ? "http://" : "https://") + (host == "docker.io" ? docker_hub : host);
}

Result<RegistryRoutes> parse_registries(std::string_view text, std::string_view name) {
  const toml::parse_result parsed = TRY(base::parse_toml(text, name));
  TomlTable document(parsed.table(), std::string(name), "", base::KeyCase::exact);
  RegistryRoutes routes;
  for (TomlTable& table : TRY(document.tables("registry"))) {
    const auto host = TRY(table.text("host"));
    if (!host || !is_host(*host)) return table.wrong("host", "want HOST or HOST:PORT, as images name it");
    RegistryRoute route;
    if (const auto http = TRY(table.truth("http"))) route.scheme = *http ? Scheme::http : Scheme::https;
    for (const std::string& mirror : TRY(table.texts("mirrors"))) route.mirrors.push_back(TRY(parse_mirror(table, mirror)));
    TRY(table.expect_no_other());
    if (!routes.emplace(*host, std::move(route)).second) return table.wrong("host", "it is there twice");
  }
  TRY(document.expect_no_other());
  return routes;
}

}  // namespace cairn::remote

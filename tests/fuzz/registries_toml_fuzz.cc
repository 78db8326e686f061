// SPDX-License-Identifier: Apache-2.0
// A registries.toml: every address that comes of it can be sent as it stands, and the routes, written again, are read
// as themselves.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "libremote/registry/http_repository.h"
#include "libremote/registry/routes.h"

namespace {

using namespace cairn::remote;
using Scheme = RegistryRoute::Scheme;

std::string written(const RegistryRoutes& routes) {
  std::string text;
  for (const auto& [host, route] : routes) {
    text += fmt::format("[[registry]]\nhost = \"{}\"\n", host);
    if (route.scheme != Scheme::usual) text += fmt::format("http = {}\n", route.scheme == Scheme::http);
    text += "mirrors = [";
    for (const RegistryRoute::Mirror& mirror : route.mirrors) {
      const char* scheme = mirror.scheme == Scheme::usual ? "" : mirror.scheme == Scheme::http ? "http://" : "https://";
      text += fmt::format("\"{}{}{}", scheme, mirror.host, mirror.path.empty() ? "" : "/");
      for (const char c : mirror.path) text += (c == '"' || c == '\\') ? std::string{'\\', c} : std::string{c};
      text += "\",";
    }
    text += "]\n";
  }
  return text;
}

void check_address(const std::string& url) {
  CHECK(url.starts_with("http://") || url.starts_with("https://"), "{}", url);
  CHECK(origin_of(url) == url, "{}", url);
  CHECK(std::all_of(url.begin(), url.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; }));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto routes = parse_registries({reinterpret_cast<const char*>(data), size}, "file");
  if (!routes) return 0;
  for (const auto& [host, route] : *routes) {
    check_address(registry_url(host, route.scheme));
    for (const RegistryRoute::Mirror& mirror : route.mirrors) {
      check_address(registry_url(mirror.host, mirror.scheme));
      CHECK(mirror.path.find_first_of("?#@ \n") == std::string::npos);
    }
  }
  const std::string text = written(*routes);
  const auto again = parse_registries(text, "again");
  CHECK(again.has_value(), "{}\n{}", text, again ? "" : again.error().message);
  CHECK(written(*again) == text, "{}", text);
  return 0;
}

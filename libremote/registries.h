// SPDX-License-Identifier: Apache-2.0
// Registries over HTTP: the OCI distribution protocol, pull and push, with anonymous, basic and token authentication.
// https, or http to this machine (localhost, 127.x.x.x, [::1]), unless the options say otherwise.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libcache/fetcher.h"
#include "libcache/registry.h"

namespace cairn::remote {

// How one registry is reached.
struct RegistryRoute {
  enum class Scheme { usual, http, https } scheme = Scheme::usual;
  // Asked in this order before the registry itself for what tags of images are, and for what digests name: "host:port",
  // with a path that comes before that of the repository if there is one. They get their own credentials or none, never
  // those of the registry. Whatever one of them cannot do the next does, and it is left alone for a while. What caches are and uploads are of the registry alone.
  struct Mirror {
    std::string host, path;
    Scheme scheme = Scheme::usual;
  };
  std::vector<Mirror> mirrors = {};
};
using RegistryRoutes = std::map<std::string, RegistryRoute>;  // by host, as images name it

// Where it stands in a store.
inline constexpr const char* registries_file = "registries.toml";
// The text of that file (docs/guides/sources.md); `name` is what errors call it, and they say line and field.
// Errors: invalid_argument.
base::Result<RegistryRoutes> parse_registries(std::string_view text, std::string_view name);

// Adds to what a registry is told of who asks, as cache::Registries::open takes it, what one of its mirrors is told:
// a text of the same kind.
std::string with_mirror_credentials(std::string credentials, const std::string& mirror_host,
                                    const std::string& of_mirror);

struct RegistryOptions {
  // Of requests that a registry refuses for now (429, 5xx) or that break off; pauses double up to pause_max, or are what
  // the registry asks for, up to asked_pause_max.
  int tries = 5;
  std::chrono::milliseconds pause{250}, pause_max{8'000}, asked_pause_max{60'000};
  RegistryRoutes routes = {};
  std::chrono::milliseconds mirror_rest{60'000};    // how long a mirror is left alone that has failed
  std::chrono::milliseconds mirror_answer{10'000};  // how long one may take for a document
  // How long a document may take, with all of its bytes. nullopt: as long as something comes.
  std::optional<std::chrono::milliseconds> document_time = {};
};

// The fetcher outlives it.
std::unique_ptr<cache::Registries> make_registries(cache::Fetcher& fetcher, RegistryOptions options = {});

}  // namespace cairn::remote

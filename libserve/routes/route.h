// SPDX-License-Identifier: Apache-2.0
// What a request is about, out of its target: door, instance and key, each parsed to what it may be, so that nothing behind
// this looks at a path. `[/INSTANCE]/MARKER/…`: the first segment that is a marker ends the instance. The one fact to know:
// no name from a path is ever one on a disk.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "libbase/result.h"
#include "libcache/entry_store.h"
#include "libserve/access.h"

namespace cairn::serve {

enum class Door : std::uint8_t {
  health,     // /health
  status,     // /status
  metrics,    // /metrics
  server,     // * (OPTIONS)
  bazel_ac,   // [/INSTANCE]/ac/HEX
  bazel_cas,  // [/INSTANCE]/cas/HEX
  ccache,     // [/INSTANCE]/ccache/ and what any of its three layouts puts behind
  sccache,    // [/INSTANCE]/sccache/PATH, a WebDAV tree
  gradle,     // [/INSTANCE]/gradle/KEY
  turborepo_status,  // [/INSTANCE]/v8/artifacts/status
  turborepo_events,  // …/events
  turborepo_query,   // …/v8/artifacts
  turborepo,         // …/HASH
  nx,         // [/INSTANCE]/v1/cache/HASH
};
std::string_view to_string(Door door);  // "bazel" of both; of turborepo's, too

struct Route {
  Door door = Door::server;
  std::string instance{};  // segments with / between them
  std::string key{};
  std::string team{};      // of turborepo: the query's teamId, else its slug
  std::optional<BlobDigest> digest{};  // of bazel_cas
  bool is_collection = false;          // of sccache: the path ends in a slash, or is empty
  Viewer viewer{};                     // who asks; set when that is known
};
inline constexpr std::size_t instance_bytes_max = 200;

// Errors: not_found (no door is there), invalid_argument (what is there cannot be a name).
base::Result<Route> parse_route(std::string_view target);
// The entry it names.
cache::EntryName entry_of(const Route& route);

}  // namespace cairn::serve

// SPDX-License-Identifier: Apache-2.0
// What an http:// or https:// source asks for, and what it is once the answer is known (spec/solver 3.2, 7.5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libsolver/cache_map.h"
#include "libsolver/digests.h"

namespace cairn::solver {

struct HttpSpec {
  std::string url;
  std::optional<std::string> checksum;  // pinned: "sha256:…", "sha384:…" or "sha512:…"
  std::string filename;                // "": by the answer
  std::int64_t mode = 0, uid = 0, gid = 0;  // mode 0: 0600
  std::string auth_secret;                  // "": by the host
  std::vector<std::pair<std::string, std::string>> headers;  // Accept and User-Agent only, by name
};

struct HttpContent {
  std::string filename;
  std::string checksum;  // by SHA-256, or as it is pinned
  std::optional<std::int64_t> last_modified;  // seconds since 1970
};

// Errors: invalid_argument, naming the attribute; unavailable ("not supported: …").
base::Result<HttpSpec> parse_http_source(const wire::SourceOp& source);
CacheMap http_cache_map(const HttpSpec& spec, const HttpContent& content);
// What a pinned source is, without asking anybody.
HttpContent pinned_content(const HttpSpec& spec);

}  // namespace cairn::solver

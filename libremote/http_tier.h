// SPDX-License-Identifier: Apache-2.0
// A plain HTTP cache as Bazel knows it, as a tier: GET, HEAD and PUT of URL/cas/HEX for blobs and of URL/ac/HEX for
// action results, below URL/INSTANCE if the entry's instance has a name. It keeps entries of the door "bazel" only, whose
// keys are the digests of actions, and knows nothing of their closures. An entry of an untrusted writer is none of it:
// there is no way to say so there.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "libcache/fetcher.h"
#include "libcache/remote_tier.h"

namespace cairn::remote {

struct HttpTierOptions {
  std::string url;                       // "https://HOST[:PORT][/PATH]", or http
  std::string user = {}, password = {};  // no user: none
  std::string token = {};                // bearer; "": none
  std::size_t lookups_at_once = 8;       // of one has_blobs()
};

// Asks nobody. The fetcher outlives it. Errors: invalid_argument (a URL that cannot be one, both a user and a token).
base::Result<std::unique_ptr<cache::RemoteTier>> make_http_tier(cache::Fetcher& fetcher, HttpTierOptions options);

}  // namespace cairn::remote

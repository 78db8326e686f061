// SPDX-License-Identifier: Apache-2.0
// Caches within images: the config of an image has the records of a cache, whose layers are the image's own
// (spec/storage 5.7).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libsolver/remote_cache/cache_place.h"

namespace cairn::solver {

// The records as JSON, in which layers are numbered as those of the image, the lowest first. Results of other layers are
// left out; "": no result is left.
std::string inline_cache_json(const WrittenCache& cache, const std::vector<CacheLayer>& image);

// Errors: as parse_cache_config().
base::Result<WrittenCache> parse_inline_cache(std::string_view records, const std::vector<CacheLayer>& image);

// What the images hold that a manifest or an index names, of all platforms together. Errors: not_found (none has a
// cache), corrupt, invalid_argument (over a limit), those of the place.
base::Result<WrittenCache> read_inline_cache(CachePlace& place, const NamedManifest& root, std::stop_token stop);

}  // namespace cairn::solver

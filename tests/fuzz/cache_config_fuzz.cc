// SPDX-License-Identifier: Apache-2.0
// The document of a foreign cache, as hostile bytes: none may crash, and what is accepted can be walked, merged and
// written, and reads back to itself.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libbase/hash/sha256.h"
#include "libsolver/remote_cache/imported_keys.h"
#include "libsolver/remote_cache/merge_caches.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::solver;
  auto config = parse_cache_config({reinterpret_cast<const char*>(data), size});
  if (!config) return 0;
  CHECK(ImportedKeys::of(*config).has_value());
  WrittenCache cache{std::move(*config), {}};
  for (const CacheConfig::Layer& layer : cache.config.layers) {
    const auto blob = cairn::BlobDigest::parse(layer.blob);
    CHECK(blob.has_value());
    cache.layers.emplace(layer.blob, CacheLayer{*blob, 1, {}, cairn::base::digest_of<cairn::DiffId>(layer.blob)});
  }
  const auto once = merge_caches({}, cache);
  if (!once) return 0;  // over a limit
  const std::string json = once->config.json();
  const auto again = parse_cache_config(json);
  CHECK(again && again->json() == json, "{}", json);
  const auto twice = merge_caches(*once, cache);
  CHECK(twice && hold_the_same(twice->config, once->config), "{}", json);
  return 0;
}

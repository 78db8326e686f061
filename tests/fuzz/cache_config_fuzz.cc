// SPDX-License-Identifier: Apache-2.0
// The document of a foreign cache, as hostile bytes, in the three forms that there are: alone, with descriptions of its
// layers, and as the records of an image. None may crash, and what is accepted can be walked, merged and written, and
// reads back to itself.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libbase/hash/sha256.h"
#include "libsolver/remote_cache/imported_keys.h"
#include "libsolver/remote_cache/inline_cache.h"
#include "libsolver/remote_cache/merge_caches.h"

namespace {

using namespace cairn::solver;

void check_whole(std::string_view text) {
  const auto cache = parse_whole_cache(text);
  if (!cache) return;
  const auto merged = merge_caches({}, *cache);
  if (!merged) return;  // over a limit
  const std::string json = whole_cache_json(*merged);
  const auto again = parse_whole_cache(json);
  CHECK(again && whole_cache_json(*again) == json, "{}", json);
}

void check_inline(std::string_view text) {
  std::vector<CacheLayer> image;
  for (const char* name : {"a", "b", "a"})
    image.push_back(
        {cairn::base::digest_of<cairn::BlobDigest>(name), 1, {}, cairn::base::digest_of<cairn::DiffId>(name)});
  const auto cache = parse_inline_cache(text, image);
  if (!cache) return;
  CHECK(ImportedKeys::of(cache->config).has_value());
  const std::string json = inline_cache_json(*cache, image);
  const auto again = json.empty() ? cache : parse_inline_cache(json, image);
  CHECK(again && inline_cache_json(*again, image) == json, "{}", json);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_whole(text);
  check_inline(text);
  auto config = parse_cache_config(text);
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

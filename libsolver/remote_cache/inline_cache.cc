// SPDX-License-Identifier: Apache-2.0
#include "libsolver/remote_cache/inline_cache.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "libbase/base64.h"
#include "libsolver/remote_cache/config_order.h"
#include "libsolver/remote_cache/merge_caches.h"
#include "libsolver/sources/oci_image.h"
#include "libsolver/wire/go_time.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr const char* config_member = "moby.buildkit.cache.v0";
constexpr std::size_t images_max = 128;  // of an index, and of those within it

// Where the image has what a result is made of, the lowest first. nullopt: it has not all of it.
std::optional<std::vector<std::size_t>> places_of(const WrittenCache& cache, std::size_t top,
                                                  const std::vector<CacheLayer>& image) {
  std::vector<std::size_t> places;
  for (const std::string& blob : blobs_below(cache.config, top)) {
    const auto described = cache.layers.find(blob);
    if (described == cache.layers.end()) return std::nullopt;
    const auto is_it = [&](const CacheLayer& layer) { return layer.diff == described->second.diff; };
    // In its own place, if it is there; the same layer may be in an image twice.
    if (places.size() < image.size() && is_it(image[places.size()])) {
      places.push_back(places.size());
      continue;
    }
    const auto found = std::find_if(image.begin(), image.end(), is_it);
    if (found == image.end()) return std::nullopt;
    places.push_back(static_cast<std::size_t>(found - image.begin()));
  }
  return places;
}

std::string result_json(const std::vector<std::size_t>& places, base::WallTime created) {
  std::string list;
  bool is_prefix = true;
  for (std::size_t i = 0; i < places.size(); ++i) {
    is_prefix = is_prefix && places[i] == i;
    list += (i > 0 ? "," : "") + std::to_string(places[i]);
  }
  if (is_prefix) {
    return fmt::format(R"("layers":[{{"layer":{},"createdAt":"{}"}}],)", places.size() - 1, go_time(created));
  }
  return fmt::format(R"("chains":[{{"layers":[{}],"createdAt":"0001-01-01T00:00:00Z"}}],)", list);
}

class PlaceDocuments final : public OciDocuments {
 public:
  PlaceDocuments(CachePlace& place, std::stop_token stop) : place_(place), stop_(std::move(stop)) {}
  Result<std::string> read(Kind kind, const BlobDigest& digest) const override {
    constexpr std::size_t bytes_max = OciDocumentLimits::bytes_max;
    return kind == Kind::manifest ? place_.read_manifest(digest, bytes_max, stop_)
                                  : place_.read_blob(digest, bytes_max, stop_);
  }
  std::string place() const override { return place_.origin().text(); }

 private:
  CachePlace& place_;
  const std::stop_token stop_;
};

// The manifests of images that an index leads to.
class ImagesOfIndex {
 public:
  explicit ImagesOfIndex(const OciDocuments& documents) : documents_(documents) {}
  Status add(const OciIndex& index) {
    for (const OciDescriptor& entry : index.manifests) {
      if (is_attestation(entry) || !seen_.insert(entry.digest).second) continue;
      if (seen_.size() > images_max) return fail(ErrorCode::invalid_argument, "more than {} images", images_max);
      if (is_manifest_type(entry.media_type)) manifests.push_back(entry.digest);
      if (!is_index_type(entry.media_type)) continue;
      const std::string bytes = TRY(documents_.read(OciDocuments::Kind::manifest, entry.digest));
      TRY(add(TRY(parse_oci_index(bytes), "index {}", entry.digest)));  // images_max is how deep at most
    }
    return {};
  }
  std::vector<BlobDigest> manifests;

 private:
  const OciDocuments& documents_;
  std::set<BlobDigest> seen_;
};

// nullopt: the image has none.
Result<std::optional<WrittenCache>> cache_of_image(const OciImage& image) {
  const auto config = nlohmann::json::parse(image.config_bytes, nullptr, /*allow_exceptions=*/false);
  const auto member = config.is_object() ? config.find(config_member) : config.end();
  if (member == config.end() || member->is_null()) return std::optional<WrittenCache>();
  const auto records = member->is_string() ? base::from_base64(member->get<std::string>()) : std::nullopt;
  if (!records) return fail(ErrorCode::corrupt, "config {}: \"{}\" is no base64", image.config, config_member);
  std::vector<CacheLayer> layers;
  for (const OciLayer& layer : image.layers)
    layers.push_back({layer.digest, layer.size, layer_compression(layer), layer.diff});
  return std::optional(TRY(parse_inline_cache(*records, layers), "cache in config {}", image.config));
}

}  // namespace

std::string inline_cache_json(const WrittenCache& cache, const std::vector<CacheLayer>& image) {
  bool has_result = false;
  std::string text = cache.config.records_json([&](const CacheConfig::Record& record) -> std::string {
    const auto places = record.layer ? places_of(cache, *record.layer, image) : std::nullopt;
    if (!places) return "";
    has_result = true;
    return result_json(*places, record.created);
  });
  return has_result ? text : "";
}

Result<WrittenCache> parse_inline_cache(std::string_view records, const std::vector<CacheLayer>& image) {
  WrittenCache layers;
  for (const CacheLayer& layer : image) {
    const auto below = static_cast<std::int64_t>(layers.config.layers.size()) - 1;
    layers.config.layers.push_back({layer.blob.str(), below});
    layers.layers.emplace(layer.blob.str(), layer);
  }
  // As one document with the layers of the image in front. Records that bring layers of their own would say them twice.
  std::string text = whole_cache_json(layers);
  text.pop_back();
  text += fmt::format("{}\"records\":{}}}", image.empty() ? "" : ",", records);
  return parse_whole_cache(text);
}

Result<WrittenCache> read_inline_cache(CachePlace& place, const NamedManifest& root, std::stop_token stop) {
  const PlaceDocuments documents(place, std::move(stop));
  const auto document = TRY(parse_oci_root(root.bytes), "manifest {}", root.digest);
  ImagesOfIndex images(documents);
  if (const auto* index = std::get_if<OciIndex>(&document)) {
    TRY(images.add(*index), "index {}", root.digest);
  } else {
    images.manifests.push_back(root.digest);
  }
  std::optional<WrittenCache> all;
  for (const BlobDigest& manifest : images.manifests) {
    auto cache = TRY(cache_of_image(TRY(resolve_oci_image(documents, manifest, {}))));
    if (!cache) continue;
    all = all ? TRY(merge_caches(*all, *cache)) : std::move(*cache);
  }
  if (!all) return fail(ErrorCode::not_found, "it is an image, and no cache is in its config");
  return std::move(*all);
}

}  // namespace cairn::solver

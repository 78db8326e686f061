// SPDX-License-Identifier: Apache-2.0
// What --cache-from and --cache-to say. Attributes that BuildKit knows and that mean nothing here are taken and change
// nothing.
#include <set>
#include <string_view>

#include "libcache/policy.h"
#include "libsolver/remote_cache.h"
#include "libsolver/remote_cache/attributes.h"
#include "libsolver/sources/blob_origins.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

Result<CacheAddress> local_address(const CacheAttributes& attributes, const std::string& directory) {
  CacheAddress address;
  const std::string place = value_of(attributes, directory);
  if (place.empty()) return fail(ErrorCode::invalid_argument, "type=local: {} is missing", directory);
  address.place = TRY(base::HostPath::parse(place), "{}", directory).str();
  address.tag = value_of(attributes, "tag", "latest");
  if (address.tag.empty()) return fail(ErrorCode::invalid_argument, "type=local: the tag is empty");
  return address;
}

Result<CacheAddress> registry_address(const CacheAttributes& attributes) {
  const std::string reference = value_of(attributes, "ref");
  if (reference.empty()) return fail(ErrorCode::invalid_argument, "type=registry: ref is missing");
  const ImageReference parsed = TRY(parse_image_reference(reference), "ref={}", reference);
  CacheAddress address{.type = CacheAddress::Type::registry,
                       .place = parsed.repository.text(),
                       .tag = parsed.tag,
                       .digest = parsed.digest};
  if (address.tag.empty() && !address.digest) address.tag = "latest";
  return address;
}

Result<CacheAddress> address_of(const CacheAttributes& attributes, const std::string& directory,
                                std::set<std::string_view> known) {
  const std::string type = value_of(attributes, "type");
  known.insert("type");
  if (type == "local") {
    known.insert({directory, "tag"});
    TRY(expect_known(attributes, known));
    return local_address(attributes, directory);
  }
  if (type == "registry") {
    known.insert("ref");
    TRY(expect_known(attributes, known));
    return registry_address(attributes);
  }
  if (type.empty()) return fail(ErrorCode::invalid_argument, "type is missing: local or registry");
  return fail(ErrorCode::invalid_argument, "type={}: want local or registry", type);
}

}  // namespace

std::string CacheAddress::text() const {
  const std::string which = digest ? "@" + digest->str() : ":" + tag;
  return (type == Type::local ? "local cache " : "registry cache ") + place + which;
}

Result<CacheAddress> parse_cache_import(const CacheAttributes& attributes) {
  CacheAddress address = TRY(address_of(attributes, "src", {"digest", "timeout"}));
  if (const std::string timeout = value_of(attributes, "timeout"); !timeout.empty()) {
    const auto age = TRY(cache::parse_age(timeout), "timeout={}", timeout);
    if (age.count() <= 0) return fail(ErrorCode::invalid_argument, "timeout={}: want more than nothing", timeout);
    address.answer_max = std::chrono::ceil<std::chrono::milliseconds>(age);
  }
  if (const std::string digest = value_of(attributes, "digest"); !digest.empty())
    address.digest = TRY(BlobDigest::parse(digest), "digest");
  return address;
}

Result<CacheExport> parse_cache_export(const CacheAttributes& attributes) {
  CacheExport order;
  order.to =
      TRY(address_of(attributes, "dest", {"mode", "compression", "ignore-error", "oci-mediatypes", "image-manifest"}));
  if (order.to.digest) return fail(ErrorCode::invalid_argument, "ref: a cache is written to a tag, not to a digest");
  const std::string mode = value_of(attributes, "mode", "min");
  if (mode != "min" && mode != "max") return fail(ErrorCode::invalid_argument, "mode={}: want min or max", mode);
  order.mode = mode == "max" ? ExportOptions::Mode::max : ExportOptions::Mode::min;
  order.compression = TRY(parse_compression(value_of(attributes, "compression", "gzip")));
  if (TRY(flag_of(attributes, "ignore-error", false))) order.on_error = CacheExport::OnError::warn;
  for (const char* format : {"oci-mediatypes", "image-manifest"}) {
    if (!TRY(flag_of(attributes, format, true)))
      return fail(ErrorCode::invalid_argument, "{}=false: only OCI image manifests are written", format);
  }
  return order;
}

}  // namespace cairn::solver

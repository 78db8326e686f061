// SPDX-License-Identifier: Apache-2.0
// What --cache-from and --cache-to say. Attributes that BuildKit knows and that mean nothing here are taken and change
// nothing.
#include <algorithm>
#include <charconv>
#include <cstdlib>
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
using base::Status;

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

// What BuildKit takes from the environment as well.
std::string value_or_variable(const CacheAttributes& attributes, const std::string& name, const char* variable) {
  const char* otherwise = std::getenv(variable);
  return value_of(attributes, name, otherwise == nullptr ? "" : otherwise);
}

// Names of a cache, and what they begin with.
Status expect_object_name(const std::string& name, const std::string& value) {
  constexpr std::size_t bytes_max = 512;
  const bool is_plain = std::none_of(value.begin(), value.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (is_plain && value.size() <= bytes_max) return {};
  return fail(ErrorCode::invalid_argument, "{}: it cannot be part of the name of an object", name);
}

Result<CacheAddress> s3_address(const CacheAttributes& attributes) {
  using Names = cache::BucketAddress::Names;
  CacheAddress address{
      .type = CacheAddress::Type::s3, .place = value_or_variable(attributes, "bucket", "AWS_BUCKET"), .digest = {}};
  if (address.place.empty()) return fail(ErrorCode::invalid_argument, "type=s3: bucket is missing (or AWS_BUCKET)");
  CacheAddress::InBucket& s3 = address.s3;
  s3.bucket = {.bucket = address.place,
               .region = value_or_variable(attributes, "region", "AWS_REGION"),
               .endpoint = value_of(attributes, "endpoint_url")};
  if (s3.bucket.region.empty()) return fail(ErrorCode::invalid_argument, "type=s3: region is missing (or AWS_REGION)");
  if (TRY(flag_of(attributes, "use_path_style", false))) s3.bucket.names = Names::in_path;
  s3.credentials = {value_of(attributes, "access_key_id"), value_of(attributes, "secret_access_key"),
                    value_of(attributes, "session_token")};
  if (s3.credentials.access_key_id.empty() != s3.credentials.secret_access_key.empty())
    return fail(ErrorCode::invalid_argument, "type=s3: access_key_id and secret_access_key go together");
  const std::string prefix = value_of(attributes, "prefix");
  s3.manifests = prefix + value_of(attributes, "manifests_prefix", s3.manifests);
  s3.blobs = prefix + value_of(attributes, "blobs_prefix", s3.blobs);
  TRY(expect_object_name("manifests_prefix", s3.manifests));
  TRY(expect_object_name("blobs_prefix", s3.blobs));
  s3.renew_after = TRY(cache::parse_age(value_of(attributes, "touch_refresh", "24h")), "touch_refresh");
  std::string names = value_of(attributes, "name", "buildkit") + ";";
  address.tag.clear();
  for (std::size_t end = names.find(';'); end != names.npos; names.erase(0, end + 1), end = names.find(';')) {
    const std::string name = names.substr(0, end);
    if (name.empty()) continue;
    TRY(expect_object_name("name", name));
    if (address.tag.empty()) {
      address.tag = name;
    } else {
      address.more_tags.push_back(name);
    }
  }
  if (address.tag.empty()) return fail(ErrorCode::invalid_argument, "type=s3: the name is empty");
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
  if (type == "s3") {
    known.erase("digest");
    known.insert({"bucket", "region", "name", "prefix", "manifests_prefix", "blobs_prefix", "endpoint_url",
                  "use_path_style", "access_key_id", "secret_access_key", "session_token", "touch_refresh",
                  "upload_parallelism", "retry_mode", "retry_max_attempts", "disable_accept_encoding"});
    TRY(expect_known(attributes, known));
    return s3_address(attributes);
  }
  if (type == "inline") {
    auto error = fail(ErrorCode::invalid_argument, "type=inline: a cache in an image is found by the image").value();
    error.hint = "use type=registry,ref=IMAGE";
    return tl::unexpected(std::move(error));
  }
  if (type.empty()) return fail(ErrorCode::invalid_argument, "type is missing: local, registry or s3");
  return fail(ErrorCode::invalid_argument, "type={}: want local, registry or s3", type);
}

}  // namespace

std::string CacheAddress::text() const {
  const std::string which = digest ? "@" + digest->str() : ":" + tag;
  switch (type) {
    case Type::local: return "local cache " + place + which;
    case Type::registry: return "registry cache " + place + which;
    case Type::in_image: return "inline cache";
    case Type::s3: return "s3 cache s3://" + place + "/" + s3.manifests + tag;
  }
  return which;
}

std::string cache_credentials(const CacheAddress& address, const std::map<std::string, std::string>& secrets,
                              const RegistryLogins& logins) {
  if (address.type == CacheAddress::Type::registry)
    return registry_credentials(address.place.substr(0, address.place.find('/')), secrets, logins);
  if (address.type != CacheAddress::Type::s3 || !secrets.contains("AWS_ACCESS_KEY_ID")) return {};
  std::string credentials;
  for (const char* name : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}) {
    const auto secret = secrets.find(name);
    if (secret == secrets.end()) continue;
    std::string_view text = secret->second;
    while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
    credentials += (credentials.empty() ? "" : ":") + std::string(text);
  }
  return credentials;
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
  if (value_of(attributes, "type") == "inline") {
    TRY(expect_known(attributes, {"type", "ignore-error"}));
    order.to.type = CacheAddress::Type::in_image;
    if (TRY(flag_of(attributes, "ignore-error", false))) order.on_error = CacheExport::OnError::warn;
    return order;
  }
  order.to =
      TRY(address_of(attributes, "dest", {"mode", "compression", "ignore-error", "oci-mediatypes", "image-manifest"}));
  if (order.to.digest) return fail(ErrorCode::invalid_argument, "ref: a cache is written to a tag, not to a digest");
  const std::string mode = value_of(attributes, "mode", "min");
  if (mode != "min" && mode != "max") return fail(ErrorCode::invalid_argument, "mode={}: want min or max", mode);
  order.mode = mode == "max" ? ExportOptions::Mode::max : ExportOptions::Mode::min;
  order.compression = TRY(parse_compression(value_of(attributes, "compression", "gzip")));
  if (const std::string uploads = value_of(attributes, "upload_parallelism"); !uploads.empty()) {
    const char* end = uploads.data() + uploads.size();
    const auto number = std::from_chars(uploads.data(), end, order.uploads_at_once);
    if (number.ec != std::errc() || number.ptr != end || order.uploads_at_once < 1 || order.uploads_at_once > 64)
      return fail(ErrorCode::invalid_argument, "upload_parallelism={}: want 1 to 64", uploads);
  }
  if (TRY(flag_of(attributes, "ignore-error", false))) order.on_error = CacheExport::OnError::warn;
  for (const char* format : {"oci-mediatypes", "image-manifest"}) {
    if (!TRY(flag_of(attributes, format, true)))
      return fail(ErrorCode::invalid_argument, "{}=false: only OCI image manifests are written", format);
  }
  return order;
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
#include "libremote/s3/s3_client.h"

#include <algorithm>
#include <chrono>

#include "libbase/hash/sha256.h"
#include "libremote/bodies/bodies.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using cache::FetchAnswer;
using cache::FetchRequest;

namespace {

bool consists_of(std::string_view text, std::string_view more) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || more.find(c) != std::string_view::npos;
  });
}

constexpr std::size_t listing_bytes_max = 4 << 20;  // of 1,000 names

std::string empty_sha256() { return base::to_hex(base::sha256("")); }

constexpr std::string_view upper_case = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

bool is_prefix(std::string_view prefix) {
  while (!prefix.empty()) {
    const std::string_view segment = prefix.substr(0, prefix.find('/'));
    if (segment == "." || segment == ".." || !consists_of(segment, std::string(upper_case) + "-_.")) return false;
    if (segment.size() + 1 == prefix.size()) return false;  // ends in a slash
    prefix.remove_prefix(std::min(segment.size() + 1, prefix.size()));
  }
  return true;
}

base::Status check(const S3Options& options) {
  const auto bad = [](std::string_view what, std::string_view value) {
    return fail(ErrorCode::invalid_argument, "S3: \"{}\" is not {}", value, what);
  };
  if (options.bucket.size() < 3 || options.bucket.size() > 63 || !consists_of(options.bucket, "-.")) {
    return bad("the name of a bucket", options.bucket);
  }
  if (options.prefix.size() > 512 || !is_prefix(options.prefix))
    return bad("a prefix (letters, digits, '-', '_', '.', '/' between)", options.prefix);
  if (!consists_of(options.region, "-")) return bad("a region", options.region);
  const std::size_t scheme = options.endpoint.find("://");
  if ((!options.endpoint.starts_with("http://") && !options.endpoint.starts_with("https://")) ||
      !consists_of(std::string_view(options.endpoint).substr(scheme + 3), std::string(upper_case) + "-.:[]")) {
    return bad("an endpoint (https://HOST[:PORT])", cache::url_without_secrets(options.endpoint));
  }
  if (options.access_key_id.empty() || options.secret_access_key.empty()) {
    auto error = fail(ErrorCode::invalid_argument, "S3: there are no credentials").value();
    error.hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
    return tl::unexpected(std::move(error));
  }
  return {};
}

}  // namespace

Result<S3Client> S3Client::make(cache::Fetcher& fetcher, const base::Clock& clock, S3Options options) {
  if (options.region.empty()) options.region = "us-east-1";
  if (options.endpoint.empty()) options.endpoint = fmt::format("https://s3.{}.amazonaws.com", options.region);
  if (options.endpoint.ends_with('/')) options.endpoint.pop_back();
  TRY(check(options));
  return S3Client(fetcher, clock, std::move(options));
}

S3Client::S3Client(cache::Fetcher& fetcher, const base::Clock& clock, S3Options options)
    : fetcher_(&fetcher), clock_(&clock), options_(std::move(options)) {
  prefix_ = options_.prefix.empty() ? "" : options_.prefix + "/";
  name_ = "s3://" + options_.bucket + (options_.prefix.empty() ? "" : "/" + options_.prefix);
  const std::size_t host = options_.endpoint.find("://") + 3;
  scheme_ = options_.endpoint.substr(0, host);
  host_ = options_.endpoint.substr(host);
  bucket_path_ = "/";
  if (options_.addressing == S3Options::Addressing::virtual_host) {
    host_ = options_.bucket + "." + host_;
  } else {
    bucket_path_ += options_.bucket + "/";
  }
}

Result<FetchAnswer> S3Client::send(FetchRequest request, const std::string& path, const std::string& payload_sha256,
                                   const cache::TierCall& call, const SigV4Request::Pairs& query) const {
  request.url = scheme_ + host_ + encode_path(path);
  if (!query.empty()) request.url += "?" + encode_query(query);
  request.headers.emplace_back("Host", host_);
  SigV4Request to_sign{.method = request.method == Method::get    ? "GET"
                                 : request.method == Method::head ? "HEAD"
                                                                  : "PUT",
                       .path = path,
                       .query = query,
                       .headers = request.headers,
                       .payload_hash = payload_sha256};
  const auto now = std::chrono::floor<std::chrono::seconds>(clock_->now());
  SigV4Signature signature =
      sign_v4(to_sign, {options_.access_key_id, options_.secret_access_key, options_.session_token},
              {.region = options_.region, .service = "s3", .time = now});
  for (auto& header : signature.headers) request.headers.push_back(std::move(header));
  return ask(*fetcher_, std::move(request), call, name_);
}

Result<FetchAnswer> S3Client::get(Method method, const std::string& object, const cache::TierCall& call) const {
  return send({.url = {}, .method = method}, bucket_path_ + prefix_ + object, empty_sha256(), call);
}

Result<FetchAnswer> S3Client::get_range(const std::string& object, std::uint64_t offset, std::uint64_t size,
                                        const cache::TierCall& call) const {
  return send({.url = {}, .headers = {{"Range", fmt::format("bytes={}-{}", offset, offset + size - 1)}}},
              bucket_path_ + prefix_ + object, empty_sha256(), call);
}

Result<Listing> S3Client::list(const std::string& begin, const std::string& after, unsigned at_most,
                               const cache::TierCall& call) const {
  SigV4Request::Pairs query = {{"list-type", "2"}, {"max-keys", std::to_string(at_most)}, {"prefix", prefix_ + begin}};
  if (!after.empty()) query.emplace_back("start-after", prefix_ + after);
  FetchAnswer answer = TRY(send({.url = {}}, bucket_path_, empty_sha256(), call, query));
  if (answer.status != 200) return tl::unexpected(refusal(answer, "list objects"));
  Listing listing = TRY(parse_listing(TRY(bounded_body(answer, listing_bytes_max, name_))), "{}", name_);
  std::erase_if(listing.keys, [&](const std::string& key) { return !key.starts_with(prefix_ + begin); });
  for (std::string& key : listing.keys) key.erase(0, prefix_.size());
  return listing;
}

Result<FetchAnswer> S3Client::send_body(const std::string& object, Body body, SigV4Request::Pairs headers,
                                        const cache::TierCall& call) const {
  headers.emplace_back("Content-Type", "application/octet-stream");
  FetchRequest request{.url = {}, .method = Method::put, .headers = std::move(headers)};
  request.body = &body.bytes;
  request.body_bytes = body.size;
  return send(std::move(request), bucket_path_ + prefix_ + object, body.sha256, call);
}

Result<FetchAnswer> S3Client::put(const std::string& object, Body body, Condition condition,
                                  const cache::TierCall& call) const {
  SigV4Request::Pairs headers;
  if (condition == Condition::if_absent) headers.emplace_back("If-None-Match", "*");
  return send_body(object, std::move(body), std::move(headers), call);
}

Result<FetchAnswer> S3Client::put(const std::string& object, const std::string& bytes, Condition condition,
                                  const cache::TierCall& call) const {
  StringBody source(bytes);
  return put(object, {source, bytes.size(), base::to_hex(base::sha256(bytes))}, condition, call);
}

Result<FetchAnswer> S3Client::replace(const std::string& object, const std::string& bytes, const std::string& tag,
                                      const cache::TierCall& call) const {
  StringBody source(bytes);
  return send_body(object, {source, bytes.size(), base::to_hex(base::sha256(bytes))}, {{"If-Match", tag}}, call);
}

Result<FetchAnswer> S3Client::renew(const std::string& object, const cache::TierCall& call) const {
  const std::string when =
      std::to_string(std::chrono::floor<std::chrono::seconds>(clock_->now()).time_since_epoch().count());
  StringBody nothing("");
  FetchRequest request{.url = {},
                       .method = Method::put,
                       .headers = {{"x-amz-copy-source", encode_path("/" + options_.bucket + "/" + prefix_ + object)},
                                   {"x-amz-metadata-directive", "REPLACE"},
                                   {"x-amz-meta-updated-at", when}}};
  request.body = &nothing;
  return send(std::move(request), bucket_path_ + prefix_ + object, empty_sha256(), call);
}

base::Error S3Client::refusal(FetchAnswer& answer, std::string_view request) const {
  const std::string said = s3_error_code(read_small(answer));
  base::Error error = status_error(answer, name_, request, said);
  // What stays as it is however often one asks.
  if (said == "NoSuchBucket") error.code = ErrorCode::unavailable;
  if (said == "RequestTimeTooSkewed") error.hint = "set the clock of this machine";
  if (const std::string& region = answer.header("x-amz-bucket-region");
      !region.empty() && consists_of(region, "-") && region != options_.region) {
    error.hint = "the bucket is in region " + region;
  }
  return error;
}

Result<bool> S3Client::is_absent(FetchAnswer& answer, std::string_view request) const {
  if (answer.status == 200 || answer.status == 206) return false;
  base::Error error = refusal(answer, request);
  if (answer.status == 404 && error.code != ErrorCode::unavailable) return true;
  return tl::unexpected(std::move(error));
}

std::string s3_error_code(std::string_view document) {
  constexpr std::string_view open = "<Code>";
  const std::size_t at = document.find(open);
  if (at == std::string_view::npos) return {};
  const std::string_view code = document.substr(at + open.size(), document.find('<', at + 1) - at - open.size());
  return code.size() <= 64 && consists_of(code, upper_case) ? std::string(code) : "";
}

}  // namespace cairn::remote

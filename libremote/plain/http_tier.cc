// SPDX-License-Identifier: Apache-2.0
#include "libremote/http_tier.h"

#include <algorithm>

#include "libbase/base64.h"
#include "libremote/bodies/answers.h"
#include "libremote/bodies/bodies.h"
#include "libremote/s3/sigv4.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using cache::EntryName;
using cache::FetchAnswer;
using cache::FetchRequest;
using cache::SizedBlob;
using cache::TierCall;
using cache::TierEntry;
using Method = FetchRequest::Method;

namespace {

constexpr std::string_view only_door = "bazel";

bool is_digest(std::string_view key) { return BlobDigest::parse(fmt::format("sha256:{}", key)).has_value(); }

class HttpTier final : public cache::RemoteTier {
 public:
  HttpTier(cache::Fetcher& fetcher, const HttpTierOptions& options)
      : fetcher_(fetcher), url_(options.url), lookups_at_once_(options.lookups_at_once) {
    abilities_.only_door = only_door;
    if (!options.user.empty()) authorization_ = "Basic " + base::base64(options.user + ":" + options.password);
    if (!options.token.empty()) authorization_ = "Bearer " + options.token;
  }

  const std::string& name() const override { return url_; }
  const cache::TierAbilities& abilities() const override { return abilities_; }

  Result<std::vector<bool>> has_blobs(std::span<const SizedBlob> blobs, const TierCall& call) override {
    return ask_of_each(blobs, lookups_at_once_, [&](const SizedBlob& blob) -> Result<bool> {
      const auto answer = TRY(get(Method::head, path_of(blob), call));
      return answer && (!answer->size || *answer->size == blob.size);
    });
  }

  Result<std::unique_ptr<base::ByteSource>> open_blob(const SizedBlob& blob, const TierCall& call) override {
    auto answer = TRY(get(Method::get, path_of(blob), call));
    if (!answer) return nullptr;
    return blob_body(std::move(*answer), blob, name());
  }

  Status put_blob(const SizedBlob& blob, base::ByteSource& bytes, const TierCall& call) override {
    return put(path_of(blob), bytes, blob.size, call);
  }

  Result<std::optional<TierEntry>> find_entry(const EntryName& entry, const TierCall& call) override {
    const auto path = path_of(entry);
    if (!path) return std::nullopt;
    auto answer = TRY(get(Method::get, *path, call));
    if (!answer) return std::nullopt;
    return TierEntry{.value = TRY(bounded_body(*answer, abilities_.value_bytes_max, name()))};
  }

  Status put_entry(const EntryName& entry, const TierEntry& what, const TierCall& call) override {
    const auto path = path_of(entry);
    if (!path)
      return fail(ErrorCode::invalid_argument, "{}: the entry {} of {} is not for it", name(), entry.key, entry.door);
    TRY(check_fits(*this, what));
    StringBody value(what.value);
    return put(*path, value, what.value.size(), call);
  }

 private:
  static std::string path_of(const SizedBlob& blob) { return "/cas/" + blob.digest.hex(); }
  // nullopt: of another door, or of somebody who is not trusted.
  static std::optional<std::string> path_of(const EntryName& entry) {
    if (entry.door != only_door || entry.trust != cache::Trust::trusted || !is_digest(entry.key)) return std::nullopt;
    return (entry.instance.empty() ? "" : "/" + encode_path(entry.instance)) + "/ac/" + entry.key;
  }

  FetchRequest request(Method method, const std::string& path) const {
    FetchRequest request{.url = url_ + path, .method = method};
    if (!authorization_.empty()) request.headers.emplace_back("Authorization", authorization_);
    return request;
  }

  // nullopt: there is no such thing.
  Result<std::optional<FetchAnswer>> get(Method method, const std::string& path, const TierCall& call) {
    FetchAnswer answer = TRY(ask(fetcher_, request(method, path), call, name()));
    if (answer.status != 200 || method == Method::head) read_small(answer);
    if (answer.status == 200) return answer;
    if (answer.status == 404 || answer.status == 410) return std::nullopt;
    return tl::unexpected(status_error(answer, name(), path, ""));
  }

  Status put(const std::string& path, base::ByteSource& bytes, std::uint64_t size, const TierCall& call) {
    FetchRequest to_put = request(Method::put, path);
    to_put.headers.emplace_back("Content-Type", "application/octet-stream");
    to_put.body = &bytes;
    to_put.body_bytes = size;
    FetchAnswer answer = TRY(ask(fetcher_, std::move(to_put), call, name()));
    read_small(answer);
    if (answer.status == 200 || answer.status == 201 || answer.status == 204) return {};
    return tl::unexpected(status_error(answer, name(), path, ""));
  }

  cache::Fetcher& fetcher_;
  const std::string url_;
  const std::size_t lookups_at_once_;
  std::string authorization_;  // "": none
  cache::TierAbilities abilities_;
};

}  // namespace

Result<std::unique_ptr<cache::RemoteTier>> make_http_tier(cache::Fetcher& fetcher, HttpTierOptions options) {
  while (options.url.ends_with('/')) options.url.pop_back();
  const bool has_scheme = options.url.starts_with("http://") || options.url.starts_with("https://");
  const bool is_plain = std::all_of(options.url.begin(), options.url.end(), [](unsigned char c) {
    return c > 0x20 && c < 0x7f && c != '?' && c != '#' && c != '\\' && c != '@';
  });
  if (!has_scheme || !is_plain) {
    return fail(ErrorCode::invalid_argument, "a tier over HTTP: \"{}\" is not https://HOST[:PORT][/PATH]",
                cache::url_without_secrets(options.url));
  }
  if (!options.token.empty() && !options.user.empty())
    return fail(ErrorCode::invalid_argument, "a tier over HTTP: either a user or a token");
  return std::make_unique<HttpTier>(fetcher, options);
}

}  // namespace cairn::remote

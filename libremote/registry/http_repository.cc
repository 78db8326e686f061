// SPDX-License-Identifier: Apache-2.0
#include "libremote/registry/http_repository.h"

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <mutex>

#include "libbase/base64.h"
#include "libbase/hash/sha256.h"
#include "libremote/bodies/bodies.h"
#include "libremote/registry/blob_body.h"
#include "libremote/registry/challenge.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using cache::FetchAnswer;
using cache::FetchRequest;

namespace {

constexpr std::size_t token_bytes_max = 1 << 20;
// A spelling of its own: the registry of docker.io has another name than its images.
constexpr const char* docker_hub =
    "registry-1"
    ".docker.io";

constexpr const char* manifest_types =
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

bool is_good(int status) { return status >= 200 && status <= 299; }
bool is_passing(int status) { return status == 429 || (status >= 500 && status <= 599); }
// What may be otherwise the next time: no connection, a break, a stall.
bool is_passing(const base::Error& error) { return error.code == ErrorCode::io || error.code == ErrorCode::corrupt; }

}  // namespace

std::string registry_url(const std::string& host) {
  if (host == "docker.io") return std::string("https://") + docker_hub;
  const std::string_view bare =
      std::string_view(host).substr(0, host.starts_with('[') ? host.find(']') + 1 : host.find(':'));
  const bool here = bare == "localhost" || bare.starts_with("127.") || bare == "[::1]";
  return (here ? "http://" : "https://") + host;
}

std::string origin_of(std::string_view url) {
  const std::size_t host = url.find("://");
  return std::string(url.substr(0, host == url.npos ? 0 : url.find('/', host + 3)));
}

bool HttpRepository::is_own_address(const std::string& url) const { return origin_of(url) == origin_of(base_url_); }

HttpRepository::HttpRepository(cache::Fetcher& fetcher, const RegistryOptions& options, cache::RepositoryName name,
                               std::string credentials)
    : fetcher_(fetcher),
      options_(options),
      name_text_(name.text()),
      base_url_(registry_url(name.host) + "/v2/" + name.path + "/"),
      scope_("repository:" + name.path + ":"),
      credentials_(std::move(credentials)) {}

base::Error HttpRepository::status_error(int status, const std::string& path) const {
  if (status == 404) return fail(ErrorCode::not_found, "{}: the registry has no {}", name_text_, path).value();
  if (status != 401 && status != 403) {
    return fail(ErrorCode::io, "{}: the registry answers {} with status {}", name_text_, path, status).value();
  }
  auto error = fail(ErrorCode::unavailable, "{}: the registry refuses {} (status {})", name_text_,
                    credentials_.empty() ? "who gives no credentials" : "the credentials", status)
                   .value();
  error.hint = fmt::format("give the secret REGISTRY_AUTH_{}, which is USER:PASSWORD",
                           name_text_.substr(0, name_text_.find('/')));
  return error;
}

Status HttpRepository::pause(int tries, const std::string& asked_seconds, const std::stop_token& stop) const {
  auto length = std::min(options_.pause * (1 << std::min(tries - 1, 16)), options_.pause_max);
  int seconds = 0;
  const char* end = asked_seconds.data() + asked_seconds.size();
  if (std::from_chars(asked_seconds.data(), end, seconds).ptr == end && seconds > 0) {
    length = std::min<std::chrono::milliseconds>(std::chrono::seconds(seconds), options_.asked_pause_max);
  }
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, length, [] { return false; });
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, "{}: cancelled", name_text_);
  return {};
}

Result<std::string> HttpRepository::fetch_token(const std::string& url, const std::stop_token& stop) {
  FetchRequest request{.url = url, .headers = {}};
  if (!credentials_.empty()) request.headers.emplace_back("Authorization", "Basic " + base::base64(credentials_));
  const FetchAnswer answer = TRY(fetcher_.fetch(request, stop));
  if (answer.status == 401 || answer.status == 403)
    return tl::unexpected(status_error(answer.status, "its token service"));
  if (answer.status != 200) return fail(ErrorCode::io, "the token service answers with status {}", answer.status);
  return parse_token(TRY(read_whole(*answer.body, token_bytes_max)));
}

Status HttpRepository::authenticate(const FetchAnswer& answer, Access access, const std::stop_token& stop) {
  for (const Challenge& challenge : parse_challenges(answer.header("www-authenticate"))) {
    if (challenge.scheme == "basic" && !credentials_.empty()) {
      *authorization_.lock() = "Basic " + base::base64(credentials_);
      return {};
    }
    if (challenge.scheme != "bearer") continue;
    const std::string url =
        TRY(token_url(challenge, scope_ + (access == Access::push ? "pull,push" : "pull")), "{}", name_text_);
    if (url.starts_with("http://") && base_url_.starts_with("https://")) {
      return fail(ErrorCode::invalid_argument, "{}: its token service is not at an https address", name_text_);
    }
    std::string token = TRY(fetch_token(url, stop), "{}: get a token", name_text_);
    *authorization_.lock() = "Bearer " + token;
    return {};
  }
  return tl::unexpected(status_error(answer.status, ""));
}

Result<FetchAnswer> HttpRepository::ask_once(FetchRequest request, const std::stop_token& stop) {
  // An upload may go on at another place, which is not told who asks.
  std::string known = is_own_address(request.url) ? *authorization_.lock() : "";
  if (!known.empty()) request.headers.emplace_back("Authorization", std::move(known));
  return fetcher_.fetch(request, stop);
}

Result<FetchAnswer> HttpRepository::ask(FetchRequest request, const std::string& path, const std::stop_token& stop) {
  request.url = path.starts_with("http://") || path.starts_with("https://") ? path : base_url_ + path;
  using Method = FetchRequest::Method;
  const Access access = request.method == Method::get || request.method == Method::head ? Access::pull : Access::push;
  bool told = false;  // who asks, in answer to this request; a token may have been too old
  for (int tries = 1;; ++tries) {
    auto answer = ask_once(request, stop);
    const bool has_bytes = request.body_bytes > 0;  // which are gone once they were sent
    if (answer && answer->status == 401 && !told && is_own_address(request.url)) {
      TRY(authenticate(*answer, access, stop));
      if (has_bytes) return fail(ErrorCode::io, "{}: the registry wanted to know who sends {}", name_text_, path);
      told = true;
      answer = ask_once(request, stop);
    }
    if (answer && is_good(answer->status)) return answer;
    const bool passes = answer ? is_passing(answer->status) : is_passing(answer.error());
    if (has_bytes || !passes || tries >= options_.tries) {
      if (!answer) return tl::unexpected(base::add_context(std::move(answer).error(), name_text_));
      return tl::unexpected(status_error(answer->status, path));
    }
    TRY(pause(tries, answer ? answer->header("retry-after") : "", stop));
  }
}

Result<FetchAnswer> HttpRepository::get(FetchRequest request, const std::string& path, const std::stop_token& stop) {
  const bool wants_part = std::any_of(request.headers.begin(), request.headers.end(),
                                      [](const auto& header) { return header.first == "Range"; });
  FetchAnswer answer = TRY(ask(std::move(request), path, stop));
  if (answer.status == 200 || (answer.status == 206 && wants_part)) return answer;
  return tl::unexpected(status_error(answer.status, path));
}

Result<BlobDigest> HttpRepository::resolve(const std::string& tag, std::stop_token stop) {
  const std::string path = "manifests/" + tag;
  FetchRequest request{.url = {}, .method = FetchRequest::Method::head, .headers = {{"Accept", manifest_types}}};
  const FetchAnswer answer = TRY(get(request, path, stop));
  if (auto digest = BlobDigest::parse(answer.header("docker-content-digest"))) return *digest;
  // It does not say, so its bytes have to.
  request.method = FetchRequest::Method::get;
  const FetchAnswer whole = TRY(get(request, path, stop));
  return base::digest_of<BlobDigest>(TRY(read_whole(*whole.body, 4 << 20), "{}: read {}", name_text_, path));
}

Result<std::string> HttpRepository::read(Document kind, const BlobDigest& digest, std::size_t size_max,
                                         std::stop_token stop) {
  const std::string path = (kind == Document::manifest ? "manifests/" : "blobs/") + digest.str();
  FetchRequest request{.url = {}, .headers = {}};
  if (kind == Document::manifest) request.headers.emplace_back("Accept", manifest_types);
  for (int tries = 1;; ++tries) {
    const FetchAnswer answer = TRY(get(request, path, stop));
    auto bytes = read_whole(*answer.body, size_max);
    if (bytes) {
      const auto actual = base::digest_of<BlobDigest>(*bytes);
      if (actual == digest) return bytes;
      return fail(ErrorCode::corrupt, "{}: {} holds other bytes: {}", name_text_, path, actual);
    }
    if (!is_passing(bytes.error()) || tries >= options_.tries) {
      return tl::unexpected(base::add_context(std::move(bytes).error(), fmt::format("{}: read {}", name_text_, path)));
    }
    TRY(pause(tries, "", stop));
  }
}

Result<cache::Repository::Tagged> HttpRepository::read_tag(const std::string& tag, std::size_t size_max,
                                                           std::stop_token stop) {
  const std::string path = "manifests/" + tag;
  const FetchAnswer answer = TRY(get({.url = {}, .headers = {{"Accept", manifest_types}}}, path, stop));
  Tagged tagged;
  tagged.bytes = TRY(read_whole(*answer.body, size_max), "{}: read {}", name_text_, path);
  tagged.digest = base::digest_of<BlobDigest>(tagged.bytes);
  if (tag.starts_with("sha256:") && tagged.digest.str() != tag)
    return fail(ErrorCode::corrupt, "{}: {} holds other bytes: {}", name_text_, path, tagged.digest);
  return tagged;
}

Result<std::unique_ptr<base::ByteSource>> HttpRepository::open_blob(const BlobDigest& digest,
                                                                    std::optional<std::uint64_t> size,
                                                                    std::stop_token stop) {
  auto body = std::make_unique<BlobBody>(*this, digest, size, std::move(stop));
  TRY(body->open());
  return body;
}

namespace {

class HttpRegistries final : public cache::Registries {
 public:
  HttpRegistries(cache::Fetcher& fetcher, RegistryOptions options) : fetcher_(fetcher), options_(options) {}
  std::shared_ptr<cache::Repository> open(const cache::RepositoryName& name, const std::string& credentials) override {
    return std::make_shared<HttpRepository>(fetcher_, options_, name, credentials);
  }

 private:
  cache::Fetcher& fetcher_;
  const RegistryOptions options_;
};

}  // namespace

std::unique_ptr<cache::Registries> make_registries(cache::Fetcher& fetcher, RegistryOptions options) {
  return std::make_unique<HttpRegistries>(fetcher, options);
}

}  // namespace cairn::remote

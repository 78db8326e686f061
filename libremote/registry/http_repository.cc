// SPDX-License-Identifier: Apache-2.0
#include "libremote/registry/http_repository.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "libbase/base64.h"
#include "libbase/hash/sha256.h"
#include "libremote/bodies/bodies.h"
#include "libremote/registry/blob_body.h"
#include "libremote/registry/challenge.h"
#include "libremote/registry/mirrors.h"
#include "libremote/registry/retry_after.h"
#include "libremote/registry/routes.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using cache::FetchAnswer;
using cache::FetchRequest;

namespace {

constexpr std::size_t token_bytes_max = 1 << 20;
constexpr int mirror_tries = 2;
constexpr const char* manifest_types =
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

bool is_good(int status) { return status >= 200 && status <= 299; }
bool is_passing(int status) { return status == 429 || (status >= 500 && status <= 599); }
// What may be otherwise the next time: no connection, a break, a stall.
bool is_passing(const base::Error& error) { return error.code == ErrorCode::io || error.code == ErrorCode::corrupt; }

}  // namespace

std::string origin_of(std::string_view url) {
  const std::size_t host = url.find("://");
  return std::string(url.substr(0, host == url.npos ? 0 : url.find('/', host + 3)));
}

bool HttpRepository::is_own_address(const std::string& url) const { return origin_of(url) == origin_of(base_url_); }

HttpRepository::HttpRepository(cache::Fetcher& fetcher, RegistryOptions options, const cache::RepositoryName& name,
                               const std::string& origin, const std::string& credentials)
    : fetcher_(fetcher),
      options_(std::move(options)),
      name_text_(name.text()),
      base_url_(origin + "/v2/" + name.path + "/"),
      scope_("repository:" + name.path + ":"),
      credentials_(parse_credentials(credentials)) {}

base::Error HttpRepository::status_error(int status, const std::string& path) const {
  if (status == 404) return fail(ErrorCode::not_found, "{}: the registry has no {}", name_text_, path).value();
  if (status == 401 || status == 403) return refused(status);
  return fail(ErrorCode::io, "{}: the registry answers {} with status {}", name_text_, path, status).value();
}

base::Error HttpRepository::refused(int status) const {
  const bool has_none = credentials_.kind == Credentials::Kind::none;
  const std::string whose = has_none                     ? "who gives no credentials"
                            : credentials_.from.empty() ? "the credentials"
                                                        : "the credentials of " + credentials_.from;
  auto error = fail(ErrorCode::unavailable, "{}: the registry refuses {} (status {})", name_text_, whose, status).value();
  const std::string host = name_text_.substr(0, name_text_.find('/'));
  error.hint = fmt::format("give the secret REGISTRY_AUTH_{}, which is USER:PASSWORD, or log in: docker login {}", host, host);
  if (has_none && !credentials_.from.empty()) error.hint = credentials_.from + "; " + error.hint;
  return error;
}

Status HttpRepository::pause(int tries, std::optional<std::chrono::seconds> asked, const std::stop_token& stop) const {
  auto length = std::min(options_.pause * (1 << std::min(tries - 1, 16)), options_.pause_max);
  if (asked) length = std::min<std::chrono::milliseconds>(*asked, options_.asked_pause_max);
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, length, [] { return false; });
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, "{}: cancelled", name_text_);
  return {};
}

struct HttpRepository::TokenQuestion {
  const Challenge& challenge;
  std::string scope;
};

Result<FetchAnswer> HttpRepository::ask_token_service(const TokenQuestion& question, const std::stop_token& stop) {
  if (credentials_.kind == Credentials::Kind::identity_token) {
    TokenRequest form = TRY(refresh_request(question.challenge, question.scope, credentials_.secret));
    StringBody body(form.body);
    FetchRequest request{.url = form.url,
                         .method = FetchRequest::Method::post,
                         .headers = {{"Content-Type", "application/x-www-form-urlencoded"}},
                         .body = &body,
                         .body_bytes = form.body.size()};
    return fetcher_.fetch(request, stop);
  }
  FetchRequest request{.url = TRY(token_url(question.challenge, question.scope)), .headers = {}};
  if (credentials_.kind == Credentials::Kind::password)
    request.headers.emplace_back("Authorization", "Basic " + base::base64(credentials_.basic()));
  return fetcher_.fetch(request, stop);
}

Result<std::string> HttpRepository::fetch_token(const TokenQuestion& question, const std::stop_token& stop) {
  const FetchAnswer answer = TRY(ask_token_service(question, stop));
  // An identity token that is none any more is a wrong request there (RFC 6749, 5.2).
  const bool has_identity = credentials_.kind == Credentials::Kind::identity_token;
  if (answer.status == 401 || answer.status == 403 || (has_identity && answer.status == 400))
    return tl::unexpected(refused(answer.status));
  if (answer.status != 200) return fail(ErrorCode::io, "the token service answers with status {}", answer.status);
  return parse_token(TRY(read_whole(*answer.body, token_bytes_max)));
}

Status HttpRepository::authenticate(const FetchAnswer& answer, Access access, const std::stop_token& stop) {
  for (const Challenge& challenge : parse_challenges(answer.header("www-authenticate"))) {
    using Kind = Credentials::Kind;
    if (challenge.scheme == "basic" && credentials_.kind == Kind::password) {
      *authorization_.lock() = "Basic " + base::base64(credentials_.basic());
      return {};
    }
    if (challenge.scheme != "bearer") continue;
    if (credentials_.kind == Kind::registry_token) {
      *authorization_.lock() = "Bearer " + credentials_.secret;
      return {};
    }
    const TokenQuestion question{challenge, scope_ + (access == Access::push ? "pull,push" : "pull")};
    const std::string realm = TRY(token_realm(challenge), "{}", name_text_);
    if (realm.starts_with("http://") && base_url_.starts_with("https://")) {
      return fail(ErrorCode::invalid_argument, "{}: its token service is not at an https address", name_text_);
    }
    std::string token = TRY(fetch_token(question, stop), "{}: get a token", name_text_);
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
    const auto asked = answer ? retry_after(*answer, std::chrono::system_clock::now()) : std::nullopt;
    TRY(pause(tries, asked, stop));
  }
}

Result<FetchAnswer> HttpRepository::get(FetchRequest request, const std::string& path, const std::stop_token& stop) {
  const bool wants_part = std::any_of(request.headers.begin(), request.headers.end(),
                                      [](const auto& header) { return header.first == "Range"; });
  FetchAnswer answer = TRY(ask(std::move(request), path, stop));
  if (answer.status == 200 || (answer.status == 206 && wants_part)) return answer;
  return tl::unexpected(status_error(answer.status, path));
}

std::optional<std::chrono::steady_clock::time_point> HttpRepository::document_deadline() const {
  if (!options_.document_time) return std::nullopt;
  return std::chrono::steady_clock::now() + *options_.document_time;
}

Result<BlobDigest> HttpRepository::resolve(const std::string& tag, std::stop_token stop) {
  const std::string path = "manifests/" + tag;
  FetchRequest request{.url = {}, .method = FetchRequest::Method::head, .headers = {{"Accept", manifest_types}}};
  request.deadline = document_deadline();
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
    request.deadline = document_deadline();
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
    TRY(pause(tries, std::nullopt, stop));
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
  return open_blob_from(0, digest, size, std::move(stop));
}

Result<std::unique_ptr<base::ByteSource>> HttpRepository::open_blob_from(std::uint64_t offset, const BlobDigest& digest,
                                                                         std::optional<std::uint64_t> size,
                                                                         std::stop_token stop) {
  auto body = std::make_unique<BlobBody>(*this, digest, size, std::move(stop), offset);
  TRY(body->open());
  return body;
}

namespace {

class HttpRegistries final : public cache::Registries {
 public:
  HttpRegistries(cache::Fetcher& fetcher, RegistryOptions options) : fetcher_(fetcher), options_(options) {}
  std::shared_ptr<cache::Repository> open(const cache::RepositoryName& name, const std::string& credentials) override {
    const auto route = options_.routes.find(name.host);
    const bool is_plain = route == options_.routes.end();
    const std::string origin = registry_url(name.host, is_plain ? RegistryRoute::Scheme::usual : route->second.scheme);
    auto own = std::make_unique<HttpRepository>(fetcher_, options_, name, origin, own_credentials(credentials));
    if (is_plain || route->second.mirrors.empty()) return own;
    std::vector<MirroredRepository::Mirror> mirrors;
    for (const RegistryRoute::Mirror& mirror : route->second.mirrors) {
      mirrors.push_back(open_mirror(mirror, name, mirror_credentials(credentials, mirror.host)));
    }
    return std::make_shared<MirroredRepository>(std::move(own), std::move(mirrors));
  }

 private:
  MirroredRepository::Mirror open_mirror(const RegistryRoute::Mirror& mirror, const cache::RepositoryName& name,
                                         const std::string& credentials) {
    RegistryOptions options = options_;
    options.tries = std::min(options.tries, mirror_tries);
    options.document_time = options.mirror_answer;
    const cache::RepositoryName there{mirror.host, mirror.path.empty() ? name.path : mirror.path + "/" + name.path};
    const std::string origin = registry_url(mirror.host, mirror.scheme);
    return {std::make_unique<HttpRepository>(fetcher_, options, there, origin, credentials), rest_of(origin)};
  }
  std::shared_ptr<Rest> rest_of(const std::string& origin) {
    auto rests = rests_.lock();
    std::shared_ptr<Rest>& rest = (*rests)[origin];
    if (!rest) rest = std::make_shared<Rest>();
    return rest;
  }

  cache::Fetcher& fetcher_;
  const RegistryOptions options_;
  base::Guarded<std::map<std::string, std::shared_ptr<Rest>>> rests_;  // by the mirror's address
};

}  // namespace

std::unique_ptr<cache::Registries> make_registries(cache::Fetcher& fetcher, RegistryOptions options) {
  return std::make_unique<HttpRegistries>(fetcher, options);
}

}  // namespace cairn::remote

// SPDX-License-Identifier: Apache-2.0
// Redirects are followed here, not by curl: so each is judged, circles are seen for what they are, and no secret goes
// to another origin than it was given for.
#include "libremote/http_fetcher.h"

#include <stdlib.h>

#include <algorithm>
#include <set>

#include "libremote/http/transfer.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using cache::FetchAnswer;
using cache::FetchRequest;
using cache::url_without_secrets;

class Body final : public base::ByteSource {
 public:
  explicit Body(std::unique_ptr<Transfer> transfer) : transfer_(std::move(transfer)) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    if (failed_) return tl::unexpected(*failed_);
    auto count = transfer_->read(out);
    if (!count) failed_ = count.error();
    return count;
  }

 private:
  std::unique_ptr<Transfer> transfer_;
  std::optional<base::Error> failed_;
};

class Url {
 public:
  Url() : handle_(curl_url()) { CHECK(handle_ != nullptr, "curl gives no handle"); }
  ~Url() { curl_url_cleanup(handle_); }
  Url(const Url&) = delete;
  Url& operator=(const Url&) = delete;

  // Relative to what was set before, if anything was.
  base::Status set(const std::string& url) {
    const CURLUcode code = curl_url_set(handle_, CURLUPART_URL, url.c_str(), CURLU_URLENCODE);
    if (code == CURLUE_OK) return {};
    return fail(ErrorCode::invalid_argument, "\"{}\": {}", url_without_secrets(url), curl_url_strerror(code));
  }
  std::string get(CURLUPart part, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(handle_, part, &text, flags) != CURLUE_OK) return {};
    std::string copy(text);
    curl_free(text);
    return copy;
  }
  std::string origin() const {
    return get(CURLUPART_SCHEME) + "://" + get(CURLUPART_HOST) + ":" + get(CURLUPART_PORT, CURLU_DEFAULT_PORT);
  }

 private:
  CURLU* handle_;
};

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_secret(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower == "authorization" || lower == "cookie" || lower == "proxy-authorization";
}

// What a secret of a file ends in would begin another header.
bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 && c != '\t'; });
}

class HttpFetcher final : public cache::Fetcher {
 public:
  explicit HttpFetcher(HttpOptions options) : options_(std::move(options)) {
    static const CURLcode begun = curl_global_init(CURL_GLOBAL_DEFAULT);
    CHECK(begun == CURLE_OK, "curl does not begin: {}", curl_easy_strerror(begun));
  }

  Result<FetchAnswer> fetch(const FetchRequest& asked, std::stop_token stop) override {
    FetchRequest request = asked;
    Url url;
    for (const auto& [name, value] : asked.headers) {
      if (has_control(name) || has_control(value)) {
        return fail(ErrorCode::invalid_argument, "fetch {}: the header {} has control characters",
                    url_without_secrets(asked.url), name);
      }
    }
    TRY(url.set(request.url), "fetch");
    const bool follows = asked.redirects == FetchRequest::Redirects::follow && !sends_body(asked.method);
    CHECK(asked.body != nullptr || asked.body_bytes == 0, "bytes to send from nowhere");
    const std::string origin = url.origin();
    std::set<std::string> seen;
    while (true) {
      request.url = url.get(CURLUPART_URL);
      TRY(check(url, asked, seen, request.url));
      auto transfer = std::make_unique<Transfer>(pool_, options_, request, stop);
      TRY(transfer->receive_headers());
      const auto location = transfer->headers().find("location");
      if (!follows || !is_redirect(transfer->status()) || location == transfer->headers().end()) {
        return answer(std::move(request.url), std::move(transfer));
      }
      TRY(url.set(location->second), "fetch {}: it redirects to", url_without_secrets(asked.url));
      if (url.origin() != origin) {
        std::erase_if(request.headers, [](const auto& header) { return is_secret(header.first); });
      }
    }
  }

 private:
  base::Status check(const Url& url, const FetchRequest& asked, std::set<std::string>& seen,
                     const std::string& next) const {
    const auto bad = [&](std::string_view why) {
      return fail(ErrorCode::invalid_argument, "fetch {}: {} {}", url_without_secrets(asked.url), why,
                  url_without_secrets(next));
    };
    const std::string scheme = url.get(CURLUPART_SCHEME);
    if (scheme != "http" && scheme != "https") return bad("not an HTTP address:");
    if (!seen.insert(next).second) return bad("it redirects in a circle, back to");
    if (seen.size() > options_.redirects_max + 1)
      return bad(fmt::format("it redirects more than {} times, at last to", options_.redirects_max));
    return {};
  }

  static FetchAnswer answer(std::string url, std::unique_ptr<Transfer> transfer) {
    FetchAnswer answer;
    answer.status = transfer->status();
    answer.url = std::move(url);
    answer.headers = transfer->headers();
    answer.size = transfer->size();
    answer.body = std::make_unique<Body>(std::move(transfer));
    return answer;
  }

  HttpOptions options_;
  MultiPool pool_;
};

}  // namespace

HttpOptions http_options_of_environment() {
  HttpOptions options;
  if (const char* file = ::getenv("SSL_CERT_FILE"); file != nullptr) options.ca_file = file;
  return options;
}

std::unique_ptr<cache::Fetcher> make_http_fetcher(HttpOptions options) {
  return std::make_unique<HttpFetcher>(std::move(options));
}

}  // namespace cairn::remote

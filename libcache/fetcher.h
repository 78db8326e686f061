// SPDX-License-Identifier: Apache-2.0
// Bytes from elsewhere over HTTP, and to there: the seam between who wants that (sources, tiers) and the network
// library, which only libremote knows. One answer is one request that was followed through redirects; what it means is
// for the caller.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbase/compress/decoder.h"
#include "libbase/result.h"

namespace cairn::cache {

struct FetchRequest {
  enum class Method { get, head, put, post, patch };
  enum class Redirects { follow, answer };  // answer: a redirect is an answer as any other
  std::string url;                          // http:// or https://
  Method method = Method::get;
  // In this order. Authorization and cookies are sent to the origin of `url` only, never to where it redirects.
  std::vector<std::pair<std::string, std::string>> headers = {};
  // What `put`, `post` and `patch` send: so many bytes, read once, on the thread of fetch(), while it runs. So they
  // follow no redirects.
  base::ByteSource* body = nullptr;
  std::uint64_t body_bytes = 0;
  Redirects redirects = Redirects::follow;
  // When all of it has to be over, reads of the answer's body as well.
  std::optional<std::chrono::steady_clock::time_point> deadline = std::nullopt;
};

struct FetchAnswer {
  int status = 0;                              // of the last response; 304 and 4xx are answers, not errors
  std::string url;                             // which answered
  std::map<std::string, std::string> headers;  // names in lower case; values of one name are joined by ", "
  std::optional<std::uint64_t> size;           // of the body, if it was said before
  // The body as it arrives; nothing is read ahead of more than 256 KiB. Errors: corrupt (it ends before its size), and
  // those of fetch(). Not thread-safe; may outlive the fetcher's other answers, not the fetcher.
  std::unique_ptr<base::ByteSource> body;

  // "" if there is none.
  const std::string& header(const std::string& name_in_lower_case) const;
};

// Thread-safe.
class Fetcher {
 public:
  virtual ~Fetcher() = default;
  // Returns when the headers of the answer are there. A stop request ends this and every read of the body. Errors:
  // invalid_argument (a URL that is none; redirects that lead in a circle, elsewhere than to HTTP, or too far; headers
  // beyond their limit), io (no connection, no trust in its certificate, a server that sends or takes nothing or next
  // to nothing for too long, the deadline, an answer that is not HTTP), cancelled, corrupt (the body to send has fewer
  // bytes than was said), and those of reading it. Messages name the URL without what it has of a password.
  virtual base::Result<FetchAnswer> fetch(const FetchRequest& request, std::stop_token stop) = 0;
};

// A URL for messages: user and password are left out.
std::string url_without_secrets(std::string_view url);

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
#include "libremote/registry/challenge.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

bool is_token_char(char c) {
  const auto u = static_cast<unsigned char>(c);
  return u > 0x20 && u < 0x7f && std::string_view("()<>@,;:\\\"/[]?={}").find(c) == std::string_view::npos;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return out;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}
  void skip(std::string_view chars) { rest_.remove_prefix(std::min(rest_.find_first_not_of(chars), rest_.size())); }
  std::string token() {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_token_char);
    return take(static_cast<std::size_t>(end - rest_.begin()));
  }
  bool take_char(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // A token or a quoted string.
  std::string value() {
    if (!take_char('"')) return token();
    std::string out;
    while (!rest_.empty() && !take_char('"')) {
      if (rest_.front() == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
      out += rest_.front();
      rest_.remove_prefix(1);
    }
    return out;
  }
  bool is_at_end() const { return rest_.empty(); }

 private:
  std::string take(std::size_t count) {
    std::string out(rest_.substr(0, count));
    rest_.remove_prefix(count);
    return out;
  }
  std::string_view rest_;
};

std::string url_encoded(std::string_view text) {
  std::string out;
  for (const unsigned char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';
    out += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
  }
  return out;
}

std::string service_and_scope(const Challenge& challenge, std::string_view scope) {
  std::string form;
  if (const auto service = challenge.parameters.find("service"); service != challenge.parameters.end())
    form = "service=" + url_encoded(service->second) + "&";
  return form + "scope=" + url_encoded(scope);
}

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view header) {
  std::vector<Challenge> challenges;
  Reader reader(header);
  while (true) {
    reader.skip(" \t,");
    if (reader.is_at_end()) break;
    const std::string word = reader.token();
    if (word.empty()) break;
    reader.skip(" \t");
    // A word and "=" is a parameter of the scheme before; a word alone begins another scheme.
    if (!reader.take_char('=')) {
      challenges.push_back({lower(word), {}});
      continue;
    }
    reader.skip(" \t");
    if (challenges.empty()) break;
    challenges.back().parameters.emplace(lower(word), reader.value());
  }
  return challenges;
}

Result<std::string> token_realm(const Challenge& challenge) {
  const auto realm = challenge.parameters.find("realm");
  if (realm == challenge.parameters.end()) return fail(ErrorCode::invalid_argument, "its challenge names no token service");
  const std::string& url = realm->second;
  if (!url.starts_with("https://") && !url.starts_with("http://")) {
    return fail(ErrorCode::invalid_argument, "its token service is not at an HTTP address: \"{}\"", url.substr(0, 200));
  }
  return url;
}

Result<std::string> token_url(const Challenge& challenge, std::string_view scope) {
  const std::string url = TRY(token_realm(challenge));
  return url + (url.find('?') == std::string::npos ? '?' : '&') + service_and_scope(challenge, scope);
}

Result<TokenRequest> refresh_request(const Challenge& challenge, std::string_view scope,
                                     std::string_view identity_token) {
  return TokenRequest{TRY(token_realm(challenge)),
                      "grant_type=refresh_token&client_id=cairn&" + service_and_scope(challenge, scope) +
                          "&refresh_token=" + url_encoded(identity_token)};
}

Result<std::string> parse_token(std::string_view json) {
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  for (const char* name : {"token", "access_token"}) {
    if (!parsed.is_object() || !parsed.contains(name) || !parsed[name].is_string()) continue;
    std::string token = parsed[name].get<std::string>();
    const bool printable = std::all_of(token.begin(), token.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
    if (!token.empty() && printable) return token;
  }
  return fail(ErrorCode::corrupt, "the token service gives no token");
}

}  // namespace cairn::remote

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>

#include "libbase/base64.h"
#include "libbase/hash/secrets.h"
#include "libbase/hash/sha256.h"
#include "libserve/access.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;

namespace {

constexpr unsigned password_cost = 14;  // of scrypt: 16 MiB
constexpr std::size_t salt_bytes = 16, salt_digits_max = 128;
constexpr std::string_view scrypt_word = "scrypt:";

std::string hex_of(std::string_view bytes) {
  return base::to_hex({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

bool is_hex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

SecretHash SecretHash::of_token(std::string_view token) {
  SecretHash hash;
  hash.bytes_ = base::sha256(token);
  return hash;
}

Result<SecretHash> SecretHash::of_password(std::string_view password) {
  SecretHash hash;
  hash.cost_ = password_cost;
  hash.salt_ = hex_of(base::random_bytes(salt_bytes));
  hash.bytes_ = TRY(base::scrypt(password, hash.salt_, hash.cost_));
  return hash;
}

Result<SecretHash> SecretHash::parse(std::string_view text) {
  SecretHash hash;
  if (!text.starts_with(scrypt_word)) {
    const auto bytes = base::parse_sha256(text);
    if (!bytes) return base::fail(ErrorCode::invalid_argument, "want sha256:HEX or scrypt:COST:SALT:HEX");
    hash.bytes_ = *bytes;
    return hash;
  }
  text.remove_prefix(scrypt_word.size());
  const std::size_t first = text.find(':'), second = text.find(':', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos)
    return base::fail(ErrorCode::invalid_argument, "want scrypt:COST:SALT:HEX");
  const std::string_view cost = text.substr(0, first);
  const auto [end, error] = std::from_chars(cost.data(), cost.data() + cost.size(), hash.cost_);
  const bool is_cost = error == std::errc() && end == cost.data() + cost.size() &&
                       hash.cost_ >= base::scrypt_cost_min && hash.cost_ <= base::scrypt_cost_max;
  if (!is_cost)
    return base::fail(ErrorCode::invalid_argument, "a cost of scrypt is {} to {}", base::scrypt_cost_min,
                      base::scrypt_cost_max);
  hash.salt_ = std::string(text.substr(first + 1, second - first - 1));
  if (!is_hex(hash.salt_) || hash.salt_.size() > salt_digits_max)
    return base::fail(ErrorCode::invalid_argument, "a salt is up to {} small hex digits", salt_digits_max);
  const auto bytes = base::parse_sha256(fmt::format("sha256:{}", text.substr(second + 1)));
  if (!bytes) return base::fail(ErrorCode::invalid_argument, "behind the salt there are 64 small hex digits");
  hash.bytes_ = *bytes;
  return hash;
}

std::string SecretHash::str() const {
  const std::string hex = base::to_hex(bytes_);
  return cost_ == 0 ? "sha256:" + hex : fmt::format("scrypt:{}:{}:{}", cost_, salt_, hex);
}

Result<bool> SecretHash::is_of(std::string_view secret) const {
  const base::Sha256Bytes shown = cost_ == 0 ? base::sha256(secret) : TRY(base::scrypt(secret, salt_, cost_));
  return base::same_secret(shown, bytes_);
}

// Letters that need no escape in an URL, a shell or a header.
std::string new_token() {
  std::string text = base::base64(base::random_bytes(32));
  while (text.ends_with('=')) text.pop_back();
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return "cairn_" + text;
}

std::string basic_authorization(std::string_view user, std::string_view password) {
  return "Basic " + base::base64(fmt::format("{}:{}", user, password));
}

}  // namespace cairn::serve

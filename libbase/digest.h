// SPDX-License-Identifier: Apache-2.0
// A SHA-256 with a meaning. There is no conversion between two meanings: a blob's digest cannot be passed where
// the digest of a tree is wanted. The text form is the OCI one, "sha256:" and 64 lower-case hex digits.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::base {

using Sha256Bytes = std::array<std::uint8_t, 32>;

// Parses "sha256:<64 lower-case hex>". Errors: invalid_argument.
Result<Sha256Bytes> parse_sha256(std::string_view text);
std::string to_hex(std::span<const std::uint8_t> bytes);

template <class Meaning>
class Digest {
 public:
  Digest() = default;  // all zero: equal to no digest of anything
  explicit Digest(const Sha256Bytes& bytes) : bytes_(bytes) {}

  static Result<Digest> parse(std::string_view text) { return Digest(TRY(parse_sha256(text))); }
  // From 32 raw bytes, as stored in a table. Errors: corrupt (another length).
  static Result<Digest> from_raw(std::string_view raw) {
    Digest digest;
    if (raw.size() != digest.bytes_.size()) return fail(ErrorCode::corrupt, "digest of {} bytes", raw.size());
    std::memcpy(digest.bytes_.data(), raw.data(), raw.size());
    return digest;
  }

  const Sha256Bytes& bytes() const { return bytes_; }
  std::string_view raw() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  std::string hex() const { return to_hex(bytes_); }
  std::string str() const { return "sha256:" + hex(); }
  bool is_zero() const { return bytes_ == Sha256Bytes{}; }

  auto operator<=>(const Digest&) const = default;

 private:
  Sha256Bytes bytes_{};
};

}  // namespace cairn::base

template <class Meaning>
struct std::hash<cairn::base::Digest<Meaning>> {
  // The bytes are uniform already (SHA-256), so eight of them are a good hash.
  std::size_t operator()(const cairn::base::Digest<Meaning>& digest) const noexcept {
    std::size_t value;
    std::memcpy(&value, digest.bytes().data(), sizeof value);
    return value;
  }
};

template <class Meaning>
struct fmt::formatter<cairn::base::Digest<Meaning>> : fmt::formatter<std::string> {
  template <class Context>
  auto format(const cairn::base::Digest<Meaning>& digest, Context& context) const {
    return fmt::formatter<std::string>::format(digest.str(), context);
  }
};

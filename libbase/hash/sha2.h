// SPDX-License-Identifier: Apache-2.0
// The other SHA-2 hashes, for what comes from outside with a checksum of its own. What Cairn names itself it names by SHA-256
// (sha256.h), which costs less to begin.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cairn::base {

enum class Sha2 { sha256, sha384, sha512 };
std::string_view to_string(Sha2 algorithm);  // "sha256"

// "sha512:<hex>" in its parts; nullopt: it is none of these.
struct Sha2Text {
  Sha2 algorithm;
  std::string_view hex;
};
std::optional<Sha2Text> parse_sha2(std::string_view text);

// A running hash. Not thread-safe.
class Sha2Hash {
 public:
  explicit Sha2Hash(Sha2 algorithm);
  ~Sha2Hash();
  Sha2Hash(Sha2Hash&&) noexcept;
  Sha2Hash& operator=(Sha2Hash&&) noexcept;
  void update(std::span<const std::byte> bytes);
  std::string finish();  // "sha512:<hex>", of all updates; once

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace cairn::base

// SPDX-License-Identifier: Apache-2.0
#include "libbase/hash/sha2.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "libbase/digest.h"
#include "libbase/result.h"

namespace cairn::base {

struct Sha2Hash::Context {
  Sha2 algorithm;
  EVP_MD_CTX* evp;
  ~Context() { EVP_MD_CTX_free(evp); }
};

std::string_view to_string(Sha2 algorithm) {
  switch (algorithm) {
    case Sha2::sha256: return "sha256";
    case Sha2::sha384: return "sha384";
    case Sha2::sha512: return "sha512";
  }
  return "unknown";
}

std::optional<Sha2Text> parse_sha2(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == text.npos) return std::nullopt;
  const std::string_view hex = text.substr(colon + 1);
  if (hex.find_first_not_of("0123456789abcdef") != hex.npos) return std::nullopt;
  for (const auto& [algorithm, size] : {std::pair(Sha2::sha256, 64u), std::pair(Sha2::sha384, 96u), std::pair(Sha2::sha512, 128u)}) {
    if (text.substr(0, colon) == to_string(algorithm) && hex.size() == size) return Sha2Text{algorithm, hex};
  }
  return std::nullopt;
}

Sha2Hash::Sha2Hash(Sha2 algorithm) : context_(new Context{algorithm, EVP_MD_CTX_new()}) {
  const EVP_MD* type = algorithm == Sha2::sha256 ? EVP_sha256() : algorithm == Sha2::sha384 ? EVP_sha384() : EVP_sha512();
  CHECK(context_->evp != nullptr && EVP_DigestInit_ex2(context_->evp, type, nullptr) == 1, "OpenSSL cannot start {}", to_string(algorithm));
}
Sha2Hash::~Sha2Hash() = default;
Sha2Hash::Sha2Hash(Sha2Hash&&) noexcept = default;
Sha2Hash& Sha2Hash::operator=(Sha2Hash&&) noexcept = default;

void Sha2Hash::update(std::span<const std::byte> bytes) {
  CHECK(EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) == 1, "OpenSSL cannot hash");
}

std::string Sha2Hash::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
  unsigned size = 0;
  CHECK(EVP_DigestFinal_ex(context_->evp, bytes.data(), &size) == 1, "OpenSSL cannot end a hash");
  std::string text = fmt::format("{}:", to_string(context_->algorithm));
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

}  // namespace cairn::base

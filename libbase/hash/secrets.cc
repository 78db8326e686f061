// SPDX-License-Identifier: Apache-2.0
#include "libbase/hash/secrets.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <cerrno>

#include "libbase/hash/sha256.h"

namespace cairn::base {

namespace {

constexpr std::size_t hmac_block_bytes = 64;

std::string_view raw(const Sha256Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace

Sha256Bytes hmac_sha256(std::string_view key, std::string_view message) {
  const Sha256Bytes short_key = sha256(key);
  std::string block(key.size() > hmac_block_bytes ? raw(short_key) : key);
  block.resize(hmac_block_bytes, '\0');
  std::string inner = block, outer = block;
  for (char& c : inner) c = static_cast<char>(c ^ 0x36);
  for (char& c : outer) c = static_cast<char>(c ^ 0x5c);
  Sha256 hash;
  const Sha256Bytes of_inner = hash.update(inner).update(message).finish();
  return hash.update(outer).update(raw(of_inner)).finish();
}

Result<Sha256Bytes> scrypt(std::string_view password, std::string_view salt, unsigned cost) {
  if (cost < scrypt_cost_min || cost > scrypt_cost_max)
    return fail(ErrorCode::invalid_argument, "a cost of {}: {} to {} are taken", cost, scrypt_cost_min,
                scrypt_cost_max);
  Sha256Bytes key{};
  const std::uint64_t n = std::uint64_t{1} << cost, memory_max = (n + 64) * 1024 + (1 << 20);
  const int done = EVP_PBE_scrypt(password.data(), password.size(), reinterpret_cast<const unsigned char*>(salt.data()),
                                  salt.size(), n, 8, 1, memory_max, key.data(), key.size());
  if (done != 1) return fail(ErrorCode::io, "scrypt with a cost of {}: there is no memory for it", cost);
  return key;
}

bool same_secret(const Sha256Bytes& a, const Sha256Bytes& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t done = 0; done < count;) {
    const ssize_t got = ::getrandom(bytes.data() + done, count - done, 0);
    CHECK(got > 0 || errno == EINTR, "the kernel gives no random bytes: {}", errno_text(errno));
    if (got > 0) done += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace cairn::base

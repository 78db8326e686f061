// SPDX-License-Identifier: Apache-2.0
#include "libbase/hash/sha256.h"

#include <openssl/evp.h>

#include <utility>

namespace cairn::base {
namespace {

// An initialised context to copy from; fetching the algorithm for each hash costs three times as much as the hash of
// something small. Never freed.
const EVP_MD_CTX* fresh_context() {
  static const EVP_MD_CTX* fresh = [] {
    EVP_MD* algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    CHECK(algorithm != nullptr && context != nullptr && EVP_DigestInit_ex2(context, algorithm, nullptr) == 1,
          "OpenSSL has no SHA-256");
    return context;
  }();
  return fresh;
}

}  // namespace

struct Sha256::Context {
  Context() {
    CHECK(handle != nullptr);
    reset();
  }
  ~Context() { EVP_MD_CTX_free(handle); }
  void reset() { CHECK(EVP_MD_CTX_copy_ex(handle, fresh_context()) == 1); }
  EVP_MD_CTX* handle = EVP_MD_CTX_new();
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::update(std::string_view bytes) {
  CHECK(EVP_DigestUpdate(context_->handle, bytes.data(), bytes.size()) == 1);
  return *this;
}

Sha256& Sha256::update(std::span<const std::byte> bytes) {
  return update(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Sha256Bytes Sha256::finish() {
  Sha256Bytes bytes{};
  unsigned size = 0;
  CHECK(EVP_DigestFinal_ex(context_->handle, bytes.data(), &size) == 1 && size == bytes.size());
  context_->reset();
  return bytes;
}

Sha256Bytes sha256(std::string_view bytes) {
  thread_local Sha256 hash;
  return hash.update(bytes).finish();
}

}  // namespace cairn::base

// SPDX-License-Identifier: Apache-2.0
// OpenSSL behind the hash door. Fetching the algorithm costs more than hashing 64 bytes, so it is done once; a new hash
// is a copy of a context that has been initialised.
#include "libbase/hash/sha256.h"

#include <openssl/evp.h>

#include "libbase/result.h"

namespace cairn::base {

namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using ContextPtr = std::unique_ptr<EVP_MD_CTX, FreeContext>;

ContextPtr make_context() {
  ContextPtr context(EVP_MD_CTX_new());
  CHECK(context != nullptr, "out of memory");
  return context;
}

const EVP_MD_CTX* initialised() {
  static const ContextPtr instance = [] {
    EVP_MD* algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    CHECK(algorithm != nullptr, "OpenSSL offers no SHA-256");
    ContextPtr context = make_context();
    CHECK(EVP_DigestInit_ex2(context.get(), algorithm, nullptr) == 1, "OpenSSL cannot start SHA-256");
    EVP_MD_free(algorithm);  // The context holds its own reference.
    return context;
  }();
  return instance.get();
}

void start(EVP_MD_CTX* context) {
  CHECK(EVP_MD_CTX_copy_ex(context, initialised()) == 1, "OpenSSL cannot copy a hash");
}

void add(EVP_MD_CTX* context, const void* bytes, std::size_t size) {
  CHECK(EVP_DigestUpdate(context, bytes, size) == 1, "OpenSSL cannot hash");
}

Sha256Bytes end(EVP_MD_CTX* context) {
  Sha256Bytes bytes;
  unsigned size = 0;
  CHECK(EVP_DigestFinal_ex(context, bytes.data(), &size) == 1 && size == bytes.size(), "OpenSSL cannot end a hash");
  return bytes;
}

}  // namespace

struct Sha256::Context {
  ContextPtr evp = make_context();
};

Sha256::Sha256() : context_(std::make_unique<Context>()) { start(context_->evp.get()); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::update(std::string_view bytes) {
  add(context_->evp.get(), bytes.data(), bytes.size());
  return *this;
}

Sha256& Sha256::update(std::span<const std::byte> bytes) {
  add(context_->evp.get(), bytes.data(), bytes.size());
  return *this;
}

Sha256Bytes Sha256::finish() {
  const Sha256Bytes bytes = end(context_->evp.get());
  start(context_->evp.get());
  return bytes;
}

Sha256Bytes sha256(std::string_view bytes) {
  thread_local const ContextPtr context = make_context();
  start(context.get());
  add(context.get(), bytes.data(), bytes.size());
  return end(context.get());
}

}  // namespace cairn::base

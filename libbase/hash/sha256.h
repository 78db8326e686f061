// SPDX-License-Identifier: Apache-2.0
// The hash door: SHA-256 through OpenSSL's EVP. The algorithm is fetched once per process and contexts are copied from
// a template, which is what makes small inputs cheap (about 8 million a second instead of 2.5).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "libbase/digest.h"

namespace cairn::base {

// A running hash. Not thread-safe; movable; reusable after finish().
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  Sha256& update(std::string_view bytes);
  Sha256& update(std::span<const std::byte> bytes);
  // The hash of all updates since construction or the last finish(); starts anew.
  Sha256Bytes finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Sha256Bytes sha256(std::string_view bytes);  // thread-safe

template <class D>
D digest_of(std::string_view bytes) {
  return D(sha256(bytes));
}

}  // namespace cairn::base

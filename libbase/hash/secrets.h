// SPDX-License-Identifier: Apache-2.0
// What is done with secrets: kept as a hash, compared without telling how much was right, made at random. None of it
// allocates more than it says.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "libbase/digest.h"
#include "libbase/result.h"

namespace cairn::base {

Sha256Bytes hmac_sha256(std::string_view key, std::string_view message);  // RFC 2104

// scrypt (RFC 7914) with r = 8 and p = 1: it takes 2^cost KiB of memory and, at 14, some 40 ms. Errors:
// invalid_argument (a cost that is not in 10 to 18), io (no memory).
Result<Sha256Bytes> scrypt(std::string_view password, std::string_view salt, unsigned cost);
inline constexpr unsigned scrypt_cost_min = 10, scrypt_cost_max = 18;

// In a time that tells nothing of either.
bool same_secret(const Sha256Bytes& a, const Sha256Bytes& b);

std::string random_bytes(std::size_t count);  // of the kernel, fit for keys

}  // namespace cairn::base

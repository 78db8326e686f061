// SPDX-License-Identifier: Apache-2.0
// Bytes as text.
#pragma once

#include <string>
#include <string_view>

namespace cairn::base {

std::string base64(std::string_view bytes);  // RFC 4648, 4: standard letters, padded

}  // namespace cairn::base

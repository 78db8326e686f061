// SPDX-License-Identifier: Apache-2.0
// Bytes as text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cairn::base {

std::string base64(std::string_view bytes);  // RFC 4648, 4: standard letters, padded
// The bytes again; nullopt: it is nothing that base64() gives.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace cairn::base

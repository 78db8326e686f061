// SPDX-License-Identifier: Apache-2.0
// Who asks, as cache::Registries::open takes it: "USER:PASSWORD", of which two users are none (docker writes the first),
// and in a second line where it is from. What its mirrors are told follows, each after a NUL: the mirror's host, a line
// break, and a text like that of the registry.
#pragma once

#include <string>
#include <string_view>

namespace cairn::remote {

inline constexpr const char* identity_token_user = "<token>";
inline constexpr const char* registry_token_user = "<registry token>";

struct Credentials {
  enum class Kind { none, password, identity_token, registry_token };
  Kind kind = Kind::none;
  std::string user;    // of a password
  std::string secret;  // the password, or the token
  std::string from;    // for messages; "": not said
  std::string basic() const { return user + ":" + secret; }
};

Credentials parse_credentials(std::string_view text);

// Of such a text what is for the registry itself, and what is for one of its mirrors; "": nothing.
std::string own_credentials(std::string_view text);
std::string mirror_credentials(std::string_view text, std::string_view mirror_host);

}  // namespace cairn::remote

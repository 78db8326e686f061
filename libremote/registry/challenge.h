// SPDX-License-Identifier: Apache-2.0
// How a registry wants to be told who asks: the header WWW-Authenticate (RFC 9110, 11.6.1), and what a token service answers.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::remote {

struct Challenge {
  std::string scheme;                             // in lower case: "basic", "bearer"
  std::map<std::string, std::string> parameters;  // names in lower case
};

// Several may be in one header. What cannot be read ends the list.
std::vector<Challenge> parse_challenges(std::string_view header);

// Where a bearer challenge's tokens are to be had. Errors: invalid_argument (no realm, or one that is not HTTP).
base::Result<std::string> token_realm(const Challenge& challenge);
// Where to ask for the token of this scope. Errors: as token_realm.
base::Result<std::string> token_url(const Challenge& challenge, std::string_view scope);
// The same for whoever has an identity token: a form to be posted (RFC 6749, 6). Errors: as token_realm.
struct TokenRequest {
  std::string url, body;
};
base::Result<TokenRequest> refresh_request(const Challenge& challenge, std::string_view scope,
                                           std::string_view identity_token);

// Errors: corrupt (not JSON, or no token that can be sent).
base::Result<std::string> parse_token(std::string_view json);

}  // namespace cairn::remote

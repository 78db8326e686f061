// SPDX-License-Identifier: Apache-2.0
#include "libremote/registry/credentials.h"

#include <algorithm>

namespace cairn::remote {

Credentials parse_credentials(std::string_view text) {
  Credentials parsed;
  const std::size_t line = std::min(text.find('\n'), text.size());
  if (line < text.size()) parsed.from = text.substr(line + 1);
  const std::string_view said = text.substr(0, line);
  if (said.empty()) return parsed;
  const std::size_t colon = std::min(said.find(':'), said.size());
  parsed.user = said.substr(0, colon);
  parsed.secret = said.substr(std::min(colon + 1, said.size()));
  using Kind = Credentials::Kind;
  parsed.kind = parsed.user == identity_token_user   ? Kind::identity_token
                : parsed.user == registry_token_user ? Kind::registry_token
                                                     : Kind::password;
  return parsed;
}

}  // namespace cairn::remote

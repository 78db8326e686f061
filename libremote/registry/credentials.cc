// SPDX-License-Identifier: Apache-2.0
#include "libremote/registry/credentials.h"

#include <algorithm>

#include "libremote/registries.h"

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

std::string own_credentials(std::string_view text) { return std::string(text.substr(0, text.find('\0'))); }

std::string mirror_credentials(std::string_view text, std::string_view mirror_host) {
  for (std::size_t end = text.find('\0'); end != text.npos; end = text.find('\0')) {
    text.remove_prefix(end + 1);
    const std::string_view part = text.substr(0, text.find('\0'));
    const std::size_t line = part.find('\n');
    if (line != part.npos && part.substr(0, line) == mirror_host) return std::string(part.substr(line + 1));
  }
  return {};
}

std::string with_mirror_credentials(std::string credentials, const std::string& mirror_host,
                                    const std::string& of_mirror) {
  if (credentials.empty()) credentials = "\n";  // none, and nothing to be said of that
  credentials += '\0';
  return credentials + mirror_host + "\n" + own_credentials(of_mirror);
}

}  // namespace cairn::remote

// SPDX-License-Identifier: Apache-2.0
#include "libsolver/registry_logins.h"

#include <algorithm>

#include "libsolver/identifier.h"
#include "libsolver/sources/blob_origins.h"

namespace cairn::solver {

std::string registry_credentials(const std::string& host, const std::map<std::string, std::string>& secrets,
                                 const RegistryLogins& logins) {
  const auto known = logins.find(host);
  const std::string login = known == logins.end() ? std::string() : known->second;
  const std::string id = "REGISTRY_AUTH_" + host;
  const auto secret = secrets.find(id);
  if (secret == secrets.end()) return login;
  const std::string text = secret->second.substr(0, secret->second.find_first_of(std::string("\r\n\0", 3)));
  if (text.empty()) return login;
  const std::size_t mirrors = std::min(login.find('\0'), login.size());  // they keep theirs
  return text + "\nthe secret " + id + login.substr(mirrors);
}

std::set<std::string> registries_of(const Definition& definition) {
  std::set<std::string> registries;
  for (const auto& vertex : definition.vertices) {
    const auto* source = std::get_if<wire::SourceOp>(&vertex->op.op);
    if (source == nullptr) continue;
    const auto identifier = parse_source_identifier(source->identifier);
    if (!identifier || (identifier->scheme != "docker-image" && identifier->scheme != "docker-image+blob")) continue;
    if (auto reference = parse_image_reference(identifier->rest)) registries.insert(std::move(reference->repository.host));
  }
  return registries;
}

}  // namespace cairn::solver

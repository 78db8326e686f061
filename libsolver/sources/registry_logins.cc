// SPDX-License-Identifier: Apache-2.0
#include "libsolver/registry_logins.h"

#include "libsolver/identifier.h"
#include "libsolver/sources/blob_origins.h"

namespace cairn::solver {

std::string registry_credentials(const std::string& host, const std::map<std::string, std::string>& secrets,
                                 const RegistryLogins& logins) {
  const std::string id = "REGISTRY_AUTH_" + host;
  if (const auto secret = secrets.find(id); secret != secrets.end()) {
    const std::string text = secret->second.substr(0, secret->second.find_first_of("\r\n"));
    if (!text.empty()) return text + "\nthe secret " + id;
  }
  const auto login = logins.find(host);
  return login == logins.end() ? std::string() : login->second;
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

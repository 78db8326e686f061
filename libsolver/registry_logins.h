// SPDX-License-Identifier: Apache-2.0
// Which registries a build talks to, and what they are told of who asks.
#pragma once

#include <map>
#include <set>
#include <string>

#include "libsolver/definition.h"

namespace cairn::solver {

// What whoever asks is logged in with, by registry ("ghcr.io", "docker.io"), as cache::Registries::open takes it. Unlike
// secrets it is for registries alone: no step and no other source sees it.
using RegistryLogins = std::map<std::string, std::string>;

// For one registry: the secret REGISTRY_AUTH_<host>, else the login; "" if there is neither.
std::string registry_credentials(const std::string& host, const std::map<std::string, std::string>& secrets,
                                 const RegistryLogins& logins);

// The registries that sources of a definition name, not those of graphs that its build steps will find.
std::set<std::string> registries_of(const Definition& definition);

}  // namespace cairn::solver

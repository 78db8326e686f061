// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/registry_logins.h"

#include <iostream>

#include "libremote/docker_config.h"
#include "tools/cachectl/command.h"

namespace cairn::cachectl {
namespace {

using base::Result;

// What is wrong with the order is said by whoever runs it.
std::set<std::string> registries_of(const engine::SolveOrder& order) {
  std::set<std::string> registries;
  std::vector<solver::SourcePolicy> policies;
  if (!order.source_policy.empty()) {
    auto policy = solver::SourcePolicy::parse(order.source_policy);
    if (policy) policies.push_back(std::move(*policy));
  }
  if (const auto definition = solver::load_definition_under(order.definition, policies))
    registries = solver::registries_of(*definition);
  const auto add = [&](const solver::CacheAddress& address) {
    if (address.type == solver::CacheAddress::Type::registry)
      registries.insert(address.place.substr(0, address.place.find('/')));
  };
  for (const solver::CacheAttributes& from : order.cache_from)
    if (const auto address = solver::parse_cache_import(from)) add(*address);
  for (const solver::CacheAttributes& to : order.cache_to)
    if (const auto address = solver::parse_cache_export(to)) add(address->to);
  return registries;
}

}  // namespace

void add_registry_logins(engine::SolveOrder& order, const std::set<std::string>& more) {
  if (order.ask_remotes == solver::RemoteUse::Ask::never) return;
  std::set<std::string> registries = registries_of(order);
  registries.insert(more.begin(), more.end());
  std::erase_if(registries, [&](const auto& each) { return order.secrets.contains("REGISTRY_AUTH_" + each); });
  if (registries.empty()) return;
  const auto warn = [](const base::Error& error) {
    std::cerr << "cachectl: warning: nobody is logged in anywhere: " << printable(error.message) << '\n';
  };
  engine::forbid_core_files();
  const auto config = remote::DockerConfig::of_environment();
  if (!config) return warn(config.error());
  for (const std::string& registry : registries) {
    auto login = config->credentials(registry);
    if (login && login->empty()) continue;
    if (!login) {
      std::cerr << fmt::format("cachectl: warning: {} is asked without credentials: {}\n", printable(registry),
                               printable(login.error().message));
      login = "\n" + login.error().message;  // said again if the registry refuses that
    }
    order.logins[registry] = std::move(*login);
  }
}

}  // namespace cairn::cachectl

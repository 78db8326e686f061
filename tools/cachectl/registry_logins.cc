// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/registry_logins.h"

#include <sys/stat.h>
#include <unistd.h>

#include <iostream>

#include "libbase/fs/fd.h"
#include "libremote/docker_config.h"
#include "libremote/registries.h"
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

// The mirrors of registries by registries.toml. What is wrong with that file is said by whoever opens the store.
remote::RegistryRoutes trusted_routes(const base::HostPath& root) {
  constexpr std::size_t file_bytes_max = 1 << 20;
  const auto file = base::open_host(root / remote::registries_file, 0);
  const auto status = file ? base::stat_fd(file->get()) : tl::unexpected(file.error());
  if (!status || (status->st_uid != 0 && status->st_uid != ::geteuid()) || (status->st_mode & 022) != 0) return {};
  const auto text = base::read_all(file->get(), file_bytes_max);
  if (!text) return {};
  return remote::parse_registries(*text, remote::registries_file).value_or(remote::RegistryRoutes());
}

// What a registry or a mirror is to be told; "" for nothing. Why that cannot be read is said now, and again if it
// refuses to be asked without.
std::string login_at(const remote::DockerConfig& config, const std::string& host) {
  auto login = config.credentials(host);
  if (login) return *login;
  std::cerr << fmt::format("cachectl: warning: {} is asked without credentials: {}\n", printable(host),
                           printable(login.error().message));
  return "\n" + login.error().message;
}

}  // namespace

void add_registry_logins(engine::SolveOrder& order, const base::HostPath& root, const std::set<std::string>& more) {
  if (order.ask_remotes == solver::RemoteUse::Ask::never) return;
  std::set<std::string> registries = registries_of(order);
  registries.insert(more.begin(), more.end());
  if (registries.empty()) return;
  const auto is_secret = [&](const std::string& host) { return order.secrets.contains("REGISTRY_AUTH_" + host); };
  const remote::RegistryRoutes routes = trusted_routes(root);
  const auto has_mirrors = [&](const std::string& host) { return routes.contains(host) && !routes.at(host).mirrors.empty(); };
  std::erase_if(registries, [&](const auto& each) { return is_secret(each) && !has_mirrors(each); });
  if (registries.empty()) return;
  engine::forbid_core_files();
  const auto config = remote::DockerConfig::of_environment();
  if (!config) {
    std::cerr << "cachectl: warning: nobody is logged in anywhere: " << printable(config.error().message) << '\n';
    return;
  }
  for (const std::string& registry : registries) {
    std::string login = is_secret(registry) ? std::string() : login_at(*config, registry);
    if (has_mirrors(registry)) {
      for (const auto& mirror : routes.at(registry).mirrors) {
        const std::string of_mirror =
            is_secret(mirror.host) ? solver::registry_credentials(mirror.host, order.secrets, {}) : login_at(*config, mirror.host);
        if (!of_mirror.empty()) login = remote::with_mirror_credentials(std::move(login), mirror.host, of_mirror);
      }
    }
    if (!login.empty()) order.logins[registry] = std::move(login);
  }
}

}  // namespace cairn::cachectl

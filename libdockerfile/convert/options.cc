// SPDX-License-Identifier: Apache-2.0
// Options as clients of BuildKit send them: texts by name (spec/solver 9.1).
#include <charconv>

#include "libdockerfile/dockerfile.h"
#include "libdockerfile/parse/arguments.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"
#include "libsolver/platform.h"

namespace cairn::dockerfile {
namespace {

using base::Result;
using base::Status;

template <class T>
Result<T> number_of(std::string_view key, std::string_view text) {
  T number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    return refuse("{}: {} is no number", key, go_quoted(text));
  return number;
}

Result<solver::wire::Ulimit> ulimit_of(std::string_view text) {
  const Cut at = cut(text, '=');
  if (!at.found) return refuse("invalid ulimit argument: {}", text);
  solver::wire::Ulimit limit;
  limit.name = at.head;
  const Cut values = cut(at.rest, ':');
  limit.soft = TRY(number_of<std::int64_t>("ulimit", values.head));
  limit.hard = values.found ? TRY(number_of<std::int64_t>("ulimit", values.rest)) : limit.soft;
  if (limit.hard != -1 && (limit.soft > limit.hard || limit.soft == -1)) {
    return refuse("ulimit soft limit must be less than or equal to hard limit: {} > {}", limit.soft, limit.hard);
  }
  return limit;
}

Result<std::pair<std::string, std::string>> host_of(std::string_view text) {
  const Cut at = cut(text, '=');
  if (!at.found || at.head.empty() || at.rest.empty()) return refuse("invalid add-hosts value {}", go_quoted(text));
  std::string_view address = at.rest;
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  return std::pair(std::string(at.head), std::string(address));
}

Status set_resource(solver::wire::LinuxResources& resources, std::string_view key, const std::string& value) {
  if (key == "memory")
    resources.memory = TRY(number_of<std::int64_t>(key, value));
  else if (key == "memswap")
    resources.memory_swap = TRY(number_of<std::int64_t>(key, value));
  else if (key == "cpushares")
    resources.cpu_shares = TRY(number_of<std::uint64_t>(key, value));
  else if (key == "cpuperiod")
    resources.cpu_period = TRY(number_of<std::uint64_t>(key, value));
  else if (key == "cpuquota")
    resources.cpu_quota = TRY(number_of<std::int64_t>(key, value));
  else if (key == "cpusetcpus")
    resources.cpuset_cpus = value;
  else
    resources.cpuset_mems = value;
  return {};
}

bool is_resource(std::string_view key) {
  for (const char* known : {"memory", "memswap", "cpushares", "cpuperiod", "cpuquota", "cpusetcpus", "cpusetmems"}) {
    if (key == known) return true;
  }
  return false;
}

// What is one text of Options as it stands.
std::string* text_option(Options& options, std::string_view key) {
  if (key == "filename") return &options.filename;
  if (key == "target") return &options.target;
  if (key == "context") return &options.context;
  if (key == "contextsubdir") return &options.context_subdir;
  if (key == "context-archive") return &options.context_archive;
  if (key == "contextkey") return &options.context_name;
  if (key == "dockerfilekey") return &options.dockerfile_name;
  if (key == "cgroup-parent") return &options.cgroup_parent;
  if (key == "hostname") return &options.hostname;
  return nullptr;
}

Status set_lists(Options& options, std::string_view key, const std::string& value) {
  if (key == "platform") {
    for (const std::string& each : split(value, ','))
      options.platforms.push_back(TRY(parse_platform(each), "failed to parse target platform {}", each));
  } else if (key == "no-cache") {
    options.no_cache.emplace();
    if (!value.empty()) options.no_cache = split(value, ',');
  } else if (key == "add-hosts") {
    for (const std::string& each : TRY(csv_fields(value))) options.extra_hosts.push_back(TRY(host_of(each)));
  } else if (key == "ulimit") {
    for (const std::string& each : TRY(csv_fields(value))) options.ulimits.push_back(TRY(ulimit_of(each)));
  }
  return {};
}

Status set_option(Options& options, const std::string& key, const std::string& value) {
  if (std::string* text = text_option(options, key)) {
    *text = value;
  } else if (key == "multi-platform") {
    if (value != "true" && value != "false" && value != "1" && value != "0")
      return refuse("invalid boolean value {}", value);
    options.multi_platform = value == "true" || value == "1";
  } else if (key == "image-resolve-mode") {
    if (value != "default" && value != "pull" && value != "local" && !value.empty())
      return refuse("invalid image-resolve-mode: {}", value);
    if (!value.empty()) options.resolve_mode = value;
  } else if (key == "force-network-mode") {
    if (value != "none" && value != "host" && value != "sandbox" && !value.empty())
      return refuse("invalid netmode {}", value);
    options.network_mode = value;
  } else if (key == "shm-size") {
    options.shm_size = TRY(number_of<std::int64_t>(key, value));
  } else if (is_resource(key)) {
    if (!options.resources) options.resources.emplace();
    TRY(set_resource(*options.resources, key, value));
  }
  return set_lists(options, key, value);
}

// What build arguments say to the front end and not to the Dockerfile.
Status set_from_arguments(Options& options) {
  const auto given = [&](const char* name) -> const std::string* {
    const auto found = options.build_args.find(name);
    return found == options.build_args.end() ? nullptr : &found->second;
  };
  if (const auto* name = given("BUILDKIT_CACHE_MOUNT_NS")) options.cache_mount_namespace = *name;
  if (const auto* name = given("BUILDKIT_SANDBOX_HOSTNAME")) options.hostname = *name;
  if (const auto* checks = given("BUILDKIT_DOCKERFILE_CHECK")) options.checks = *checks;
  if (const auto* multi = given("BUILDKIT_MULTI_PLATFORM")) options.multi_platform = *multi == "1" || *multi == "true";
  const auto* epoch = given("SOURCE_DATE_EPOCH");
  if (epoch != nullptr && !epoch->empty())
    options.epoch = TRY(number_of<std::int64_t>("invalid SOURCE_DATE_EPOCH", *epoch));
  return {};
}

}  // namespace

Result<Options> parse_options(const std::map<std::string, std::string>& given) {
  struct Group {
    std::string_view prefix;
    std::map<std::string, std::string> Options::*map;
  };
  constexpr Group groups[] = {{"build-arg:", &Options::build_args},
                              {"label:", &Options::labels},
                              {"context:", &Options::named_contexts},
                              {"local-sessionid:", &Options::session_of_local},
                              {"sharedkey:localdir:", &Options::shared_key_of_local}};
  Options options;
  options.build_platform = solver::host_platform();
  for (const auto& [key, value] : given) {
    bool is_grouped = false;
    for (const Group& group : groups) {
      if (!key.starts_with(group.prefix)) continue;
      (options.*group.map)[key.substr(group.prefix.size())] = value;
      is_grouped = true;
    }
    if (!is_grouped) TRY(set_option(options, key, value));
  }
  TRY(set_from_arguments(options));
  if (options.platforms.size() > 1) options.multi_platform = true;
  return options;
}

}  // namespace cairn::dockerfile

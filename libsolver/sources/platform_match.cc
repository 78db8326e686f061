// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/platform_match.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libsolver/platform.h"

namespace cairn::solver {
namespace {

using Machine = std::pair<std::string, std::string>;  // architecture, variant

// "v7" is 7; anything else that is not one digit after a v is 0.
int variant_number(std::string_view variant) {
  return variant.size() == 2 && variant[0] == 'v' && variant[1] >= '0' && variant[1] <= '9' ? variant[1] - '0' : 0;
}

// What serves the wanted machine, best first.
std::vector<Machine> serving_machines(const Machine& wanted) {
  std::vector<Machine> machines{wanted};
  const auto& [arch, variant] = wanted;
  if (arch == "amd64") {
    for (int v = variant_number(variant) - 1; v >= 1; --v) {
      machines.emplace_back("amd64", v == 1 ? "" : "v" + std::to_string(v));
    }
    machines.emplace_back("386", "");
  } else if (arch == "arm64") {
    if (!variant.empty()) machines.emplace_back("arm64", "");
    for (int v = 8; v >= 5; --v) machines.emplace_back("arm", "v" + std::to_string(v));
  } else if (arch == "arm") {
    for (int v = variant_number(variant) - 1; v >= 5; --v) machines.emplace_back("arm", "v" + std::to_string(v));
  }
  return machines;
}

// The first three numbers of "10.0.20348.2582": what decides whether Windows runs a container's programs.
struct WindowsBuild {
  int major = 0, minor = 0, build = 0;
};
std::optional<WindowsBuild> windows_build(const std::string& version) {
  WindowsBuild parsed;
  if (std::sscanf(version.c_str(), "%d.%d.%d", &parsed.major, &parsed.minor, &parsed.build) != 3) return std::nullopt;
  return parsed;
}

// From this build on (Server 2022), older containers run on newer hosts.
constexpr int windows_stable_since = 20'348;

// 0: the same, 1: one that runs there, nullopt: one that does not. What is not said fits.
std::optional<std::size_t> windows_rank(const wire::Platform& want, const wire::Platform& have) {
  const auto wanted = windows_build(want.os_version);
  const auto offered = windows_build(have.os_version);
  if (want.os != "windows" || !wanted || !offered) return 0;
  if (wanted->major != offered->major || wanted->minor != offered->minor) return std::nullopt;
  if (wanted->build == offered->build) return 0;
  if (offered->build >= windows_stable_since && offered->build < wanted->build) return 1;
  return std::nullopt;
}

}  // namespace

std::string platform_text(const wire::Platform& platform) {
  std::string text = platform.os + "/" + platform.architecture;
  if (!platform.variant.empty()) text += "/" + platform.variant;
  return text;
}

std::optional<std::size_t> platform_rank(const wire::Platform& wanted, const wire::Platform& offered) {
  const wire::Platform want = normalize_platform(wanted);
  const wire::Platform have = normalize_platform(offered);
  if (want.os != have.os) return std::nullopt;
  // Both lists are sorted now.
  if (!std::includes(want.os_features.begin(), want.os_features.end(), have.os_features.begin(),
                     have.os_features.end())) {
    return std::nullopt;
  }
  const auto machines = serving_machines({want.architecture, want.variant});
  const auto found = std::find(machines.begin(), machines.end(), Machine(have.architecture, have.variant));
  if (found == machines.end()) return std::nullopt;
  const auto version = windows_rank(want, have);
  if (!version) return std::nullopt;
  return static_cast<std::size_t>(found - machines.begin()) + *version * machines.size();
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
#include "libsolver/platform.h"

#include <algorithm>
#include <sys/utsname.h>

namespace cairn::solver {
namespace {

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

void normalize_architecture(std::string& architecture, std::string& variant) {
  if (architecture == "i386") {
    architecture = "386";
    variant.clear();
  } else if (architecture == "x86_64" || architecture == "x86-64" || architecture == "amd64") {
    architecture = "amd64";
    if (variant == "v1") variant.clear();
  } else if (architecture == "aarch64" || architecture == "arm64") {
    architecture = "arm64";
    if (variant == "8" || variant == "v8" || variant == "v8.0") variant.clear();
    if (variant == "9" || variant == "9.0" || variant == "v9.0") variant = "v9";
  } else if (architecture == "armhf") {
    architecture = "arm";
    variant = "v7";
  } else if (architecture == "armel") {
    architecture = "arm";
    variant = "v6";
  } else if (architecture == "arm") {
    if (variant.empty() || variant == "7") variant = "v7";
    if (variant == "5" || variant == "6" || variant == "8") variant = "v" + variant;
  }
}

// The kernel's name of the machine as Go calls it; aliases are left to normalize_architecture.
std::string go_architecture(std::string_view machine) {
  if (machine.size() == 4 && machine.starts_with('i') && machine.ends_with("86")) return "386";
  if (machine.starts_with("armv") || machine == "arm") return "arm";
  return std::string(machine);
}

}  // namespace

wire::Platform normalize_platform(const wire::Platform& platform) {
  wire::Platform out = platform;
  out.unknown.clear();
  out.os = lower(out.os);
  if (out.os.empty()) out.os = "linux";
  if (out.os == "macos") out.os = "darwin";
  out.architecture = lower(out.architecture);
  out.variant = lower(out.variant);
  normalize_architecture(out.architecture, out.variant);
  std::sort(out.os_features.begin(), out.os_features.end());
  out.os_features.erase(std::unique(out.os_features.begin(), out.os_features.end()), out.os_features.end());
  return out;
}

wire::Platform host_platform() {
  utsname names{};
  wire::Platform platform;
  platform.os = "linux";
  if (uname(&names) == 0) {
    const std::string_view machine = names.machine;
    platform.architecture = go_architecture(machine);
    if (machine.starts_with("armv") && machine.size() > 4) platform.variant = machine.substr(4, 1);
  }
  return normalize_platform(platform);
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
#include "libsolver/platform.h"

#include <algorithm>

#include "libdockerfile/dockerfile.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

bool is_known_os(std::string_view os) {
  for (const char* known : {"linux", "windows", "darwin", "freebsd", "openbsd", "netbsd", "solaris", "dragonfly",
                            "plan9", "js", "aix", "android", "illumos", "ios", "wasip1"}) {
    if (os == known) return true;
  }
  return false;
}

bool is_word(std::string_view part) {
  return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
  });
}

}  // namespace

base::Result<Platform> parse_platform(std::string_view text) {
  std::vector<std::string> parts = split(text, '/');
  Platform platform;
  const std::size_t version = parts[0].find('(');
  if (version != std::string::npos && parts[0].ends_with(')')) {
    platform.os_version = parts[0].substr(version + 1, parts[0].size() - version - 2);
    parts[0].resize(version);
  }
  for (const std::string& part : parts) {
    if (!is_word(part))
      return refuse(
          "{} is an invalid component of {}: platform specifier component must match \"^[A-Za-z0-9_.-]+$\": invalid "
          "argument",
          go_quoted(part), go_quoted(text));
  }
  if (parts.size() > 3) return refuse("{}: cannot parse platform specifier: invalid argument", go_quoted(text));
  const Platform host = solver::host_platform();
  if (parts.size() == 1) {
    // One word is a system or an architecture.
    platform.os = lower(parts[0]) == "macos" ? "darwin" : lower(parts[0]);
    platform.architecture = host.architecture;
    if (is_known_os(platform.os)) return solver::normalize_platform(platform);
    Platform by_architecture;
    by_architecture.os = host.os;
    by_architecture.architecture = parts[0];
    by_architecture = solver::normalize_platform(by_architecture);
    for (const char* known : {"386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle",
                              "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64", "wasm"}) {
      if (by_architecture.architecture == known) return by_architecture;
    }
    return refuse("{}: unknown operating system or architecture: invalid argument", go_quoted(text));
  }
  platform.os = parts[0];
  platform.architecture = parts[1];
  if (parts.size() == 3) platform.variant = parts[2];
  return solver::normalize_platform(platform);
}

std::string format_platform(const Platform& platform) {
  if (platform.os.empty()) return "unknown";
  std::string out = platform.os;
  if (!platform.os_version.empty()) out += fmt::format("({})", platform.os_version);
  for (const std::string* part : {&platform.architecture, &platform.variant}) {
    if (!part->empty()) out += "/" + *part;
  }
  return out;
}

}  // namespace cairn::dockerfile

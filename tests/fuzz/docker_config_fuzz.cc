// SPDX-License-Identifier: Apache-2.0
// A config.json of docker, whatever is in it: what it says of a registry is nothing, or one user and one secret with
// where they are from, which are read again as what they are. No helper is found, so each that it names is an error.
#include <stdlib.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "libremote/docker_config.h"
#include "libremote/registry/credentials.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn;
  static const int no_programs = ::setenv("PATH", "/nonexistent", 1);
  CHECK(no_programs == 0);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = remote::DockerConfig::parse(text, "the file", {});
  if (!config) return 0;
  for (const char* registry : {"docker.io", "ghcr.io", "127.0.0.1:5000"}) {
    const auto login = config->credentials(registry);
    if (!login || login->empty()) continue;
    const auto parsed = remote::parse_credentials(*login);
    using Kind = remote::Credentials::Kind;
    CHECK(parsed.kind != Kind::none && parsed.from == "the file");
    CHECK(parsed.user + ":" + parsed.secret + "\n" + parsed.from == *login);
    for (const std::string& part : {parsed.user, parsed.secret}) {
      CHECK(part.find_first_of(std::string("\r\n\0", 3)) == std::string::npos);
    }
    CHECK(parsed.user.find(':') == std::string::npos);
    CHECK(config->credentials(registry).value() == *login);
  }
  return 0;
}

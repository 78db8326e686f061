// SPDX-License-Identifier: Apache-2.0
#include "libserve/http/traffic.h"

#include <fmt/format.h>

namespace cairn::serve {

std::string Traffic::prometheus() {
  std::string text;
  const auto family = [&](std::string_view name, std::string_view type, std::string_view help,
                          const std::string& samples) {
    text += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n{3}", name, type, help, samples);
  };
  const auto one = [&](std::string_view name, std::string_view type, std::string_view help, std::uint64_t value) {
    family(name, type, help, fmt::format("{} {}\n", name, value));
  };
  std::string by_door;
  auto answered = requests.lock();
  for (const auto& [what, count] : *answered)
    by_door += fmt::format("cairn_http_requests_total{{door=\"{}\",code=\"{}\"}} {}\n", what.first, what.second, count);
  family("cairn_http_requests_total", "counter", "Requests answered, by door and status.", by_door);
  one("cairn_http_connections", "gauge", "Connections that are open.", connections);
  one("cairn_http_connections_total", "counter", "Connections that were taken.", accepted);
  one("cairn_http_connections_refused_total", "counter", "Connections that were one too many.", turned_away);
  one("cairn_http_received_bytes_total", "counter", "Bytes of bodies that came in.", received_bytes);
  one("cairn_http_sent_bytes_total", "counter", "Bytes of bodies that went out.", sent_bytes);
  return text;
}

}  // namespace cairn::serve

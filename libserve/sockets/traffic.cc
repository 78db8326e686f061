// SPDX-License-Identifier: Apache-2.0
#include "libserve/sockets/traffic.h"

#include <fmt/format.h>

namespace cairn::serve {

std::string Traffic::prometheus() {
  std::string text;
  const auto family = [&](std::string_view name, std::string_view type, std::string_view help,
                          const std::string& samples) {
    text +=
        fmt::format("# HELP cairn_{4}_{0} {2}\n# TYPE cairn_{4}_{0} {1}\n{3}", name, type, help, samples, protocol_);
  };
  const auto one = [&](std::string_view name, std::string_view type, std::string_view help, std::uint64_t value) {
    family(name, type, help, fmt::format("cairn_{}_{} {}\n", protocol_, name, value));
  };
  std::string by_door;
  auto answered = requests.lock();
  for (const auto& [what, count] : *answered)
    by_door += fmt::format("cairn_{}_requests_total{{door=\"{}\",code=\"{}\"}} {}\n", protocol_, what.first,
                           name_of_code_(what.second), count);
  family("requests_total", "counter", help_, by_door);
  one("connections", "gauge", "Connections that are open.", connections);
  one("connections_total", "counter", "Connections that were taken.", accepted);
  one("connections_refused_total", "counter", "Connections that were one too many.", turned_away);
  one("received_bytes_total", "counter", "Bytes of bodies that came in.", received_bytes);
  one("sent_bytes_total", "counter", "Bytes of bodies that went out.", sent_bytes);
  return text;
}

}  // namespace cairn::serve

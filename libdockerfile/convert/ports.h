// SPDX-License-Identifier: Apache-2.0
// What EXPOSE takes: "80", "80/udp", "8000-8010/tcp", and, not meant so, "127.0.0.1:8080:80".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::dockerfile {

struct PortSpec {
  std::vector<std::string> ports;  // "80/tcp", each of a range
  std::string protocol_as_written;
  bool maps_host = false;  // it names an address or a port of the host
};

// Errors: invalid_argument.
base::Result<PortSpec> parse_ports(std::string_view text);

}  // namespace cairn::dockerfile

// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/convert/ports.h"

#include <charconv>

#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

base::Result<unsigned> parse_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || port > 65535)
    return refuse("invalid containerPort: {}", text);
  return port;
}

}  // namespace

base::Result<PortSpec> parse_ports(std::string_view text) {
  const Cut slash = cut(text, '/');
  PortSpec spec;
  spec.protocol_as_written = slash.found ? slash.rest : "tcp";
  const std::string protocol = lower(spec.protocol_as_written.empty() ? "tcp" : spec.protocol_as_written);
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp")
    return refuse("invalid proto: {}", spec.protocol_as_written);
  std::string_view container = slash.head;
  const std::size_t colon = container.rfind(':');
  spec.maps_host = colon != std::string_view::npos;
  if (spec.maps_host) container.remove_prefix(colon + 1);
  if (container.empty()) return refuse("no port specified: {}<empty>", text);
  const Cut range = cut(container, '-');
  const unsigned first = TRY(parse_port(range.head));
  const unsigned last = range.found ? TRY(parse_port(range.rest)) : first;
  if (last < first) return refuse("invalid containerPort: {}", container);
  for (unsigned port = first; port <= last; ++port) spec.ports.push_back(fmt::format("{}/{}", port, protocol));
  return spec;
}

}  // namespace cairn::dockerfile

// SPDX-License-Identifier: Apache-2.0
// TLS of a server: from 1.2 on, with certificates of clients where somebody has said who signs them. The same files serve
// all doors (docs/guides/access.md).
#pragma once

#include <optional>
#include <string>

#include "libbase/path.h"

namespace cairn::serve {

struct TlsFiles {
  base::HostPath certificate;  // PEM; with what leads from it to the root
  base::HostPath key;          // PEM
  // Who signs the certificates of clients. A client may have none; one that is not signed so, or is not valid now, may not connect.
  std::optional<base::HostPath> client_ca{};
};

}  // namespace cairn::serve

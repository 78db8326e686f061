// SPDX-License-Identifier: Apache-2.0
// libsnapshot's interface on the client's side of the socket, so that the conformance suite's cases about trees run over it.
// Ids are numbers of the client; what is mounted is mounted as the server says.
#pragma once

#include <memory>

#include "libsnapshot/snapshotter.h"

namespace cairn::serve {

// The server is started on a store in that root, with this driver.
std::unique_ptr<snapshot::Snapshotter> make_socket_snapshotter(const base::HostPath& root, const std::string& driver);

}  // namespace cairn::serve

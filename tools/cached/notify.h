// SPDX-License-Identifier: Apache-2.0
// What systemd wants to be told (sd_notify(3)): one datagram to $NOTIFY_SOCKET.
#pragma once

#include <string_view>

#include "libbase/result.h"

namespace cairn::cached {

// "READY=1", "STOPPING=1". Nothing if nobody has asked for it. Errors: invalid_argument (no socket's address), io.
base::Status notify(std::string_view state);

}  // namespace cairn::cached

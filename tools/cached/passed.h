// SPDX-License-Identifier: Apache-2.0
// Sockets that whoever starts this process has made for it, as systemd does: the protocol of sd_listen_fds(3).
#pragma once

#include <string>

#include "libbase/result.h"

namespace cairn::cached {

// "systemd:NAME" becomes "fd:N" of the socket with that name (FileDescriptorName= of its unit); every other address
// stays as it is. Errors: invalid_argument (this process was passed none of that name).
base::Result<std::string> resolve_passed(const std::string& address);

// Of "fd:N": only this machine can connect.
bool is_local_socket(const std::string& address);

}  // namespace cairn::cached

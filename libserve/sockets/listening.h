// SPDX-License-Identifier: Apache-2.0
// A socket that listens at what a user says.
#pragma once

#include <string>

#include "libbase/fs/fd.h"
#include "libbase/result.h"

namespace cairn::serve {

struct Listening {
  base::Fd socket;
  int family = 0;
  std::string address;    // with its port
  bool is_passed = false;  // made by somebody else, who also takes its file away
};

// HOST:PORT, [HOST]:PORT, or the absolute path of a socket; a socket file that nobody listens at is replaced. fd:N: a
// descriptor that this process was started with and that listens already; it is taken over. Errors: invalid_argument (the
// address), busy (somebody listens there), io.
base::Result<Listening> listen_on(const std::string& address);

}  // namespace cairn::serve

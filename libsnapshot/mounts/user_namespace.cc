// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/mounts/user_namespace.h"

#include <sstream>

#include "libbase/fs/fd.h"

namespace cairn::snapshot {

base::Result<std::string> read_uid_map() {
  static const auto path = base::HostPath::parse("/proc/self/uid_map").value();
  return base::read_file(path, 1 << 20);
}

bool in_user_namespace() {
  const auto map = read_uid_map();
  if (!map) return false;
  // The namespace that the machine started with maps all ids to themselves.
  std::istringstream text(*map);
  std::uint64_t inside = 0, outside = 0, count = 0;
  return !(text >> inside >> outside >> count && inside == 0 && outside == 0 && count == 0xffffffff);
}

}  // namespace cairn::snapshot

// SPDX-License-Identifier: Apache-2.0
// A small root file system to run steps in: /bin/busybox (static, of the machine) with its applets as links, users,
// groups, /tmp; and nothing that an executor mounts (no /proc, /dev, /sys, /etc/hosts).
#pragma once

#include <string_view>

#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::test {

// dir is made; its parent exists. Errors: unavailable (no static busybox: install busybox-static), io.
// Users: root, worker (1000:1000, also in staff 50 and builders 2000), lone (1001:100).
base::Status make_busybox_root(const base::HostPath& dir);

// A detached mount of an existing directory.
base::Result<snapshot::MountedTree> mount_tree(const base::HostPath& dir);

// Makes a file with its parent directories (0755) below dir.
base::Status put_file(const base::HostPath& dir, std::string_view path, std::string_view text, unsigned mode = 0644);

}  // namespace cairn::test

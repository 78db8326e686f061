// SPDX-License-Identifier: Apache-2.0
// Mounts a tree as a program outside does: by mount(2), from what it was told. Closing what is returned unmounts it.
#pragma once

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "libsnapshot/lent.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {

// The options that are flags of mount(2), and the rest.
struct MountArguments {
  unsigned long flags = 0;
  std::string data;

  explicit MountArguments(const snapshot::MountSpec& spec) {
    for (const std::string& option : spec.options) {
      if (option == "ro") flags |= MS_RDONLY;
      else if (option == "rbind") flags |= MS_BIND | MS_REC;
      else if (option != "rw") data += (data.empty() ? "" : ",") + option;
    }
  }
};

// A page is all that mount(2) takes: layers of one store are named from its trees/, as containerd does it.
inline void shorten_layers(std::string& data, const std::string& trees) {
  const std::size_t from = data.find("lowerdir=");
  for (std::size_t at = data.find(trees, from); from != std::string::npos && at != std::string::npos; at = data.find(trees, at))
    data.erase(at, trees.size());
}

inline base::Result<snapshot::MountedTree> mount_as_told(const snapshot::MountSpec& spec, const base::HostPath& root) {
  const auto place = std::make_shared<TempDir>();
  MountArguments arguments(spec);
  const std::filesystem::path before = std::filesystem::current_path();
  const std::string trees = (root / "trees").str() + "/";
  if (spec.type == "overlay") {
    shorten_layers(arguments.data, trees);
    std::filesystem::current_path(trees);
  }
  const int mounted = ::mount(spec.source.c_str(), place->path().c_str(), spec.type.c_str(), arguments.flags & ~MS_RDONLY,
                              arguments.data.c_str());
  const int error = errno;
  std::filesystem::current_path(before);
  if (mounted != 0) return base::fail_errno(error, "mount {} {} with {}", spec.type, spec.source, arguments.data);
  std::shared_ptr<void> hold(nullptr, [place](void*) { ::umount2(place->path().c_str(), MNT_DETACH); });
  // A bind mount is made first and read-only after.
  if ((arguments.flags & MS_RDONLY) != 0 &&
      ::mount("", place->path().c_str(), "", MS_REMOUNT | (arguments.flags & MS_BIND) | MS_RDONLY, "") != 0)
    return base::fail_errno(errno, "mount {} read-only", spec.source);
  base::Fd directory(::open(place->path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return base::fail_errno(errno, "open what is mounted");
  return snapshot::MountedTree(std::move(directory), std::move(hold));
}

}  // namespace cairn::test

// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/backing.h"

#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace cairn::engine {

using base::HostPath;
using base::Result;

namespace {

struct Known {
  std::uint64_t type;  // linux/magic.h and statfs(2)
  const char* name;
  Backing::Fit fit;
};
using Fit = Backing::Fit;
constexpr std::array known = {
    Known{0xef53, "ext4", Fit::good},          Known{0x58465342, "xfs", Fit::good},
    Known{0x9123683e, "btrfs", Fit::good},     Known{0x01021994, "tmpfs", Fit::good},
    Known{0xf2f52010, "f2fs", Fit::good},      Known{0x2fc12fc1, "zfs", Fit::good},
    Known{0x794c7630, "overlay", Fit::slower}, Known{0x65735546, "fuse", Fit::slower},
    Known{0x6969, "nfs", Fit::refused},        Known{0x517b, "smb", Fit::refused},
    Known{0xfe534d42, "smb2", Fit::refused},   Known{0xff534d42, "cifs", Fit::refused},
    Known{0x5346414f, "afs", Fit::refused},    Known{0x00c36400, "ceph", Fit::refused},
    Known{0x01021997, "9p", Fit::refused},     Known{0x47504653, "gpfs", Fit::refused},
    Known{0x0bd00bd0, "lustre", Fit::refused}};

}  // namespace

Backing judge_backing(std::uint64_t f_type) {
  const auto found = std::find_if(known.begin(), known.end(), [&](const Known& each) { return each.type == f_type; });
  if (found == known.end()) return {Fit::good, fmt::format("{:#x}", f_type), {}};
  Backing backing{found->fit, found->name, {}};
  if (backing.fit == Fit::refused)
    backing.why = fmt::format("{} is a network file system, on which a store's metadata cannot be kept; use a local disk", backing.name);
  if (backing.fit == Fit::slower)
    backing.why = fmt::format("{} takes no overlay on top of it, so trees are copied; use a volume or a local disk", backing.name);
  return backing;
}

Result<std::uint64_t> file_system_type(const HostPath& path) {
  std::string at = path.str();
  struct ::statfs facts {};
  while (::statfs(at.c_str(), &facts) != 0) {
    if (errno != ENOENT || at == "/") return base::fail_errno(errno, "look at the file system of {}", path.str());
    const std::size_t slash = at.rfind('/');
    at = slash == 0 ? "/" : at.substr(0, slash);
  }
  return static_cast<std::uint64_t>(static_cast<std::make_unsigned_t<decltype(facts.f_type)>>(facts.f_type)) & 0xffffffff;
}

}  // namespace cairn::engine

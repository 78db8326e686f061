// SPDX-License-Identifier: Apache-2.0
// Making and removing bundles.
#include "libsolver/exec/bundle.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "libbase/fs/beneath.h"
#include "libsolver/exec/memory_tree.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Fd;
using base::TreePath;

constexpr std::size_t log_size_max = 1 << 20;

}  // namespace

Bundle::Bundle(Fd parent, TreePath name, std::string dir)
    : parent_(std::move(parent)), name_(std::move(name)), dir_(std::move(dir)) {}

base::Result<Bundle> Bundle::create(const base::HostPath& state_dir, const std::string& id) {
  Fd parent = TRY(base::open_host_dir(state_dir), "make a bundle");
  if (::mkdirat(parent.get(), id.c_str(), 0700) != 0) {
    if (errno == EEXIST) return base::fail(ErrorCode::busy, "make a bundle: a step with the id {} is running", id);
    return base::fail_errno(errno, "make the bundle {}", id);
  }
  TreePath name = TRY(TreePath::parse(id));
  Bundle bundle(std::move(parent), std::move(name), (state_dir / id).str());
  const auto filled = [&]() -> base::Status {
    bundle.tree_ = TRY(make_memory_tree("make a bundle", 0));
    for (const char* folder : {"rootfs", "state"}) {
      if (::mkdirat(bundle.mount(), folder, 0700) != 0) return base::fail_errno(errno, "make {} in the bundle {}", folder, id);
    }
    return {};
  }();
  if (filled) return bundle;
  (void)std::move(bundle).remove();  // or the id would stay in use
  return tl::unexpected(filled.error());
}

base::Result<std::string> Bundle::add_target(const std::string& folder, PointKind kind) {
  const std::string name = fmt::format("{}/{}", folder, targets_++);
  // Most steps have a root only, and each directory costs twice.
  if (::mkdirat(mount(), folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return base::fail_errno(errno, "make {} in a bundle", folder);
  }
  if (kind == PointKind::file) {
    TRY(write(name, ""));
  } else if (::mkdirat(mount(), name.c_str(), 0700) != 0) {
    return base::fail_errno(errno, "make {} in a bundle", name);
  }
  return path(name);
}

base::Status Bundle::write(const std::string& name, std::string_view text) {
  const TreePath path_inside = TRY(TreePath::parse(name));
  const Fd file =
      TRY(base::open_beneath(mount(), path_inside, O_WRONLY | O_CREAT | O_EXCL, 0644), "make {} in a bundle", name);
  // Steps of any user read hosts and resolv.conf; the engine's umask does not matter to them.
  if (::fchmod(file.get(), 0644) != 0) return base::fail_errno(errno, "set the mode of {} in a bundle", name);
  TRY(base::write_full(file.get(), text), "write {} in a bundle", name);
  return {};
}

std::string Bundle::path(const std::string& name) const { return dir_ + "/" + name; }

base::Result<std::string> Bundle::read_log() const {
  auto log = base::read_beneath(mount(), TRY(TreePath::parse("log")), log_size_max);
  if (!log && log.error().code == ErrorCode::not_found) return std::string();
  return log;
}

base::Status Bundle::remove() && {
  tree_ = {};
  TRY(base::remove_all_beneath(parent_.get(), name_), "remove the bundle {}", name_.str());
  return {};
}

}  // namespace cairn::solver

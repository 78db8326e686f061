// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/open.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>

#include "libbase/log/log.h"
#include "libsnapshot/store/tree_snapshotter.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;

base::Status probe_beneath(const base::HostPath& root) {
  const auto scratch = root / "tmp";
  if (::mkdir(scratch.c_str(), 0700) != 0 && errno != EEXIST) return base::fail_errno(errno, "make {}", scratch.str());
  return probe_overlay(scratch);
}

base::Result<std::unique_ptr<Driver>> choose(const base::HostPath& root, std::string wanted) {
  const char* forced = std::getenv("CAIRN_SNAPSHOTTER");
  if (wanted.empty() && forced != nullptr) wanted = forced;
  if (wanted == "native") return make_native_driver();
  if (!wanted.empty() && wanted != "overlay") {
    return fail(ErrorCode::unavailable, "snapshotter \"{}\" is not known: there are overlay and native", wanted);
  }
  const auto works = probe_beneath(root);
  if (works) return make_overlay_driver();
  if (wanted == "overlay") {
    return fail(ErrorCode::unavailable, "snapshotter \"overlay\" does not work in {}: {}", root.str(),
                works.error().message);
  }
  base::log_warning("overlays do not work in {}, so each snapshot is a full copy: {}", root.str(),
                    works.error().message);
  return make_native_driver();
}

}  // namespace

base::Result<std::unique_ptr<Snapshotter>> open(const base::HostPath& root, base::lmdb::Env& env, OpenOptions options) {
  auto trees = TRY(TreeDirs::open(root));
  auto driver = TRY(choose(root, options.driver));
  auto dead_blocks = TRY(recover(trees, env));
  base::log_info("snapshots in {} use the {} driver", root.str(), driver->name());
  static const base::SystemClock system_clock;
  const base::Clock& clock = options.clock != nullptr ? *options.clock : system_clock;
  return std::make_unique<TreeSnapshotter>(std::move(trees), env, std::move(driver), clock, options.chain_max,
                                           std::move(dead_blocks));
}

}  // namespace cairn::snapshot

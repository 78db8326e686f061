// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/merge/sources.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "libbase/fs/beneath.h"

namespace cairn::snapshot {
namespace {

constexpr std::size_t layers_max = 64;

bool same_file(const struct ::stat& raw, const struct ::stat& shown) {
  return raw.st_mode == shown.st_mode && raw.st_size == shown.st_size && raw.st_uid == shown.st_uid &&
         raw.st_gid == shown.st_gid && raw.st_mtim.tv_sec == shown.st_mtim.tv_sec &&
         raw.st_mtim.tv_nsec == shown.st_mtim.tv_nsec;
}

}  // namespace

base::Result<Sources> Sources::open(Snapshotter& snapshots, SnapshotId id) {
  Sources sources;
  const auto add = [&](SnapshotId layer) -> base::Result<bool> {
    auto own = TRY(snapshots.open_own(layer));
    sources.layers_.push_back(Layer{layer, std::move(own.directory)});
    return own.stacked;
  };
  for (SnapshotId current = id; current && sources.layers_.size() < layers_max;) {
    const auto info = TRY(snapshots.stat(current));
    if (!TRY(add(current))) break;
    for (const SnapshotId layer : info.stacked_on) {
      if (sources.layers_.size() < layers_max) TRY(add(layer));
    }
    current = info.parent;
  }
  return sources;
}

base::Result<std::optional<Sources::Place>> Sources::find(const Change& change) const {
  const std::string name(change.path.name());
  for (const Layer& layer : layers_) {
    auto holder = base::open_beneath(layer.directory.get(), change.path.parent(), O_PATH | O_DIRECTORY);
    if (!holder) {
      // Not in this layer, or something else is on the way.
      const auto code = holder.error().code;
      if (code == base::ErrorCode::not_found || code == base::ErrorCode::invalid_argument) continue;
      return tl::unexpected(holder.error());
    }
    struct ::stat status {};
    if (::fstatat(holder->get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return base::fail_errno(errno, "stat");
    }
    // The nearest layer that has the name shows it. If this is not what the change saw, something is not understood.
    if (!same_file(status, change.status)) return std::nullopt;
    return Place{std::move(*holder), layer.id};
  }
  return std::nullopt;
}

}  // namespace cairn::snapshot

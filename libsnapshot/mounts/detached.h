// SPDX-License-Identifier: Apache-2.0
// Mounts that are attached nowhere: they exist only as descriptors, so a process that dies leaves none behind.
// The one fact to know: fsmount and open_tree give an O_PATH descriptor, and closing *that one* unmounts, however many
// others are open inside. So a detached mount is two descriptors.
#pragma once

#include <cstdint>
#include <string>

#include "libbase/fs/fd.h"
#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

struct DetachedMount {
  base::Fd mount;      // owns the mount
  base::Fd directory;  // its root, opened for reading
};

// A private second view of a directory, alone on its mount.
base::Result<DetachedMount> mount_directory(int directory, Access access);

// Where an overlay keeps its marks (opaque directories and the like): in trusted.overlay.* or, in a user namespace, in
// user.overlay.*. Layers written with one are not read rightly with the other.
enum class OverlayMarksIn { trusted, user };

// Builds an overlay. Layers go in by descriptor (no limit on names, no page of options), which may be closed at once.
class OverlayBuilder {
 public:
  static base::Result<OverlayBuilder> start(OverlayMarksIn marks = OverlayMarksIn::trusted);

  base::Status add_lower(int directory);  // nearest first
  // The changes go to upper; work is an empty directory beside it. The mount is volatile: unmounting syncs nothing.
  base::Status set_upper(int upper, int work);
  base::Result<DetachedMount> finish();

 private:
  explicit OverlayBuilder(base::Fd context) : context_(std::move(context)) {}
  base::Status set_directory(const char* key, int directory);
  base::Status set(const char* key, const char* value);
  void set_if_known(const char* key, const char* value);
  base::Status failure(int error_number, std::string_view what);

  base::Fd context_;
  Access access_ = Access::read_only;
};

}  // namespace cairn::snapshot

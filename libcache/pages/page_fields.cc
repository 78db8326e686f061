// SPDX-License-Identifier: Apache-2.0
#include "libcache/pages/page_fields.h"

#include <utility>

namespace cairn::cache {

std::vector<DifferenceField> differing_fields(const PageEntry& a, const PageEntry& b) {
  std::vector<DifferenceField> fields;
  const bool same_mode = a.mode == b.mode;
  const bool same_owner = a.uid == b.uid && a.gid == b.gid;
  const bool same_xattrs = a.xattrs == b.xattrs;
  const bool same_header = same_mode && same_owner && same_xattrs;
  const auto time = [](const PageEntry& entry) { return std::pair(entry.mtime_seconds, entry.mtime_nanoseconds); };
  if (a.type != b.type) {
    fields.push_back(DifferenceField::type);
  } else if (a.type == EntryType::symlink && a.link != b.link) {
    fields.push_back(DifferenceField::content);
  } else if (a.type == EntryType::file && (a.size != b.size || same_header || time(a) != time(b))) {
    fields.push_back(DifferenceField::content);
  }
  if (!same_mode) fields.push_back(DifferenceField::mode);
  if (!same_owner) fields.push_back(DifferenceField::owner);
  if (!same_xattrs) fields.push_back(DifferenceField::xattr);
  if (a.device_major != b.device_major || a.device_minor != b.device_minor) fields.push_back(DifferenceField::device);
  return fields;
}

}  // namespace cairn::cache

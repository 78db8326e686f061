// SPDX-License-Identifier: Apache-2.0
#include "libcache/record.h"

#include <utility>

namespace cairn::cache {

std::string_view to_string(RecordType type) {
  switch (type) {
    case RecordType::regular: return "regular";
    case RecordType::source_local: return "source.local";
    case RecordType::source_image: return "source.image";
    case RecordType::internal: return "internal";
    case RecordType::exec_cache_mount: return "exec.cachemount";
    case RecordType::frontend: return "frontend";
    case RecordType::source_git_checkout: return "source.git.checkout";
  }
  return "unknown";
}

std::string_view to_string(RecordKind kind) {
  switch (kind) {
    case RecordKind::layer: return "layer";
    case RecordKind::merge: return "merge";
    case RecordKind::diff:
    case RecordKind::diff_from_none:
    case RecordKind::diff_to_none: return "diff";
  }
  return "unknown";
}

base::Status check_owner(const Owner& owner) {
  const std::pair<const char*, const std::string&> labels[] = {
      {"project", owner.project}, {"build", owner.build}, {"step", owner.step}};
  for (const auto& [name, label] : labels)
    if (label.size() > owner_label_bytes_max)
      return base::fail(base::ErrorCode::invalid_argument, "owner: {} has {} bytes, more than {}", name, label.size(),
                        owner_label_bytes_max);
  return {};
}

}  // namespace cairn::cache

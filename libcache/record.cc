// SPDX-License-Identifier: Apache-2.0
#include "libcache/record.h"

namespace cairn::cache {

std::string_view to_string(RecordType type) {
  switch (type) {
    case RecordType::regular: return "regular";
    case RecordType::source_local: return "source.local";
    case RecordType::source_image: return "source.image";
    case RecordType::internal: return "internal";
    case RecordType::exec_cache_mount: return "exec.cachemount";
  }
  return "unknown";
}

}  // namespace cairn::cache

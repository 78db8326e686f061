// SPDX-License-Identifier: Apache-2.0
// The payloads of the journal: lists of changes, and the end of a checkpoint. What is read and written again is the same.
#include <cstddef>
#include <cstdint>
#include <string>

#include "libcache/blobs/journal.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::string again;
  bool puts_only = true;
  const base::Status read = cache::each_change(bytes, [&](const cache::RowChange& change) -> base::Status {
    puts_only = puts_only && change.value;
    if (change.value) again += cache::encode_put(change.table, change.key, *change.value);
    return {};
  });
  if (read && puts_only) CHECK(again == bytes);
  if (const auto end = cache::decode_checkpoint_end(bytes)) CHECK(cache::encode_checkpoint_end(*end) == bytes);
  return 0;
}

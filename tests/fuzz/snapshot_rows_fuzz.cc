// SPDX-License-Identifier: Apache-2.0
// The decoders of libsnapshot's rows. The first byte chooses one; what decodes must encode to the same bytes again, or, if
// it is of an older version, to bytes that do.
#include <cstddef>
#include <cstdint>

#include "libsnapshot/meta/rows.h"

namespace {

using namespace cairn;

template <class T>
void decode(std::string_view bytes) {
  const auto value = base::Codec<T>::decode(bytes);
  if (!value) return;
  const auto written = base::Codec<T>::encode(*value);
  if (written[0] == bytes[0]) {
    CHECK(written == bytes);
    return;
  }
  const auto again = base::Codec<T>::decode(written);
  CHECK(again.has_value() && base::Codec<T>::encode(*again) == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 8) {
    case 0: decode<snapshot::SnapshotRow>(bytes); break;
    case 1: decode<snapshot::TrashRow>(bytes); break;
    case 2: decode<snapshot::ChildKey>(bytes); break;
    case 3: decode<snapshot::Present>(bytes); break;
    case 4: decode<snapshot::InodeRow>(bytes); break;
    case 5: decode<snapshot::ClaimKey>(bytes); break;
    case 6: decode<snapshot::LentRow>(bytes); break;
    default: decode<snapshot::TotalRow>(bytes); break;
  }
  return 0;
}

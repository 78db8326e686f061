// SPDX-License-Identifier: Apache-2.0
// Any bytes as what a bucket lists.
#include <cstddef>
#include <cstdint>
#include <string>

#include "libremote/s3/listing.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn;
  const std::string document(reinterpret_cast<const char*>(data), size);
  const auto listing = remote::parse_listing(document);
  if (!listing) {
    CHECK(listing.error().code == base::ErrorCode::corrupt);
    return 0;
  }
  CHECK(!listing->goes_on || !listing->keys.empty(), "whoever asks on would never end");
  for (const std::string& key : listing->keys) {
    CHECK(key.find('<') == std::string::npos && key.find('&') == std::string::npos, "a key with XML in it");
    CHECK(document.find("<Key>" + key + "</Key>") != std::string::npos, "a key that is not there");
  }
  return 0;
}

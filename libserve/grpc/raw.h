// SPDX-License-Identifier: Apache-2.0
// Messages as bytes, where reading them into objects would cost more than what they ask for.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <string>
#include <string_view>

#include "libbase/result.h"
#include "libserve/reapi/closure.h"

namespace cairn::serve {

inline std::string_view text_of(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}
inline grpc::ByteBuffer to_buffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// A Digest. Errors: invalid_argument.
base::Result<SizedDigest> from_message(std::string_view digest);
// Appends a field that is a message (or bytes).
void add_message_field(std::string& into, std::uint32_t number, std::string_view message);

}  // namespace cairn::serve

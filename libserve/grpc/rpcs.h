// SPDX-License-Identifier: Apache-2.0
// What each method of each service needs. A method that is not here cannot be asked for the store, and a server that
// has one does not start.
#pragma once

#include <cstdint>
#include <string_view>

#include "libserve/access.h"

namespace cairn::serve {

enum class Rpc : std::uint8_t {
  get_capabilities,
  find_missing_blobs,
  batch_update_blobs,
  batch_read_blobs,
  get_tree,
  split_blob,
  splice_blob,
  get_action_result,
  update_action_result,
  read,
  write,
  query_write_status,
  fetch_blob,
  fetch_directory,
  push_blob,
  push_directory,
};
Need need_of(Rpc rpc);
// By the method's full name, "google.bytestream.ByteStream.Read".
bool is_classified(std::string_view full_name);

}  // namespace cairn::serve

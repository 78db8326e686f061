// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/rpcs.h"

#include <algorithm>
#include <iterator>

namespace cairn::serve {

namespace {

struct Row {
  Rpc rpc;
  std::string_view name;
  Need need;
};
// SplitBlob cuts what is there, and FetchBlob fetches nothing for whoever may not write.
constexpr Row rows[] = {
    {Rpc::get_capabilities, "build.bazel.remote.execution.v2.Capabilities.GetCapabilities", Need::read},
    {Rpc::find_missing_blobs, "build.bazel.remote.execution.v2.ContentAddressableStorage.FindMissingBlobs", Need::read},
    {Rpc::batch_update_blobs, "build.bazel.remote.execution.v2.ContentAddressableStorage.BatchUpdateBlobs",
     Need::write},
    {Rpc::batch_read_blobs, "build.bazel.remote.execution.v2.ContentAddressableStorage.BatchReadBlobs", Need::read},
    {Rpc::get_tree, "build.bazel.remote.execution.v2.ContentAddressableStorage.GetTree", Need::read},
    {Rpc::split_blob, "build.bazel.remote.execution.v2.ContentAddressableStorage.SplitBlob", Need::read},
    {Rpc::splice_blob, "build.bazel.remote.execution.v2.ContentAddressableStorage.SpliceBlob", Need::write},
    {Rpc::get_action_result, "build.bazel.remote.execution.v2.ActionCache.GetActionResult", Need::read},
    {Rpc::update_action_result, "build.bazel.remote.execution.v2.ActionCache.UpdateActionResult", Need::write},
    {Rpc::read, "google.bytestream.ByteStream.Read", Need::read},
    {Rpc::write, "google.bytestream.ByteStream.Write", Need::write},
    {Rpc::query_write_status, "google.bytestream.ByteStream.QueryWriteStatus", Need::write},
    {Rpc::fetch_blob, "build.bazel.remote.asset.v1.Fetch.FetchBlob", Need::read},
    {Rpc::fetch_directory, "build.bazel.remote.asset.v1.Fetch.FetchDirectory", Need::read},
    {Rpc::push_blob, "build.bazel.remote.asset.v1.Push.PushBlob", Need::write},
    {Rpc::push_directory, "build.bazel.remote.asset.v1.Push.PushDirectory", Need::write},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < std::size(rows); ++i)
    if (static_cast<std::size_t>(rows[i].rpc) != i) return false;
  return true;
}
static_assert(in_order());

}  // namespace

Need need_of(Rpc rpc) {
  const auto at = static_cast<std::size_t>(rpc);
  return at < std::size(rows) ? rows[at].need : Need::refused;
}

bool is_classified(std::string_view full_name) {
  return std::any_of(std::begin(rows), std::end(rows), [&](const Row& row) { return row.name == full_name; });
}

}  // namespace cairn::serve

// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/shared_download.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "libbase/fs/beneath.h"
#include "libbase/fs/file_source.h"

namespace cairn::solver {

using base::Result;

Result<cache::ImmutableRef> SharedDownload::commit(cache::Publication& into, cache::RecordFacts facts) {
  auto state = state_.lock();
  CHECK(state->tree, "a download is committed once");
  cache::MutableRef tree = std::move(*state->tree);
  state->tree.reset();
  state->record = TRY(std::move(tree).commit(into, std::move(facts)));
  return *state->record;
}

Result<SharedDownload::Bytes> SharedDownload::open() {
  auto state = state_.lock();
  if (!state->tree && !state->record) return base::fail(base::ErrorCode::not_found, "open {}: its tree is gone", name_);
  const snapshot::MountedTree mounted =
      state->tree ? TRY(state->tree->mount(snapshot::Access::read_only)) : TRY(state->record->mount());
  base::Fd file = TRY(base::open_beneath(mounted.fd(), TRY(base::TreePath::parse(name_)), O_RDONLY));
  const auto size = static_cast<std::uint64_t>(TRY(base::stat_fd(file.get())).st_size);
  return Bytes{std::make_unique<base::FileSource>(std::move(file)), size};
}

}  // namespace cairn::solver

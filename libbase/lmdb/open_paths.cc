// SPDX-License-Identifier: Apache-2.0
// The one process-wide table that LMDB makes necessary, keyed by device and inode, so that no other name for the same
// directory gets around it.
#include "libbase/lmdb/open_paths.h"

#include <unistd.h>

#include <set>

#include "libbase/fs/fd.h"
#include "libbase/sync.h"

namespace cairn::base::lmdb {
namespace {

Guarded<std::set<OpenPaths::Name>>& open_names() {
  // Never destroyed: an environment may be closed by a destructor that runs after this file's.
  static auto* const names = new Guarded<std::set<OpenPaths::Name>>();
  return *names;
}

}  // namespace

Result<OpenPaths::Claim> OpenPaths::claim(const HostPath& dir) {
  const Fd fd = TRY(open_host_dir(dir));
  const struct ::stat facts = TRY(stat_fd(fd.get()));
  const Name name(::getpid(), facts.st_dev, facts.st_ino);
  if (!open_names().lock()->insert(name).second)
    return fail(ErrorCode::busy, "open metadata {}: this process has it open already", dir.str());
  Claim claim;
  claim.name_ = name;
  return claim;
}

OpenPaths::Claim::~Claim() {
  if (name_) open_names().lock()->erase(*name_);
}

}  // namespace cairn::base::lmdb

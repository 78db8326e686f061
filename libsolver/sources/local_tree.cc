// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/local_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "libsolver/sources/node_metadata.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;

// A label or ACL that this file system does not take is left out, as BuildKit does; what the digest counts is not.
bool must_arrive(std::string_view xattr) {
  return xattr == "security.capability" || !(xattr.starts_with("security.") || xattr.starts_with("system."));
}

Status give(int fd, const NodeMetadata& metadata) {
  const auto refused = TRY(set_metadata(fd, metadata));
  for (const auto& name : refused) {
    if (must_arrive(name)) return fail(ErrorCode::unavailable, "xattr {} cannot be set here", name);
  }
  return {};
}

NodeMetadata metadata_of(const LocalEntry& entry) {
  return {.owner = 0, .group = 0, .mode = entry.mode, .modified = entry.modified, .xattrs = entry.xattrs};
}

}  // namespace

Status LocalTree::make(std::uint32_t index) {
  const LocalEntry& entry = walk_.entries[index];
  const char* name = entry.name.c_str();
  const int parent = TRY(parents_.at(entry.parent));
  if (S_ISDIR(entry.mode)) {
    if (::mkdirat(parent, name, 0700) != 0) return fail_errno(errno, "make the directory");
    return {};
  }
  if (S_ISLNK(entry.mode)) {
    if (::symlinkat(entry.target.c_str(), parent, name) != 0) return fail_errno(errno, "make the symbolic link");
  } else if (::mknodat(parent, name, (entry.mode & S_IFMT) | 0600, entry.device) != 0) {
    return fail_errno(errno, "make the node");
  }
  const Fd node = TRY(open_node(parent, entry.name));
  return give(node.get(), metadata_of(entry));
}

Result<FileWriter> LocalTree::create_file(std::uint32_t index) {
  const LocalEntry& entry = walk_.entries[index];
  const int parent = TRY(parents_.at(entry.parent));
  Fd fd(::openat(parent, entry.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(errno, "create");
  return FileWriter(std::move(fd));
}

Status LocalTree::finish_file(const FileWriter& file, const FileState& state) {
  const cache::StatX& facts = state.facts;
  return give(file.fd(), {.owner = 0,
                          .group = 0,
                          .mode = facts.stx_mode,
                          .modified = {facts.stx_mtime.tv_sec, static_cast<long>(facts.stx_mtime.tv_nsec)},
                          .xattrs = state.xattrs});
}

Status LocalTree::link(std::uint32_t existing, std::uint32_t index) {
  const LocalEntry& source = walk_.entries[existing];
  const LocalEntry& entry = walk_.entries[index];
  const int from = TRY(sources_.at(source.parent));
  const int to = TRY(parents_.at(entry.parent));
  if (::linkat(from, source.name.c_str(), to, entry.name.c_str(), 0) != 0) return fail_errno(errno, "link");
  return {};
}

Status LocalTree::finish_directory(std::uint32_t index) {
  const int fd = TRY(parents_.at(index));
  return give(fd, metadata_of(walk_.entries[index]));
}

}  // namespace cairn::solver

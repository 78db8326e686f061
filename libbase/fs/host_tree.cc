// SPDX-License-Identifier: Apache-2.0
// Boost.Filesystem behind its door: only calls that report by error_code. Removal is our own, because Boost's recurses
// and enters mounts.
#include "libbase/fs/host_tree.h"

#include <fcntl.h>
#include <stdlib.h>

#include <algorithm>
#include <cerrno>

#include <boost/filesystem/directory.hpp>
#include <boost/filesystem/operations.hpp>

#include "libbase/fs/beneath.h"
#include "libbase/fs/fd.h"

namespace cairn::base {

namespace {

namespace fs = boost::filesystem;
using boost::system::error_code;

}  // namespace

Status make_host_dirs(const HostPath& path) {
  error_code error;
  fs::create_directories(path.c_str(), error);
  if (!error) {
    // Boost says nothing if a file is there already.
    if (fs::is_directory(path.c_str(), error)) return {};
    if (!error) return fail(ErrorCode::already_exists, "make directory {}: something else is there", path.str());
  }
  if (error.value() == ENOTDIR || error.value() == EEXIST) {
    return fail(ErrorCode::already_exists, "make directory {}: something else is in the way", path.str());
  }
  return fail_errno(error.value(), "make directory {}", path.str());
}

Result<bool> host_exists(const HostPath& path) {
  error_code error;
  const fs::file_status status = fs::symlink_status(path.c_str(), error);
  if (status.type() == fs::file_not_found) return false;
  if (status.type() == fs::status_error) return fail_errno(error.value(), "look at {}", path.str());
  return true;
}

Status remove_host_tree(const HostPath& path) {
  const TreePath name = TRY(TreePath::parse(path.str().substr(path.str().rfind('/'))), "remove {}", path.str());
  if (name.is_root()) return fail(ErrorCode::invalid_argument, "remove /: this would be the whole machine");
  const HostPath parent = TRY(HostPath::parse(path.str().substr(0, path.str().rfind('/') + 1)));
  const Result<Fd> dir = open_host_dir(parent);
  if (!dir && dir.error().code == ErrorCode::not_found) return {};
  if (!dir) return tl::unexpected(add_context(dir.error(), fmt::format("remove {}", path.str())));
  TRY(remove_all_beneath(dir->get(), name), "in {}", parent.str());
  return {};
}

Result<std::vector<std::string>> list_host_dir(const HostPath& path) {
  std::vector<std::string> names;
  error_code error;
  fs::directory_iterator entry(path.c_str(), error);
  // increment() ends the iteration on an error, which the code then tells.
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error) return fail_errno(error.value(), "list {}", path.str());
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::uint64_t> free_bytes(const HostPath& path) {
  error_code error;
  const fs::space_info space = fs::space(path.c_str(), error);
  if (error) return fail_errno(error.value(), "measure the free space at {}", path.str());
  return space.available;
}

Result<TemporaryDir> TemporaryDir::create(const HostPath& parent, std::string_view prefix) {
  CHECK(prefix.find('/') == std::string_view::npos, "\"{}\" is not the start of a name", prefix);
  std::string pattern = (parent / fmt::format("{}XXXXXX", prefix)).str();
  if (::mkdtemp(pattern.data()) == nullptr) {
    return fail_errno(errno, "make a temporary directory in {}", parent.str());
  }
  return TemporaryDir(TRY(HostPath::parse(pattern)));
}

TemporaryDir& TemporaryDir::operator=(TemporaryDir&& other) noexcept {
  if (this != &other) {
    remove();
    path_ = std::exchange(other.path_, std::nullopt);
  }
  return *this;
}

void TemporaryDir::remove() {
  if (path_) static_cast<void>(remove_host_tree(*path_));  // Best effort, as the header says.
  path_.reset();
}

}  // namespace cairn::base

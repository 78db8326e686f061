// SPDX-License-Identifier: Apache-2.0
// Extended attributes, and files replaced as a whole.
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "libbase/fs/beneath.h"

namespace cairn::base {
namespace {

using Xattrs = std::map<std::string, std::string>;

// The list or value may grow between asking its size and reading it, so it is asked again.
template <class Read>
Result<std::string> read_growing(Read&& read) {
  while (true) {
    const ssize_t size = read(nullptr, 0);
    if (size < 0) return fail_errno(errno, "read extended attributes");
    std::string bytes(static_cast<std::size_t>(size), '\0');
    if (size == 0) return bytes;
    const ssize_t got = read(bytes.data(), bytes.size());
    if (got >= 0) {
      bytes.resize(static_cast<std::size_t>(got));
      return bytes;
    }
    if (errno != ERANGE) return fail_errno(errno, "read extended attributes");
  }
}

using ListCall = ssize_t (*)(const char*, char*, std::size_t);
using GetCall = ssize_t (*)(const char*, const char*, void*, std::size_t);

Result<Xattrs> list_by_path(const std::string& path, ListCall list, GetCall get) {
  auto names = read_growing([&](char* out, std::size_t size) { return list(path.c_str(), out, size); });
  if (!names) {
    if (names.error().code == ErrorCode::unavailable) return Xattrs();
    return tl::unexpected(std::move(names).error());
  }
  Xattrs xattrs;
  for (std::size_t at = 0; at < names->size();) {
    const std::string name = names->c_str() + at;
    at += name.size() + 1;
    auto value = read_growing([&](char* out, std::size_t size) { return get(path.c_str(), name.c_str(), out, size); });
    if (value) xattrs.emplace(name, std::move(*value));  // one that cannot be read is passed over (spec/storage 3.1)
  }
  return xattrs;
}

std::string path_at(int dir, const std::string& name) { return fmt::format("/proc/self/fd/{}/{}", dir, name); }

}  // namespace

Result<Xattrs> list_xattrs(int fd) {
  // Through the magic link, because the f-calls refuse O_PATH descriptors.
  return list_by_path(fmt::format("/proc/self/fd/{}", fd), ::listxattr, ::getxattr);
}

Result<Xattrs> list_xattrs_at(int dir, const std::string& name) {
  return list_by_path(path_at(dir, name), ::llistxattr, ::lgetxattr);
}

Status set_xattr_at(int dir, const std::string& name, const std::string& key, std::string_view value) {
  if (::lsetxattr(path_at(dir, name).c_str(), key.c_str(), value.data(), value.size(), 0) != 0) {
    return fail_errno(errno, "set extended attribute {} of {}", key, name);
  }
  return {};
}

Status write_file_atomic(const HostPath& path, std::string_view bytes, Durable durable, unsigned mode) {
  const std::string temporary = path.str() + ".new";
  const auto write_it = [&]() -> Status {
    const Fd fd = TRY(open_host(TRY(HostPath::parse(temporary)), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
    TRY(write_full(fd.get(), bytes));
    if (durable == Durable::yes) TRY(sync_data(fd.get()));
    if (::rename(temporary.c_str(), path.c_str()) != 0) return fail_errno(errno, "rename");
    return {};
  };
  if (Status written = write_it(); !written) {
    ::unlink(temporary.c_str());
    return tl::unexpected(add_context(std::move(written).error(), fmt::format("write {}", path.str())));
  }
  if (durable == Durable::no) return {};
  const std::size_t slash = path.str().rfind('/');
  const Fd dir = TRY(open_host_dir(TRY(HostPath::parse(slash == 0 ? "/" : path.str().substr(0, slash)))));
  return sync_file(dir.get());
}

}  // namespace cairn::base

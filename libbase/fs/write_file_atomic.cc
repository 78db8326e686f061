// SPDX-License-Identifier: Apache-2.0
// A file that is either the old one or the new one, whenever one looks and whatever fails.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>

#include "libbase/fs/beneath.h"

namespace cairn::base {

namespace {

struct Temporary {
  std::string name;
  Fd fd;
};

// A new file in the directory. A name left by a process that died is not used again but passed over.
Result<Temporary> create_temporary(int dir, unsigned mode) {
  static std::atomic<std::uint64_t> next{0};
  while (true) {
    std::string name = fmt::format(".cairn-new-{}-{}", ::getpid(), next.fetch_add(1));
    const int fd = ::openat(dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd >= 0) return Temporary{std::move(name), Fd(fd)};
    if (errno != EEXIST && errno != EINTR) return fail_errno(errno, "create a temporary file");
  }
}

Status write_and_rename(int dir, const Temporary& temporary, const std::string& name, std::string_view bytes,
                        Durable durable) {
  TRY(write_full(temporary.fd.get(), bytes));
  if (durable == Durable::yes) TRY(sync_data(temporary.fd.get()));
  if (::renameat(dir, temporary.name.c_str(), dir, name.c_str()) != 0) return fail_errno(errno, "rename");
  return {};
}

}  // namespace

Status write_file_atomic(const HostPath& path, std::string_view bytes, Durable durable, unsigned mode) {
  const std::size_t slash = path.str().rfind('/');
  const std::string name = path.str().substr(slash + 1);
  if (name.empty()) return fail(ErrorCode::invalid_argument, "write {}: not a file", path.str());
  const HostPath parent = TRY(HostPath::parse(path.str().substr(0, slash + 1)));
  const Fd dir = TRY(open_host_dir(parent), "write {}", path.str());
  const Temporary temporary = TRY(create_temporary(dir.get(), mode), "write {}", path.str());
  const Status written = write_and_rename(dir.get(), temporary, name, bytes, durable);
  if (!written) {
    ::unlinkat(dir.get(), temporary.name.c_str(), 0);  // Best effort: the first error is the one to tell.
    return tl::unexpected(add_context(written.error(), fmt::format("write {}", path.str())));
  }
  if (durable == Durable::yes) TRY(sync_file(dir.get()), "write {}", path.str());
  return {};
}

}  // namespace cairn::base

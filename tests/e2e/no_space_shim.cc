// SPDX-License-Identifier: Apache-2.0
// Put before the C library of a program (LD_PRELOAD), it numbers the calls that take room on one disk and lets some of
// them find none: writes to its files, also through an overlay that lies on it, and whatever makes a new name. Programs
// that this one starts are left alone. What it has to know is in a file that the test shares with it (no_space_control.h).
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "tests/e2e/no_space_control.h"

namespace {

cairn::test::NoSpaceControl* control = nullptr;

// The C library's own. Everything is found before main() begins, for a child between clone and exec may call it.
template <class F>
F* next(F*, const char* name) {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}
#define NEXT(name)                                    \
  [] {                                                \
    static auto* const found = next(&::name, #name); \
    return found;                                     \
  }()

[[gnu::constructor]] void begin() {
  (void)NEXT(syscall);
  (void)NEXT(openat);
  (void)NEXT(write);
  const char* const path = ::getenv(cairn::test::no_space_variable);
  if (path == nullptr) return;
  const int fd = NEXT(openat)(AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  void* const mapped = ::mmap(nullptr, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd < 0 || mapped == MAP_FAILED) ::abort();
  ::close(fd);
  ::unsetenv("LD_PRELOAD");
  control = static_cast<cairn::test::NoSpaceControl*>(mapped);
}

enum class Kind { file, directory };

bool is_on_disk(int fd, Kind kind) {
  struct ::stat facts {};
  struct ::statfs system {};
  if (::fstat(fd, &facts) != 0) return false;
  if (kind == Kind::file && !S_ISREG(facts.st_mode)) return false;
  if (facts.st_dev == control->device) return true;
  return facts.st_dev != control->other_device && ::fstatfs(fd, &system) == 0 && system.f_type == OVERLAYFS_SUPER_MAGIC;
}

// True: this call shall find no room; errno is set.
bool meets_the_end(const char* call, int fd) {
  const std::uint64_t number = control->calls.fetch_add(1) + 1;
  if (number < control->fail_from || number >= control->fail_below) return false;
  if (control->failed.fetch_add(1) == 0) {
    char name[160] = {};
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    if (::readlink(link.c_str(), name, sizeof name - 1) < 0) name[0] = '?';
    std::snprintf(control->first_failed, sizeof control->first_failed, "%s: %s", call, name);
  }
  errno = ENOSPC;
  return true;
}

bool refuse_write(const char* call, int fd) {
  const int before = errno;
  if (control != nullptr && is_on_disk(fd, Kind::file) && meets_the_end(call, fd)) return true;
  errno = before;
  return false;
}

enum class If { missing, always };

// A name in the directory that `path` is in. If::missing: where it exists already, the call fails or takes no room.
bool refuse_name(const char* call, int dir, const char* path, If which = If::missing) {
  if (control == nullptr) return false;
  const int before = errno;
  if (which == If::missing && ::faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) return false;
  std::string parent(path);
  const std::size_t slash = parent.rfind('/');
  parent = slash == std::string::npos ? "." : parent.substr(0, slash + 1);
  const int fd = NEXT(openat)(dir, parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  const bool refused = fd >= 0 && is_on_disk(fd, Kind::directory) && meets_the_end(call, fd);
  if (fd >= 0) ::close(fd);
  errno = refused ? ENOSPC : before;
  return refused;
}

bool refuse_open(int dir, const char* path, std::uint64_t flags) {
  return (flags & O_CREAT) != 0 && refuse_name("create in", dir, path);
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* bytes, size_t size) { return refuse_write("write", fd) ? -1 : NEXT(write)(fd, bytes, size); }
// Also over what is there, as LMDB writes its header: that takes room where file systems copy on write.
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
  return refuse_write("pwrite", fd) ? -1 : NEXT(pwrite)(fd, bytes, size, at);
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  return refuse_write("pwrite", fd) ? -1 : NEXT(pwrite64)(fd, bytes, size, at);
}
ssize_t writev(int fd, const struct ::iovec* parts, int count) {
  return refuse_write("writev", fd) ? -1 : NEXT(writev)(fd, parts, count);
}
ssize_t pwritev(int fd, const struct ::iovec* parts, int count, off_t at) {
  return refuse_write("pwritev", fd) ? -1 : NEXT(pwritev)(fd, parts, count, at);
}
ssize_t pwritev64(int fd, const struct ::iovec* parts, int count, off64_t at) {
  return refuse_write("pwritev", fd) ? -1 : NEXT(pwritev64)(fd, parts, count, at);
}
ssize_t copy_file_range(int in, off64_t* in_at, int out, off64_t* out_at, size_t size, unsigned flags) {
  return refuse_write("copy_file_range", out) ? -1 : NEXT(copy_file_range)(in, in_at, out, out_at, size, flags);
}
int fallocate(int fd, int mode, off_t from, off_t size) {
  return refuse_write("fallocate", fd) ? -1 : NEXT(fallocate)(fd, mode, from, size);
}
int nanosleep(const struct ::timespec* time, struct ::timespec* left) {
  if (control != nullptr) ++control->pauses;
  return NEXT(nanosleep)(time, left);
}
int clock_nanosleep(clockid_t clock, int flags, const struct ::timespec* time, struct ::timespec* left) {
  if (control != nullptr) ++control->pauses;
  return NEXT(clock_nanosleep)(clock, flags, time, left);
}
int fsetxattr(int fd, const char* name, const void* value, size_t size, int flags) {
  return refuse_write("fsetxattr", fd) ? -1 : NEXT(fsetxattr)(fd, name, value, size, flags);
}

int mkdir(const char* path, mode_t mode) { return refuse_name("mkdir in", AT_FDCWD, path) ? -1 : NEXT(mkdir)(path, mode); }
int mkdirat(int dir, const char* path, mode_t mode) {
  return refuse_name("mkdir in", dir, path) ? -1 : NEXT(mkdirat)(dir, path, mode);
}
int symlinkat(const char* target, int dir, const char* path) {
  return refuse_name("symlink in", dir, path) ? -1 : NEXT(symlinkat)(target, dir, path);
}
int linkat(int from, const char* name, int dir, const char* path, int flags) {
  return refuse_name("link in", dir, path) ? -1 : NEXT(linkat)(from, name, dir, path, flags);
}
int mknodat(int dir, const char* path, mode_t mode, dev_t device) {
  return refuse_name("mknod in", dir, path) ? -1 : NEXT(mknodat)(dir, path, mode, device);
}
int rename(const char* from, const char* to) { return refuse_name("rename to", AT_FDCWD, to, If::always) ? -1 : NEXT(rename)(from, to); }
int renameat(int from_dir, const char* from, int dir, const char* path) {
  return refuse_name("rename to", dir, path, If::always) ? -1 : NEXT(renameat)(from_dir, from, dir, path);
}
int renameat2(int from_dir, const char* from, int dir, const char* path, unsigned flags) {
  return refuse_name("rename to", dir, path, If::always) ? -1 : NEXT(renameat2)(from_dir, from, dir, path, flags);
}

// The mode is there only if a file is made, and reading it otherwise does no harm on this ABI.
int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = va_arg(more, mode_t);
  va_end(more);
  if (refuse_open(AT_FDCWD, path, static_cast<unsigned>(flags))) return -1;
  return NEXT(open)(path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = va_arg(more, mode_t);
  va_end(more);
  if (refuse_open(AT_FDCWD, path, static_cast<unsigned>(flags))) return -1;
  return NEXT(open64)(path, flags, mode);
}
int openat(int dir, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = va_arg(more, mode_t);
  va_end(more);
  if (refuse_open(dir, path, static_cast<unsigned>(flags))) return -1;
  return NEXT(openat)(dir, path, flags, mode);
}
int openat64(int dir, const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = va_arg(more, mode_t);
  va_end(more);
  if (refuse_open(dir, path, static_cast<unsigned>(flags))) return -1;
  return NEXT(openat64)(dir, path, flags, mode);
}
long syscall(long number, ...) noexcept {
  va_list more;
  va_start(more, number);
  long a[6];
  for (long& each : a) each = va_arg(more, long);
  va_end(more);
  if (number == SYS_openat2) {
    const auto* const path = reinterpret_cast<const char*>(a[1]);
    const auto* const how = reinterpret_cast<const struct ::open_how*>(a[2]);
    const int dir = static_cast<int>(a[0]);
    if (refuse_open(dir, path, how->flags)) return -1;
  }
  return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

}  // extern "C"

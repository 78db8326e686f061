// SPDX-License-Identifier: Apache-2.0
#include "tests/libsnapshot_changes/random_ops.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "libbase/fs/beneath.h"

namespace cairn::snapshot {
namespace {

constexpr std::array<const char*, static_cast<std::size_t>(OpKind::count)> kind_names = {
    "write", "append", "truncate", "rewrite_same_time", "open_for_writing", "remove", "rename", "link", "symlink", "chmod",
    "chown", "set_xattr", "remove_xattr", "set_acl", "set_capability", "mkdir", "make_again", "set_time", "device", "fifo",
    "socket"};

// Three names, three levels.
constexpr unsigned paths_count = 3 + 9 + 27;
std::string path_of(unsigned number) {
  number %= paths_count;
  const auto name = [](unsigned digit) { return std::string(1, static_cast<char>('a' + digit)); };
  if (number < 3) return name(number);
  if (number < 12) return name((number - 3) / 3) + "/" + name((number - 3) % 3);
  number -= 12;
  return name(number / 9) + "/" + name(number / 3 % 3) + "/" + name(number % 3);
}

void write_to(const std::string& path, int flags, const std::string& text) {
  const base::Fd fd(::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0644));
  struct ::stat status {};
  if (fd && ::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode)) must(base::write_full(fd.get(), text));
}

// Entries of user 1 and the mask, as the kernel wants them (version 2).
std::string acl(unsigned number) {
  std::string bytes("\2\0\0\0", 4);
  const auto entry = [&](unsigned short tag, unsigned short permissions, unsigned id) {
    bytes.append(reinterpret_cast<const char*>(&tag), 2);
    bytes.append(reinterpret_cast<const char*>(&permissions), 2);
    bytes.append(reinterpret_cast<const char*>(&id), 4);
  };
  entry(0x01, 7, ~0u);
  entry(0x02, static_cast<unsigned short>(number % 8), 1);
  entry(0x04, 5, ~0u);
  entry(0x10, 7, ~0u);
  entry(0x20, 4, ~0u);
  return bytes;
}

// What an operation may do wrong (no such file, a directory in the way) is of no interest.
void ignore(int) {}

void remove(const TreeAt& tree, const std::string& path) {
  (void)base::remove_all_beneath(tree.open().get(), must(base::TreePath::parse(path)));  // a link on the way to it
}

void rewrite_keeping_time(const std::string& path, unsigned number) {
  struct ::stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return;
  write_to(path, 0, std::string(static_cast<std::size_t>(status.st_size), static_cast<char>('A' + number % 26)));
  const std::array<timespec, 2> times = {status.st_atim, status.st_mtim};
  ignore(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW));
}

void set_time(const std::string& path, unsigned number) {
  const timespec time{static_cast<time_t>(number % 3) * 1'000'000'000 - 5, number % 2 == 0 ? 0 : static_cast<long>(number)};
  const std::array<timespec, 2> times = {time, time};
  ignore(::utimensat(AT_FDCWD, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW));
}

void run_one(const Op& op, const TreeAt& tree) {
  const std::string relative = path_of(op.path);
  const std::string path = tree.at(relative);
  const std::string other = tree.at(path_of(op.other));
  const std::string text(op.number % 5 * 3, static_cast<char>('a' + op.number % 26));
  const unsigned mode = 0700 + op.number % 64 + (op.number % 7 == 0 ? 04000 : 0);
  struct ::stat status {};
  const bool is_link = ::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode);
  switch (op.kind) {
    case OpKind::write: return write_to(path, O_CREAT | O_TRUNC, text);
    case OpKind::append: return write_to(path, O_APPEND, text);
    case OpKind::truncate:
      if (!is_link) ignore(::truncate(path.c_str(), op.number % 10000));
      return;
    case OpKind::rewrite_same_time: return rewrite_keeping_time(path, op.number);
    case OpKind::open_for_writing: return write_to(path, 0, "");
    case OpKind::remove: return remove(tree, relative);
    case OpKind::rename: return ignore(::rename(path.c_str(), other.c_str()));
    case OpKind::link: return ignore(::linkat(AT_FDCWD, path.c_str(), AT_FDCWD, other.c_str(), 0));
    case OpKind::symlink: return ignore(::symlink(path_of(op.other).c_str(), path.c_str()));
    case OpKind::chmod:
      if (!is_link) ignore(::chmod(path.c_str(), mode));
      return;
    case OpKind::chown: return ignore(::lchown(path.c_str(), op.number % 3, op.number % 2));
    case OpKind::set_xattr:
      return ignore(::lsetxattr(path.c_str(), op.number % 2 == 0 ? "user.a" : "trusted.b", text.data(), text.size(), 0));
    case OpKind::remove_xattr: return ignore(::lremovexattr(path.c_str(), "user.a"));
    case OpKind::set_acl: {
      const char* name = op.number % 3 == 0 ? "system.posix_acl_default" : "system.posix_acl_access";
      const std::string value = acl(op.number);
      return ignore(::lsetxattr(path.c_str(), name, value.data(), value.size(), 0));
    }
    case OpKind::set_capability: {
      const std::string value("\1\0\0\2\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
      if (!is_link) ignore(::lsetxattr(path.c_str(), "security.capability", value.data(), value.size(), 0));
      return;
    }
    case OpKind::mkdir: return ignore(::mkdir(path.c_str(), mode));
    case OpKind::make_again:
      remove(tree, relative);
      return ignore(::mkdir(path.c_str(), mode));
    case OpKind::set_time: return set_time(path, op.number);
    case OpKind::device: return ignore(::mknod(path.c_str(), S_IFCHR | 0600, makedev(1 + op.number % 3, op.number % 300)));
    case OpKind::fifo: return ignore(::mknod(path.c_str(), S_IFIFO | 0600, 0));
    case OpKind::socket: return ignore(::mknod(path.c_str(), S_IFSOCK | 0600, 0));
    case OpKind::count: break;
  }
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Op& op) {
  out << kind_names.at(static_cast<std::size_t>(op.kind)) << " " << path_of(op.path);
  if (op.kind == OpKind::rename || op.kind == OpKind::link || op.kind == OpKind::symlink) out << " " << path_of(op.other);
  return out << " #" << op.number;
}

void run(const Ops& ops, const TreeAt& tree) {
  for (const Op& op : ops) run_one(op, tree);
}

rc::Gen<Ops> random_ops(std::size_t count_max) {
  return rc::gen::resize(static_cast<int>(count_max), rc::gen::arbitrary<Ops>());
}

void check_property(const char* what, int times, const std::function<void()>& property) {
  const char* full = std::getenv("CAIRN_TEST_FULL");
  if (full != nullptr && std::string_view(full) == "1") times *= 10;
  auto params = rc::detail::configuration().testParams;  // prints the seed, which RC_PARAMS can give
  params.maxSuccess = times;
  rc::detail::TestMetadata metadata;
  metadata.description = what;
  const auto result = rc::detail::checkTestable(property, metadata, params);
  rc::detail::printResultMessage(result, std::cerr);
  std::cerr << "\n";
  EXPECT_TRUE(result.is<rc::detail::SuccessResult>()) << what;
}

}  // namespace cairn::snapshot

rc::Gen<cairn::snapshot::Op> rc::Arbitrary<cairn::snapshot::Op>::arbitrary() {
  using cairn::snapshot::Op;
  using cairn::snapshot::OpKind;
  // Directories come often, so that there is something to be in.
  std::vector<OpKind> kinds;
  const auto often = [&](OpKind kind, std::size_t times) { kinds.insert(kinds.end(), times, kind); };
  for (int at = 0; at < static_cast<int>(OpKind::count); ++at) often(static_cast<OpKind>(at), 2);
  often(OpKind::mkdir, 8);
  often(OpKind::write, 6);
  often(OpKind::link, 3);
  often(OpKind::make_again, 2);
  return rc::gen::build<Op>(rc::gen::set(&Op::kind, rc::gen::elementOf(kinds)), rc::gen::set(&Op::path, rc::gen::inRange(0u, 39u)),
                            rc::gen::set(&Op::other, rc::gen::inRange(0u, 39u)),
                            rc::gen::set(&Op::number, rc::gen::inRange(0u, 1000u)));
}

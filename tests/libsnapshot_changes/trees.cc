// SPDX-License-Identifier: Apache-2.0
#include "tests/libsnapshot_changes/trees.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <set>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libsnapshot/changes/compare.h"

namespace cairn::snapshot {
namespace {

void done(int outcome, const char* what, const std::string& path) {
  const int error = errno;
  CHECK(outcome >= 0, "{} {}: {}", what, path, base::errno_text(error));
}

std::string escaped(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    text += byte >= ' ' && byte <= '~' ? std::string(1, byte) : fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  }
  return text;
}

std::string contents_of(int directory, const std::string& name, const struct ::stat& status) {
  if (S_ISLNK(status.st_mode)) return must(read_link(directory, name.c_str()));
  if (!S_ISREG(status.st_mode)) return "";
  const base::Fd file(::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  done(file.get(), "open", name);
  const std::string bytes = must(base::read_all(file.get(), 64 << 20));
  if (bytes.size() <= 64) return escaped(bytes);
  return fmt::format("{} bytes, hash {:x}", bytes.size(), std::hash<std::string>()(bytes));
}

struct Dump {
  std::map<std::string, std::string> lines;
  std::map<std::pair<dev_t, ino_t>, std::vector<std::string>> names;

  void add(int directory, const std::string& name, const std::string& path) {
    struct ::stat status {};
    done(::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW), "stat", path);
    std::string line = fmt::format("mode {:o} owner {}:{} time {}.{:09}", status.st_mode, status.st_uid, status.st_gid,
                                   status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
      line += fmt::format(" device {}:{}", major(status.st_rdev), minor(status.st_rdev));
    }
    for (const auto& [key, value] : must(tree_xattrs(directory, name.c_str()))) line += fmt::format(" {}={}", key, escaped(value));
    if (!S_ISDIR(status.st_mode)) {
      line += fmt::format(" size {} [{}]", status.st_size, contents_of(directory, name, status));
      names[{status.st_dev, status.st_ino}].push_back(path);
    }
    lines[path] = line;
    if (S_ISDIR(status.st_mode)) add_directory(directory, name, path);
  }

  void add_directory(int directory, const std::string& name, const std::string& path) {
    const base::Fd inside(::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    done(inside.get(), "open", path);
    for (const auto& entry : must(base::list_dir(inside.get()))) {
      add(inside.get(), entry.name, path == "." ? entry.name : path + "/" + entry.name);
    }
  }
};

}  // namespace

void TreeAt::dir(const std::string& path, unsigned bits) const {
  done(::mkdir(at(path).c_str(), 0700), "mkdir", path);
  mode(path, bits);
}

void TreeAt::file(const std::string& path, std::string_view text, unsigned bits) const {
  const base::Fd fd(::open(at(path).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  done(fd.get(), "create", path);
  must(base::write_full(fd.get(), text));
  done(::fchmod(fd.get(), bits), "chmod", path);
}

void TreeAt::symlink(const std::string& path, const std::string& target) const {
  done(::symlink(target.c_str(), at(path).c_str()), "symlink", path);
}

void TreeAt::link(const std::string& path, const std::string& target) const {
  done(::linkat(AT_FDCWD, at(target).c_str(), AT_FDCWD, at(path).c_str(), 0), "link", path);
}

void TreeAt::node(const std::string& path, unsigned bits, unsigned device_major, unsigned device_minor) const {
  done(::mknod(at(path).c_str(), bits, makedev(device_major, device_minor)), "mknod", path);
  mode(path, bits & 07777);
}

void TreeAt::owner(const std::string& path, unsigned uid, unsigned gid) const {
  done(::lchown(at(path).c_str(), uid, gid), "chown", path);
}

void TreeAt::mode(const std::string& path, unsigned bits) const { done(::chmod(at(path).c_str(), bits), "chmod", path); }

void TreeAt::xattr(const std::string& path, const std::string& name, std::string_view value) const {
  done(::lsetxattr(at(path).c_str(), name.c_str(), value.data(), value.size(), 0), "setxattr", path);
}

void TreeAt::time(const std::string& path, std::int64_t seconds, long nanoseconds) const {
  const std::array<timespec, 2> times = {timespec{seconds, nanoseconds}, timespec{seconds, nanoseconds}};
  done(::utimensat(AT_FDCWD, at(path).c_str(), times.data(), AT_SYMLINK_NOFOLLOW), "utimensat", path);
}

void TreeAt::remove(const std::string& path) const {
  must(base::remove_all_beneath(open().get(), must(base::TreePath::parse(path))));
}

void TreeAt::rename(const std::string& from, const std::string& to) const {
  done(::rename(at(from).c_str(), at(to).c_str()), "rename", from);
}

void TreeAt::time_all(std::int64_t seconds, long nanoseconds) const {
  for (const auto& [path, line] : dump(open().get())) time(path, seconds, nanoseconds);
}

base::Fd TreeAt::open() const {
  base::Fd fd(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  done(fd.get(), "open", root_);
  return fd;
}

std::map<std::string, std::string> dump(int directory) {
  Dump all;
  all.add(directory, ".", ".");
  for (const auto& [inode, names] : all.names) {
    if (names.size() < 2) continue;
    for (const auto& name : names) all.lines[name] += " linked with " + names.front();
  }
  return std::move(all.lines);
}

std::string difference(const std::map<std::string, std::string>& expected,
                       const std::map<std::string, std::string>& got) {
  std::set<std::string> paths;
  for (const auto& [path, line] : expected) paths.insert(path);
  for (const auto& [path, line] : got) paths.insert(path);
  const auto line_in = [](const auto& lines, const std::string& path) {
    const auto found = lines.find(path);
    return found == lines.end() ? std::string("nothing") : found->second;
  };
  std::string text;
  for (const auto& path : paths) {
    const std::string want = line_in(expected, path);
    const std::string have = line_in(got, path);
    if (want != have) text += fmt::format("{}:\n  expected {}\n  got      {}\n", path, want, have);
  }
  return text;
}

std::string line_of(const Change& change) {
  static constexpr std::array<const char*, 6> kinds = {"add", "modify", "relink", "remove", "opaque", "unmodified"};
  std::string line = fmt::format("{} {}", kinds.at(static_cast<std::size_t>(change.kind)),
                                 change.path.is_root() ? "." : change.path.str());
  if (change.in_layer == InLayer::no) line += " (not in layer)";
  return line;
}

std::vector<std::string> stream(std::optional<int> lower, int upper, ChangeOptions options) {
  std::vector<std::string> lines;
  must(changes_between(
      lower, upper,
      [&](const Change& change) -> base::Status {
        lines.push_back(line_of(change));
        return {};
      },
      options));
  return lines;
}

}  // namespace cairn::snapshot

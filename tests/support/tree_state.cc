// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tree_state.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <sstream>

#include "libbase/fs/beneath.h"
#include "libbase/digest.h"
#include "libbase/hash/sha256.h"

namespace cairn::test {
namespace {

using Inode = std::pair<dev_t, ino_t>;

class Describe {
 public:
  base::Result<std::string> run(int dir) {
    TRY(describe(dir, ".", "."));
    TRY(entries(dir, ""));
    return std::move(text_);
  }

 private:
  base::Status entries(int dir, const std::string& prefix) {
    for (const auto& entry : TRY(base::list_dir(dir), "list \"{}\"", prefix)) {
      const std::string path = prefix + entry.name;
      TRY(describe(dir, entry.name, path), "{}", path);
      if (entry.type != DT_DIR) continue;
      const base::Fd below(::openat(dir, entry.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!below) return base::fail_errno(errno, "open {}", path);
      TRY(entries(below.get(), path + "/"));
    }
    return {};
  }

  base::Status describe(int dir, const std::string& name, const std::string& path) {
    struct ::stat stat {};
    if (::fstatat(dir, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) return base::fail_errno(errno, "stat");
    text_ += fmt::format("{} {:o} {}:{} {}.{:09}", path, stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtim.tv_sec,
                         stat.st_mtim.tv_nsec);
    if (!S_ISDIR(stat.st_mode) && stat.st_nlink > 1) {
      const auto [first, is_first] = groups_.try_emplace(Inode{stat.st_dev, stat.st_ino}, path);
      if (!is_first) text_ += " = " + first->second;
    }
    if (S_ISREG(stat.st_mode)) TRY(contents(dir, name, stat));
    if (S_ISLNK(stat.st_mode)) TRY(target(dir, name));
    if (S_ISCHR(stat.st_mode) || S_ISBLK(stat.st_mode)) text_ += fmt::format(" device {:x}", stat.st_rdev);
    for (const auto& [key, value] : TRY(base::list_xattrs_at(dir, name))) {
      if (!key.starts_with("trusted.overlay.") && !key.starts_with("user.overlay.")) {
        text_ += fmt::format(" {}={}", key, base::to_hex(base::sha256(value)).substr(0, 16));
      }
    }
    text_ += '\n';
    return {};
  }

  base::Status contents(int dir, const std::string& name, const struct ::stat& stat) {
    const base::Fd file(::openat(dir, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file) return base::fail_errno(errno, "open");
    const std::string bytes = TRY(base::read_all(file.get(), std::size_t{1} << 30));
    text_ += fmt::format(" {} {}", stat.st_size, base::to_hex(base::sha256(bytes)));
    return {};
  }

  base::Status target(int dir, const std::string& name) {
    std::array<char, 4096> text{};
    const ssize_t size = ::readlinkat(dir, name.c_str(), text.data(), text.size());
    if (size < 0) return base::fail_errno(errno, "read link");
    text_ += " -> " + std::string(text.data(), static_cast<std::size_t>(size));
    return {};
  }

  std::string text_;
  std::map<Inode, std::string> groups_;
};

}  // namespace

base::Result<std::string> tree_state(int dir) { return Describe().run(dir); }

std::string first_difference(const std::string& expected, const std::string& found) {
  if (expected == found) return "";
  std::istringstream ours(expected), theirs(found);
  std::string our_line, their_line;
  do {
    if (!std::getline(ours, our_line)) our_line = "(nothing)";
    if (!std::getline(theirs, their_line)) their_line = "(nothing)";
  } while (our_line == their_line && our_line != "(nothing)");
  return fmt::format("expected {}, found {}", our_line, their_line);
}

}  // namespace cairn::test

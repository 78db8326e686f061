// SPDX-License-Identifier: Apache-2.0
#include "tests/libcache_digest/random_edits.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace cairn::cache {
namespace {

// Few names, so that edits meet; some that are at the edges of the order of keys.
std::string random_path(std::mt19937_64& random) {
  static const std::array<std::string, 6> names = {"a", "b", "a!", "d", "\xff", "z"};
  std::string path;
  for (std::uint64_t depth = 1 + random() % 3; depth > 0; --depth) {
    if (!path.empty()) path += '/';
    path += names[random() % names.size()];
  }
  return path;
}

void write_file(const std::string& path, std::uint32_t value) {
  // Never into a device, and a FIFO would wait for a reader.
  struct ::stat info {};
  if (::lstat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) return;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
  if (fd < 0) return;
  const std::string bytes(1 + value % 3 * 40, static_cast<char>('a' + value / 3 % 26));
  if (::write(fd, bytes.data(), bytes.size()) < 0) std::perror("write");
  ::close(fd);
}

// The edit that a cache by size and mtime alone would miss.
void write_back(const std::string& path, std::uint32_t value) {
  struct ::stat before {};
  if (::lstat(path.c_str(), &before) != 0 || !S_ISREG(before.st_mode) || before.st_size == 0) return;
  const int fd = ::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  const std::string bytes(static_cast<std::size_t>(before.st_size), static_cast<char>('A' + value % 26));
  if (::write(fd, bytes.data(), bytes.size()) < 0) std::perror("write");
  const timespec times[2] = {{0, UTIME_OMIT}, before.st_mtim};
  (void)::futimens(fd, times);
  ::close(fd);
}

void remove_all(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

void make_link(const std::string& path, const std::string& target) {
  struct ::stat info {};
  if (::lstat(path.c_str(), &info) == 0 && !S_ISDIR(info.st_mode)) (void)::unlink(path.c_str());
  if (::symlink(target.c_str(), path.c_str()) != 0) return;
}

}  // namespace

Edit random_edit(std::mt19937_64& random) {
  Edit edit;
  edit.kind = static_cast<EditKind>(random() % (static_cast<std::uint64_t>(EditKind::last) + 1));
  edit.path = random_path(random);
  edit.other = random_path(random);
  edit.value = static_cast<std::uint32_t>(random());
  return edit;
}

void apply_edit(const Edit& edit, const std::string& top) {
  const std::string path = top + "/" + edit.path, other = top + "/" + edit.other;
  const std::uint32_t value = edit.value;
  const timespec times[2] = {{0, UTIME_OMIT}, {1'000'000'000 + value % 5, value % 3}};
  switch (edit.kind) {
    case EditKind::write: write_file(path, value); break;
    case EditKind::write_back: write_back(path, value); break;
    case EditKind::chmod: (void)!::fchmodat(AT_FDCWD, path.c_str(), 0400 + value % 256, 0); break;
    case EditKind::chown: (void)!::lchown(path.c_str(), value % 3, value % 2); break;
    case EditKind::touch: (void)::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW); break;
    case EditKind::rename: (void)::rename(path.c_str(), other.c_str()); break;
    case EditKind::exchange: (void)::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE); break;
    case EditKind::hard_link: (void)!::link(path.c_str(), other.c_str()); break;
    case EditKind::symlink: make_link(path, edit.other + (value % 2 == 0 ? "" : "x")); break;
    case EditKind::make_dir: (void)::mkdir(path.c_str(), 0755); break;
    case EditKind::remove: remove_all(path); break;
    case EditKind::remake:
      remove_all(path);
      if (::mkdir(path.c_str(), 0700 + value % 64) == 0) write_file(path + "/a", value);
      break;
    case EditKind::xattr:
      if (value % 4 == 0) {
        (void)::lremovexattr(path.c_str(), "user.x");
      } else {
        (void)::lsetxattr(path.c_str(), value % 4 == 1 ? "user.com.apple.x" : "user.x", &value, 1 + value % 4, 0);
      }
      break;
    case EditKind::node:
      (void)::mknod(path.c_str(), value % 2 == 0 ? (S_IFIFO | 0600) : (S_IFCHR | 0600),
                    makedev(1, value % 4 < 2 ? 3 : 5));  // /dev/null, /dev/zero: harmless whatever is done to them
      break;
  }
}

std::string to_string(const Edit& edit) {
  static constexpr std::array<const char*, 14> names = {"write",     "write_back", "chmod",    "chown",  "touch",
                                                        "rename",    "exchange",   "hard_link", "symlink", "make_dir",
                                                        "remove",    "remake",     "xattr",    "node"};
  return fmt::format("{} {:?} {:?} {}", names[static_cast<std::size_t>(edit.kind)], edit.path, edit.other, edit.value);
}

std::string to_string(const Rounds& rounds) {
  std::string text;
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    text += fmt::format("round {}\n", i);
    for (const Edit& edit : rounds[i]) text += "  " + to_string(edit) + "\n";
  }
  return text;
}

Rounds shrink(Rounds rounds, const std::function<bool(const Rounds&)>& fails) {
  const auto without = [](const Rounds& from, std::size_t first, std::size_t count) {
    Rounds less;
    std::size_t at = 0;
    for (const auto& round : from) {
      less.emplace_back();
      for (const Edit& edit : round) {
        if (at < first || at >= first + count) less.back().push_back(edit);
        ++at;
      }
    }
    return less;
  };
  std::size_t total = 0;
  for (const auto& round : rounds) total += round.size();
  for (std::size_t piece = total / 2; piece > 0; piece /= 2) {
    for (std::size_t first = 0; first < total;) {
      Rounds less = without(rounds, first, piece);
      if (fails(less)) {
        rounds = std::move(less);
        total -= std::min(piece, total - first);
      } else {
        first += piece;
      }
    }
  }
  return rounds;
}

}  // namespace cairn::cache

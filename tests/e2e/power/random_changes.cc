// SPDX-License-Identifier: Apache-2.0
// Few names, so that changes meet: what exists is overwritten, renamed, linked and removed.
#include "tests/e2e/power/random_changes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "libbase/fs/beneath.h"

namespace cairn::test {
namespace {

class Changes {
 public:
  Changes(int dir, std::uint64_t seed) : dir_(dir), random_(seed) {}

  void one() {
    switch (pick(12)) {
      case 0:
      case 1:
      case 2:
      case 3: return write(O_TRUNC);
      case 4: return write(O_APPEND);
      case 5: return accept(::mkdirat(dir_, directory().c_str(), 0755));
      case 6: return accept(::linkat(dir_, name().c_str(), dir_, name().c_str(), 0));
      case 7: return accept(::symlinkat(("to " + name()).c_str(), dir_, name().c_str()));
      case 8: return accept(::renameat(dir_, name().c_str(), dir_, name().c_str()));
      case 9: return remove();
      case 10: return metadata();
      default: return sparse();
    }
  }

 private:
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  std::string directory() { return "d" + std::to_string(pick(3)); }
  std::string name() {
    const std::string file = "f" + std::to_string(pick(8));
    return pick(2) == 0 ? file : directory() + "/" + file;
  }
  std::string bytes() {
    static constexpr std::uint64_t sizes[] = {1, 100, 3000, 5000, 40'000, 200'000};
    std::string text(1 + pick(sizes[pick(std::size(sizes))]), '\0');
    for (char& byte : text) byte = static_cast<char>(random_());
    return text;
  }
  // What the names happen to be may refuse a change; the disk may not.
  static void accept(int outcome) {
    static constexpr int expected[] = {ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, ELOOP, EPERM};
    CHECK(outcome >= 0 || std::ranges::find(expected, errno) != std::end(expected), "change a tree: {}",
          ::strerror(errno));
  }

  void write(int flags) {
    const base::Fd file(::openat(dir_, name().c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0644));
    accept(file.get());
    if (!file) return;
    const auto written = base::write_full(file.get(), std::string_view(bytes()));
    CHECK(written, "{}", written.error().message);
  }

  void remove() {
    const std::string target = pick(4) == 0 ? directory() : name();
    const auto removed = base::remove_all_beneath(dir_, *base::TreePath::parse(target));
    CHECK(removed || removed.error().code == base::ErrorCode::invalid_argument, "{}", removed.error().message);
  }

  void metadata() {
    const base::Fd file(::openat(dir_, name().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    accept(file.get());
    if (!file) return;
    accept(::fchmod(file.get(), static_cast<mode_t>(0600 + pick(64))));
    accept(::fchown(file.get(), static_cast<uid_t>(pick(1000)), static_cast<gid_t>(pick(1000))));
    const std::string value = bytes().substr(0, 200);
    accept(::fsetxattr(file.get(), "user.note", value.data(), value.size(), 0));
  }

  void sparse() {
    const base::Fd file(::openat(dir_, name().c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
    accept(file.get());
    if (file) accept(static_cast<int>(::pwrite(file.get(), "end", 3, static_cast<off_t>(pick(1u << 20)))));
  }

  int dir_;
  std::mt19937_64 random_;
};

}  // namespace

void change_at_random(int dir, std::uint64_t seed, int count) {
  Changes changes(dir, seed);
  for (int i = 0; i < count; ++i) changes.one();
}

}  // namespace cairn::test

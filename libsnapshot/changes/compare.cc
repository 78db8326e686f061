// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/changes/compare.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <vector>

#include "libbase/fs/beneath.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::Fd;

constexpr std::size_t piece_bytes = 128 * 1024;
constexpr const char* capability = "security.capability";

bool same_time(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

base::Result<Fd> open_contents(const Entry& entry) {
  Fd fd(::openat(entry.directory, entry.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return base::fail_errno(errno, "open \"{}\"", entry.name);
  return fd;
}

base::Result<bool> same_contents(const Entry& lower, const Entry& upper, const ChangeOptions& options) {
  const Fd a = TRY(open_contents(lower));
  const Fd b = TRY(open_contents(upper));
  const auto size = static_cast<std::size_t>(std::min<off_t>(lower.status.st_size, piece_bytes));
  std::vector<std::byte> from_a(size), from_b(size);
  while (true) {
    if (options.stop.stop_requested()) return base::fail(ErrorCode::cancelled, "compare contents");
    const std::size_t got_a = TRY(base::read_full(a.get(), from_a));
    const std::size_t got_b = TRY(base::read_full(b.get(), from_b));
    if (options.counts != nullptr) options.counts->bytes_read += got_a + got_b;
    if (got_a != got_b || !std::equal(from_a.begin(), from_a.begin() + static_cast<std::ptrdiff_t>(got_a), from_b.begin())) {
      return false;
    }
    if (got_a < size) return true;
  }
}

Comparison different(InLayer in_layer) { return Comparison{.same = false, .in_layer = in_layer}; }

// Both are regular files or links, and same in all but what is read here.
base::Result<Comparison> compare_bytes(const Entry& lower, const Entry& upper, const ChangeOptions& options) {
  const bool whole_seconds = lower.status.st_mtim.tv_nsec == 0 && upper.status.st_mtim.tv_nsec == 0;
  const InLayer seen = whole_seconds ? InLayer::yes : InLayer::no;
  if (S_ISLNK(lower.status.st_mode)) {
    const auto target = TRY(read_link(lower.directory, lower.name));
    return target == TRY(read_link(upper.directory, upper.name)) ? Comparison{} : different(seen);
  }
  if (!S_ISREG(lower.status.st_mode) || lower.status.st_size == 0) return Comparison{};
  if (!whole_seconds && options.contents == Contents::trust_times) return Comparison{};
  return TRY(same_contents(lower, upper, options)) ? Comparison{} : different(seen);
}

}  // namespace

bool is_overlay_mark(std::string_view xattr) {
  return xattr.starts_with("trusted.overlay.") || xattr.starts_with("user.overlay.");
}

base::Result<std::map<std::string, std::string>> tree_xattrs(int directory, const char* name) {
  auto values = TRY(base::list_xattrs_at(directory, name));
  std::erase_if(values, [](const auto& item) { return is_overlay_mark(item.first); });
  return values;
}

base::Result<std::string> read_link(int directory, const char* name) {
  std::array<char, PATH_MAX> target{};
  const ssize_t size = ::readlinkat(directory, name, target.data(), target.size());
  if (size < 0) return base::fail_errno(errno, "read the link \"{}\"", name);
  return std::string(target.data(), static_cast<std::size_t>(size));
}

base::Result<Comparison> compare_entries(const Entry& lower, const Entry& upper, const ChangeOptions& options) {
  const auto& a = lower.status;
  const auto& b = upper.status;
  if (a.st_dev == b.st_dev && a.st_ino == b.st_ino) return Comparison{};
  if (a.st_mode != b.st_mode || a.st_uid != b.st_uid || a.st_gid != b.st_gid || a.st_rdev != b.st_rdev) {
    return different(InLayer::yes);
  }
  const auto xattrs_a = TRY(tree_xattrs(lower.directory, lower.name));
  const auto xattrs_b = TRY(tree_xattrs(upper.directory, upper.name));
  const bool same_xattrs = xattrs_a == xattrs_b;
  if (!same_xattrs) {
    const auto value = [](const auto& xattrs) {
      const auto found = xattrs.find(capability);
      return found == xattrs.end() ? std::string() : found->second;
    };
    if (value(xattrs_a) != value(xattrs_b)) return different(InLayer::yes);
  }
  if (S_ISDIR(a.st_mode)) {
    return same_xattrs && same_time(a.st_mtim, b.st_mtim) ? Comparison{} : different(InLayer::no);
  }
  if (a.st_size != b.st_size || !same_time(a.st_mtim, b.st_mtim)) return different(InLayer::yes);
  const Comparison bytes = TRY(compare_bytes(lower, upper, options));
  return bytes.same && !same_xattrs ? different(InLayer::no) : bytes;
}

}  // namespace cairn::snapshot

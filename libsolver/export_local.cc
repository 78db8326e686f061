// SPDX-License-Identifier: Apache-2.0
#include "libsolver/export_local.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <map>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libsolver/sources/copy_data.h"
#include "libsolver/sources/node_metadata.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;

constexpr std::size_t open_levels_max = 24;  // pairs of directories that are kept open
constexpr std::size_t warnings_max = 20;
constexpr std::uint64_t progress_step = 1 << 20;

using Progress = std::function<void(std::uint64_t, std::uint64_t)>;

class Exporter {
 public:
  Exporter(int from, int to, std::stop_token stop, const Progress& progress)
      : from_(from), to_(to), stop_(std::move(stop)), progress_(progress) {}

  Result<ExportReport> run() {
    const Fd listing = TRY(base::open_beneath(from_, {}, O_RDONLY | O_DIRECTORY));
    Level root;
    root.names = TRY(base::list_dir(listing.get()), "list the tree");
    levels_.push_back(std::move(root));
    while (!levels_.empty()) {
      if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "the export was cancelled");
      Level& level = levels_.back();
      if (level.next == level.names.size()) {
        TRY(leave());
        continue;
      }
      const std::string name = std::move(level.names[level.next++].name);
      const std::string path = level.path + name;
      TRY(take(name, path), "export {}", path);
    }
    if (progress_) progress_(report_.bytes, 0);
    return std::move(report_);
  }

 private:
  struct Level {
    std::string path;  // "" or "a/b/"
    Fd from, to;       // closed again in deep trees; the root has none
    std::vector<base::DirEntry> names;
    std::size_t next = 0;
    NodeMetadata metadata;
  };

  Status open_level(Level& level) {
    if (level.path.empty() || level.from) return {};
    const base::TreePath path = TRY(base::TreePath::parse(level.path));
    level.from = TRY(base::open_beneath(from_, path, O_RDONLY | O_DIRECTORY));
    level.to = TRY(base::open_beneath(to_, path, O_RDONLY | O_DIRECTORY));
    return {};
  }
  int from_of(const Level& level) const { return level.path.empty() ? from_ : level.from.get(); }
  int to_of(const Level& level) const { return level.path.empty() ? to_ : level.to.get(); }

  Status take(const std::string& name, const std::string& path) {
    Level& level = levels_.back();
    TRY(open_level(level));
    const int from = from_of(level), to = to_of(level);
    struct ::stat facts;
    if (::fstatat(from, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(errno, "stat");
    ++report_.entries;
    if (S_ISDIR(facts.st_mode)) return descend(from, to, name, path, facts);
    TRY(make_room(to, name));
    if (S_ISREG(facts.st_mode)) {
      ++report_.files;
      if (facts.st_nlink > 1) {
        const auto [first, is_new] = links_.try_emplace({facts.st_dev, facts.st_ino}, path);
        if (!is_new) return link(first->second, to, name);
      }
      return copy_file(from, to, name, path, facts);
    }
    if (S_ISLNK(facts.st_mode)) {
      std::array<char, PATH_MAX> target;
      const ssize_t size = ::readlinkat(from, name.c_str(), target.data(), target.size() - 1);
      if (size < 0) return fail_errno(errno, "read the link");
      target[static_cast<std::size_t>(size)] = '\0';
      if (::symlinkat(target.data(), to, name.c_str()) != 0) return fail_errno(errno, "make the symbolic link");
    } else if (::mknodat(to, name.c_str(), (facts.st_mode & S_IFMT) | 0600, facts.st_rdev) != 0) {
      return fail_errno(errno, "make the node");
    }
    const Fd node = TRY(open_node(to, name));
    const auto metadata = TRY(metadata_of(from, name, facts));
    return give(node.get(), metadata, path);
  }

  Status descend(int from, int to, const std::string& name, const std::string& path, const struct ::stat& facts) {
    Level level;
    level.path = path + "/";
    level.metadata = TRY(metadata_of(from, name, facts));
    level.from = Fd(::openat(from, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!level.from) return fail_errno(errno, "open");
    level.names = TRY(base::list_dir(level.from.get()), "list");
    struct ::stat there;
    if (::fstatat(to, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(there.st_mode)) {
      TRY(make_room(to, name));
    }
    if (::mkdirat(to, name.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "make the directory");
    level.to = Fd(::openat(to, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!level.to) return fail_errno(errno, "open");
    // Descriptors for every level of a deep tree would be too many; they are opened again on the way back.
    if (levels_.size() >= open_levels_max) {
      levels_.back().from.reset();
      levels_.back().to.reset();
    }
    levels_.push_back(std::move(level));
    return {};
  }

  // Metadata comes last, so that neither a read-only mode nor later changes inside spoil it.
  Status leave() {
    Level& level = levels_.back();
    if (!level.path.empty()) {
      TRY(open_level(level));
      TRY(give(level.to.get(), level.metadata, level.path), "export {}", level.path);
    }
    levels_.pop_back();
    return {};
  }

  // Takes away what is there, be it a link to the end of the world.
  Status make_room(int to, const std::string& name) {
    if (::unlinkat(to, name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return fail_errno(errno, "replace what is there");
    if (::unlinkat(to, name.c_str(), AT_REMOVEDIR) == 0) return {};
    if (errno != ENOTEMPTY && errno != EEXIST) return fail_errno(errno, "replace what is there");
    auto error = fail(ErrorCode::already_exists, "a directory with files in it is there");
    error.value().hint = "remove it, or export into another directory";
    return error;
  }

  Status copy_file(int from, int to, const std::string& name, const std::string& path, const struct ::stat& facts) {
    const Fd source(::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!source) return fail_errno(errno, "open");
    const Fd target(::openat(to, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!target) return fail_errno(errno, "create");
    const auto size = static_cast<std::uint64_t>(facts.st_size);
    TRY(copy_data(source.get(), target.get(), size, stop_, [this](std::uint64_t count) { report(count); }));
    report_.bytes += size;
    const auto metadata = TRY(metadata_of(from, name, facts));
    return give(target.get(), metadata, path);
  }

  Status link(const std::string& first, int to, const std::string& name) {
    const base::TreePath path = TRY(base::TreePath::parse(first));
    const Fd folder = TRY(base::open_beneath(to_, path.parent(), O_RDONLY | O_DIRECTORY));
    if (::linkat(folder.get(), std::string(path.name()).c_str(), to, name.c_str(), 0) != 0) {
      return fail_errno(errno, "link to {}", first);
    }
    return {};
  }

  static Result<NodeMetadata> metadata_of(int from, const std::string& name, const struct ::stat& facts) {
    NodeMetadata metadata{facts.st_uid, facts.st_gid, facts.st_mode, facts.st_mtim, {}};
    metadata.xattrs = TRY(base::list_xattrs_at(from, name), "read the xattrs");
    std::erase_if(metadata.xattrs, [](const auto& xattr) {
      return xattr.first != "security.capability" && !xattr.first.starts_with("user.");
    });
    return metadata;
  }

  Status give(int fd, const NodeMetadata& metadata, const std::string& path) {
    const auto refused = TRY(set_metadata(fd, metadata));
    for (const auto& name : refused) {
      if (report_.warnings.size() == warnings_max) break;
      report_.warnings.push_back(fmt::format("{} lost its xattr {}: it cannot be set there", path, name));
    }
    return {};
  }

  void report(std::uint64_t count) {
    done_ += count;
    if (!progress_ || done_ - reported_ < progress_step) return;
    reported_ = done_;
    progress_(done_, 0);
  }

  int from_, to_;
  std::stop_token stop_;
  const Progress& progress_;
  std::vector<Level> levels_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;  // where a file with several names was exported first
  ExportReport report_;
  std::uint64_t done_ = 0, reported_ = 0;
};

// mkdir -p; links on the way to dest are the user's own and followed.
Status make_dirs(const base::HostPath& dest) {
  for (std::size_t slash = dest.str().find('/', 1);; slash = dest.str().find('/', slash + 1)) {
    const std::string part = dest.str().substr(0, slash);
    if (::mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno(errno, "make the directory {}", part);
    if (slash == std::string::npos) return {};
  }
}

}  // namespace

Result<ExportReport> export_local(const snapshot::MountedTree& from, const base::HostPath& dest, std::stop_token stop,
                                  const Progress& progress) {
  TRY(make_dirs(dest));
  const Fd to = TRY(base::open_host_dir(dest), "open {}", dest.str());
  return Exporter(from.fd(), to.get(), std::move(stop), progress).run();
}

}  // namespace cairn::solver

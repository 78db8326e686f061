// SPDX-License-Identifier: Apache-2.0
// What is at a name on disk and its digest; below that, the walk that makes a row of them.
#include "libcache/trees/disk_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <tuple>

namespace cairn::cache {
namespace {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;

constexpr std::size_t chunk_size = 128 << 10;
constexpr std::string_view unchanged_hint = "nothing may write to a tree while its digest is computed";

auto changed(const std::string& path) {
  return tl::unexpected(
      Error{ErrorCode::io, fmt::format("\"{}\" changed while it was read", path), std::string(unchanged_hint)});
}

// A name that was listed but cannot be reached is no answer to a question of the caller, so it is not not_found.
tl::unexpected<Error> unreadable(Error error, const std::string& path) {
  const bool is_gone = error.code == ErrorCode::not_found || error.code == ErrorCode::invalid_argument;
  if (!is_gone) return tl::unexpected(base::add_context(std::move(error), fmt::format("read \"{}\"", path)));
  return tl::unexpected(Error{ErrorCode::io, fmt::format("\"{}\" vanished while it was read: {}", path, error.message),
                              std::string(unchanged_hint)});
}

EntryType type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return EntryType::directory;
    case S_IFLNK: return EntryType::symlink;
    case S_IFCHR: return EntryType::char_device;
    case S_IFBLK: return EntryType::block_device;
    case S_IFIFO: return EntryType::fifo;
    case S_IFSOCK: return EntryType::socket;
    default: return EntryType::file;
  }
}

RecordType record_type_of(mode_t mode) {
  if (S_ISDIR(mode)) return RecordType::directory;
  return S_ISLNK(mode) ? RecordType::symlink : RecordType::file;
}

auto identity(const struct ::stat& info) { return std::tuple(info.st_dev, info.st_ino); }

// What must not move while a file is read.
auto version(const struct ::stat& info) {
  return std::tuple(info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                    info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
}

// The target of a link: of name in dir, or of the O_PATH descriptor dir itself if name is empty.
Result<std::string> read_link(int dir, const std::string& name) {
  std::string target(4096, '\0');  // the kernel's limit
  const ssize_t size = ::readlinkat(dir, name.c_str(), target.data(), target.size());
  if (size < 0) return fail_errno(errno, "read link \"{}\"", name);
  target.resize(static_cast<std::size_t>(size));
  return target;
}

}  // namespace

DiskTree::DiskTree(int tree, DigestRules rules, DigestCounts* counts, std::stop_token stop)
    : tree_(tree), rules_(rules), counts_(counts), stop_(std::move(stop)) {}

Status DiskTree::check_stop() const {
  if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "compute the digest of a tree: cancelled");
  return {};
}

Result<std::optional<RecordSource::Found>> DiskTree::find(std::string_view path) {
  const auto tree_path = base::TreePath::parse(path);
  if (!tree_path) return std::nullopt;  // a name too long to exist
  const auto fd = base::open_beneath(tree_, *tree_path, O_PATH | O_NOFOLLOW);
  if (!fd) {
    // invalid_argument: a link is on the way, so there is nothing at this very path.
    const ErrorCode code = fd.error().code;
    if (code == ErrorCode::not_found || code == ErrorCode::invalid_argument) return std::nullopt;
    return tl::unexpected(fd.error());
  }
  const struct ::stat info = TRY(base::stat_fd(fd->get()));
  Found found{record_type_of(info.st_mode), ""};
  if (found.type == RecordType::symlink) found.link = TRY(read_link(fd->get(), ""));
  return found;
}

TreeEntry DiskTree::entry_of(const struct ::stat& info) const {
  TreeEntry entry;
  entry.type = type_of(info.st_mode);
  entry.mode = info.st_mode & 07777;
  entry.uid = info.st_uid;
  entry.gid = info.st_gid;
  entry.size = static_cast<std::uint64_t>(info.st_size);
  const bool is_device = S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode);
  // spec/storage 3.1: a scan never sees device numbers; a client that streams a tree sends them.
  if (is_device && rules_ == DigestRules::stream) {
    entry.device_major = major(info.st_rdev);
    entry.device_minor = minor(info.st_rdev);
  }
  return entry;
}

// spec/storage 3.1: clients do not send the attributes of one system.
void DiskTree::drop_uncounted(TreeEntry& entry) const {
  if (rules_ == DigestRules::scan) return;
  std::erase_if(entry.xattrs, [](const auto& xattr) { return xattr.first.starts_with("com.apple."); });
}

Result<TreeDigest> DiskTree::digest_leaf(const Place& place) {
  struct ::stat info {};
  if (::fstatat(place.dir, place.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return unreadable({base::code_of_errno(errno), base::errno_text(errno), {}}, place.path);
  }
  if (S_ISREG(info.st_mode) && info.st_size > 0) return digest_file(place);
  if (S_ISDIR(info.st_mode)) return changed(place.path);
  TreeEntry entry = entry_of(info);
  if (S_ISLNK(info.st_mode)) {
    entry.mode |= 0777;
    auto link = read_link(place.dir, place.name);
    if (!link) return unreadable(std::move(link).error(), place.path);
    entry.link = std::move(*link);
  }
  auto xattrs = base::list_xattrs_at(place.dir, place.name);
  if (!xattrs) return unreadable(std::move(xattrs).error(), place.path);
  entry.xattrs = std::move(*xattrs);
  drop_uncounted(entry);
  return EntryHasher(entry).finish();
}

Result<TreeDigest> DiskTree::digest_file(const Place& place) {
  // O_NONBLOCK: should the name be a FIFO by now, opening it must not wait for a writer.
  const auto fd =
      base::open_beneath(place.dir, base::TreePath().child(place.name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (!fd) return unreadable(fd.error(), place.path);
  const struct ::stat before = TRY(base::stat_fd(fd->get()));
  if (!S_ISREG(before.st_mode)) return changed(place.path);
  if (counts_ != nullptr) ++counts_->files_opened;
  TreeEntry entry = entry_of(before);
  entry.xattrs = TRY(base::list_xattrs(fd->get()), "\"{}\"", place.path);
  drop_uncounted(entry);
  EntryHasher hasher(entry);
  TRY(hash_bytes(fd->get(), hasher, entry.size, place.path));
  if (version(before) != version(TRY(base::stat_fd(fd->get())))) return changed(place.path);
  return hasher.finish();
}

Status DiskTree::hash_bytes(int fd, EntryHasher& hasher, std::uint64_t size, const std::string& path) {
  if (!buffer_) buffer_ = std::make_unique<std::byte[]>(chunk_size);
  const std::span<std::byte> buffer(buffer_.get(), chunk_size);
  std::uint64_t total = 0;
  while (true) {
    TRY(check_stop());
    const std::size_t got = TRY(base::read_full(fd, buffer), "read \"{}\"", path);
    if (counts_ != nullptr) counts_->bytes_read += got;
    hasher.update(std::span<const std::byte>(buffer.first(got)));
    total += got;
    if (got < buffer.size()) break;
  }
  if (total != size) return changed(path);
  return {};
}

Result<TreeDigest> DiskTree::digest_header(int dir, const std::string& path) {
  // spec/storage 3.2: a client never sends the top of its tree.
  if (path.empty() && rules_ == DigestRules::stream) return base::digest_of<TreeDigest>("");
  TreeEntry entry = entry_of(TRY(base::stat_fd(dir)));
  entry.xattrs = TRY(base::list_xattrs(dir), "\"{}\"", path);
  drop_uncounted(entry);
  return EntryHasher(entry).finish();
}

// The row of records below one path. Directories on the way down stay open, the last 64 of them; one that was closed is
// opened again by its path and must still be the same.
class DiskTree::Walk {
 public:
  Walk(DiskTree& tree, const RecordVisit& visit) : tree_(tree), visit_(visit) {}

  Status run(std::string_view path) {
    const base::TreePath start = TRY(base::TreePath::parse(path));
    key_ = key_of(path);
    Step step;
    if (start.is_root()) {
      Fd top = TRY(base::open_beneath(tree_.tree_, start, O_RDONLY | O_DIRECTORY));
      step = TRY(visit_directory([&]() -> Result<Fd> { return std::move(top); }));
    } else {
      const Fd parent = TRY(base::open_beneath(tree_.tree_, start.parent(), O_PATH | O_DIRECTORY));
      step = TRY(visit_name(parent.get(), std::string(start.name()), DT_UNKNOWN));
    }
    while (step != Step::stop && !levels_.empty()) step = TRY(advance());
    return {};
  }

 private:
  struct Level {
    Fd fd;
    struct ::stat info;
    std::size_t key_size;
    std::vector<base::DirEntry> entries;
    std::size_t next = 0;
  };
  static constexpr std::size_t open_max = 64;

  Result<Step> advance() {
    TRY(tree_.check_stop());
    Level& level = levels_.back();
    key_.resize(level.key_size);
    if (level.next == level.entries.size()) {
      levels_.pop_back();
      return Step::next;
    }
    if (!level.fd) TRY(open_again(level));
    const base::DirEntry entry = std::move(level.entries[level.next++]);
    key_ += '\0';
    key_ += entry.name;
    return visit_name(level.fd.get(), entry.name, entry.type);
  }

  Status open_again(Level& level) {
    const std::string path = path_of(key_);
    auto fd = base::open_beneath(tree_.tree_, TRY(base::TreePath::parse(path)), O_RDONLY | O_DIRECTORY);
    if (!fd) return unreadable(std::move(fd).error(), path);
    if (identity(TRY(base::stat_fd(fd->get()))) != identity(level.info)) return changed(path);
    level.fd = std::move(*fd);
    return {};
  }

  Result<Step> visit_name(int dir, const std::string& name, unsigned char type) {
    if (type == DT_UNKNOWN) {
      struct ::stat info {};
      if (::fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return unreadable({base::code_of_errno(errno), base::errno_text(errno), {}}, path_of(key_));
      }
      type = static_cast<unsigned char>(IFTODT(info.st_mode));
    }
    if (type == DT_DIR) {
      return visit_directory([&]() -> Result<Fd> {
        return base::open_beneath(dir, base::TreePath().child(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      });
    }
    const std::function<Result<TreeDigest>()> digest = [&] {
      const std::string path = path_of(key_);
      return tree_.digest_leaf({dir, name, path});
    };
    return visit_({key_, type == DT_LNK ? RecordType::symlink : RecordType::file, digest});
  }

  // The two records of a directory; what is in it becomes the next level.
  template <class Open>
  Result<Step> visit_directory(Open&& open) {
    const std::string path = path_of(key_);
    const std::function<Result<TreeDigest>()> none = [&]() -> Result<TreeDigest> { return changed(path); };
    const Step step = TRY(visit_({key_, RecordType::directory, none}));
    if (step == Step::stop) return step;
    if (step == Step::skip_below) return Step::next;
    auto fd = open();
    if (!fd) return unreadable(std::move(fd).error(), path);
    const struct ::stat info = TRY(base::stat_fd(fd->get()));
    const std::string header_key = key_ + '\0';
    const std::function<Result<TreeDigest>()> digest = [&] { return tree_.digest_header(fd->get(), path); };
    if (TRY(visit_({header_key, RecordType::header, digest})) == Step::stop) return Step::stop;
    auto entries = TRY(base::list_dir(fd->get()), "\"{}\"", path);
    levels_.push_back({std::move(*fd), info, key_.size(), std::move(entries)});
    if (levels_.size() > open_max) levels_[levels_.size() - 1 - open_max].fd.reset();
    return Step::next;
  }

  DiskTree& tree_;
  const RecordVisit& visit_;
  std::string key_;  // of what is being visited
  std::vector<Level> levels_;
};

Status DiskTree::walk(std::string_view path, const RecordVisit& visit) { return Walk(*this, visit).run(path); }

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
// What is at a name on disk and its digest; below that, the walk that makes a row of them.
#include "libcache/trees/disk_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libbase/sync.h"
#include "libbase/work_stack.h"
#include "libcache/trees/subtree_digester.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;

TreeRecordType record_type_of(mode_t mode) {
  if (S_ISDIR(mode)) return TreeRecordType::directory;
  return S_ISLNK(mode) ? TreeRecordType::symlink : TreeRecordType::file;
}

// The target of the link at an O_PATH descriptor.
Result<std::string> read_link(int fd, std::string_view path) {
  std::string target(4096, '\0');  // the kernel's limit
  const ssize_t size = ::readlinkat(fd, "", target.data(), target.size());
  if (size < 0) return fail_errno(errno, "read link \"{}\"", path);
  target.resize(static_cast<std::size_t>(size));
  return target;
}

// A directory that was closed must still be the same when it is opened by its path.
Result<Fd> open_again(int tree, const std::string& path, const StatX& seen, const EntryReader& reader) {
  auto fd = base::open_beneath(tree, TRY(base::TreePath::parse(path)), O_RDONLY | O_DIRECTORY);
  if (!fd) return unreadable(std::move(fd).error(), path);
  if (identity(TRY(reader.look_at_directory(fd->get(), path))) != identity(seen)) return changed_while_read(path);
  return std::move(*fd);
}

}  // namespace

DiskTree::DiskTree(int tree, Options options)
    : tree_(tree), options_(std::move(options)), reader_(options_.normalisation, options_.stop) {
  if (!options_.normalisation.is_off()) options_.stats = nullptr;
}

DiskTree::~DiskTree() {
  if (options_.counts != nullptr) *options_.counts += reader_.counts();
}

Result<TreeDigest> DiskTree::contents(std::string_view path) {
  SubtreeDigester digester(tree_, {.rules = options_.rules,
                                   .normalisation = options_.normalisation,
                                   .stop = options_.stop,
                                   .stats = options_.stats});
  auto contents = digester.digest(path);
  if (options_.counts != nullptr) *options_.counts += digester.counts();
  if (!contents) return tl::unexpected(std::move(contents).error());
  return contents->digest;
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
  if (found.type == TreeRecordType::symlink) found.link = TRY(read_link(fd->get(), path));
  return found;
}

Result<TreeDigest> DiskTree::digest_leaf(const Place& place, DirectoryStats* stats) {
  return TRY(reader_.read_or_recall(place, TRY(reader_.look(place)), stats)).by(options_.rules);
}

Result<TreeDigest> DiskTree::digest_header(int dir, const StatX& seen, const std::string& path, DirectoryStats* stats) {
  // spec/storage 3.2: a client never sends the top of its tree.
  if (path.empty() && options_.rules == DigestRules::stream) return base::digest_of<TreeDigest>("");
  return TRY(reader_.read_or_recall_header(dir, seen, path, stats)).by(options_.rules);
}

// What a walk was asked to digest later: names by directory, which is opened again by its path.
class DiskTree::Later {
 public:
  explicit Later(DiskTree& tree) : tree_(tree) {}

  struct Directory {
    std::string path;
    StatX seen;
    std::shared_ptr<DirectoryStats> stats;  // none without a stat cache
  };
  void add(const std::shared_ptr<const Directory>& directory, const std::string& name, TreeDigest* into) {
    if (pieces_.empty() || pieces_.back().directory != directory || pieces_.back().names.size() == piece_size) {
      pieces_.push_back({directory, {}});
    }
    pieces_.back().names.emplace_back(name, into);
    ++count_;
  }
  bool is_full() const { return count_ >= names_max; }

  Status run() {
    count_ = 0;
    base::Guarded<DigestCounts> counts;
    base::WorkStack<Piece> stack;
    const Status status = stack.run(std::exchange(pieces_, {}), [&] {
      return [reader = std::make_unique<Reader>(tree_, counts)](const Piece& piece) { return reader->read(piece); };
    });
    if (tree_.options_.counts != nullptr) *tree_.options_.counts += *counts.lock();
    return status;
  }

 private:
  static constexpr std::size_t piece_size = 64, names_max = 8'192;
  struct Piece {
    std::shared_ptr<const Directory> directory;
    std::vector<std::pair<std::string, TreeDigest*>> names;
  };
  class Reader {
   public:
    Reader(DiskTree& tree, base::Guarded<DigestCounts>& counts)
        : tree_(tree), counts_(counts), reader_(tree.options_.normalisation, tree.options_.stop) {}
    ~Reader() { *counts_.lock() += reader_.counts(); }
    Status read(const Piece& piece) {
      const Directory& directory = *piece.directory;
      const Fd fd = TRY(open_again(tree_.tree_, directory.path, directory.seen, reader_));
      for (const auto& [name, into] : piece.names) {
        const std::string path = directory.path + "/" + name;
        const Place place{fd.get(), name, path};
        const StatX seen = TRY(reader_.look(place));
        *into = TRY(reader_.read_or_recall(place, seen, directory.stats.get())).by(tree_.options_.rules);
      }
      return {};
    }

   private:
    DiskTree& tree_;
    base::Guarded<DigestCounts>& counts_;
    EntryReader reader_;
  };

  DiskTree& tree_;
  std::vector<Piece> pieces_;
  std::size_t count_ = 0;
};

// The row of records below one path. Directories on the way down stay open, the last 64 of them; one that was closed is
// opened again by its path and must still be the same.
class DiskTree::Walk {
 public:
  Walk(DiskTree& tree, const RecordVisit& visit) : tree_(tree), visit_(visit), later_(tree) {}

  Status run(std::string_view path) {
    const base::TreePath start = TRY(base::TreePath::parse(path));
    key_ = key_of(path);
    Step step;
    if (start.is_root()) {
      Fd top = TRY(base::open_beneath(tree_.tree_, start, O_RDONLY | O_DIRECTORY));
      step = TRY(visit_directory([&]() -> Result<Fd> { return std::move(top); }));
    } else {
      const Fd parent = TRY(base::open_beneath(tree_.tree_, start.parent(), O_PATH | O_DIRECTORY));
      step = TRY(visit_name(parent.get(), std::string(start.name()), DT_UNKNOWN, nullptr));
    }
    while (step != Step::stop && !levels_.empty()) step = TRY(advance());
    return read_later();
  }

 private:
  struct Level {
    Fd fd;
    std::shared_ptr<const Later::Directory> directory;
    std::size_t key_size;
    std::vector<base::DirEntry> entries;
    std::size_t next = 0;
  };
  static constexpr std::size_t open_max = 64;

  Result<Step> advance() {
    TRY(tree_.reader_.check_stop());
    if (later_.is_full()) TRY(read_later());
    Level& level = levels_.back();
    key_.resize(level.key_size);
    if (level.next == level.entries.size()) {
      if (level.directory->stats) ended_.push_back(level.directory->stats);
      levels_.pop_back();
      return Step::next;
    }
    if (!level.fd) level.fd = TRY(open_again(tree_.tree_, path_of(key_), level.directory->seen, tree_.reader_));
    const base::DirEntry entry = level.entries[level.next++];  // a copy: the levels may move meanwhile
    key_ += '\0';
    key_ += entry.name;
    return visit_name(level.fd.get(), entry.name, entry.type, level.directory);
  }

  // Directories that the walk has left are remembered once all in them has been read.
  Status read_later() {
    TRY(later_.run());
    for (const std::shared_ptr<DirectoryStats>& stats : ended_) stats->finish();
    ended_.clear();
    return {};
  }

  // directory: null where the walk begins.
  Result<Step> visit_name(int dir, const std::string& name, unsigned char type,
                          const std::shared_ptr<const Later::Directory>& directory) {
    if (type == DT_UNKNOWN) {
      type = static_cast<unsigned char>(IFTODT(TRY(tree_.reader_.look({dir, name, path_of(key_)})).stx_mode));
    }
    if (type == DT_DIR) {
      return visit_directory([&]() -> Result<Fd> {
        return base::open_beneath(dir, base::TreePath().child(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      });
    }
    const std::function<Result<TreeDigest>()> digest = [&] {
      const std::string path = path_of(key_);
      return tree_.digest_leaf({dir, name, path}, directory ? directory->stats.get() : nullptr);
    };
    const std::function<void(TreeDigest*)> later = [&](TreeDigest* into) { later_.add(directory, name, into); };
    const auto record_type = type == DT_LNK ? TreeRecordType::symlink : TreeRecordType::file;
    return visit_({key_, record_type, digest, directory ? &later : nullptr});
  }

  // The two records of a directory; what is in it becomes the next level.
  template <class Open>
  Result<Step> visit_directory(Open&& open) {
    const std::string path = path_of(key_);
    const std::function<Result<TreeDigest>()> none = [&]() -> Result<TreeDigest> { return changed_while_read(path); };
    const Step step = TRY(visit_({key_, TreeRecordType::directory, none}));
    if (step == Step::stop) return step;
    if (step == Step::skip_below) return Step::next;
    auto fd = open();
    if (!fd) return unreadable(std::move(fd).error(), path);
    auto directory = std::make_shared<Later::Directory>();
    directory->path = path;
    directory->seen = TRY(tree_.reader_.look_at_directory(fd->get(), path));
    const std::string header_key = key_ + '\0';
    if (tree_.options_.stats != nullptr) {
      directory->stats = std::make_shared<DirectoryStats>(*tree_.options_.stats, fd->get(), directory->seen);
    }
    const std::function<Result<TreeDigest>()> digest = [&] {
      return tree_.digest_header(fd->get(), directory->seen, path, directory->stats.get());
    };
    if (TRY(visit_({header_key, TreeRecordType::header, digest})) == Step::stop) return Step::stop;
    auto entries = TRY(base::list_dir(fd->get()), "\"{}\"", path);
    tree_.reader_.count_listing();
    if (directory->stats) forget_missing(*directory->stats, entries);
    levels_.push_back({std::move(*fd), std::move(directory), key_.size(), std::move(entries)});
    if (levels_.size() > open_max) levels_[levels_.size() - 1 - open_max].fd.reset();
    return Step::next;
  }

  static void forget_missing(DirectoryStats& stats, const std::vector<base::DirEntry>& entries) {
    stats.forget_missing([&entries](std::string_view wanted) {
      const auto found = std::lower_bound(entries.begin(), entries.end(), wanted,
                                          [](const base::DirEntry& entry, std::string_view text) { return entry.name < text; });
      return found != entries.end() && found->name == wanted;
    });
  }

  DiskTree& tree_;
  const RecordVisit& visit_;
  std::string key_;  // of what is being visited
  std::vector<Level> levels_;
  Later later_;
  std::vector<std::shared_ptr<DirectoryStats>> ended_;
};

Status DiskTree::walk(std::string_view path, const RecordVisit& visit) { return Walk(*this, visit).run(path); }

}  // namespace cairn::cache

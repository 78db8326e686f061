// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/local_dir.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "libsolver/sources/local_file.h"
#include "libsolver/sources/local_tree.h"
#include "libsolver/sources/local_walk.h"
#include "libsolver/sources/stream_digest.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;

constexpr std::uint64_t progress_step = 1 << 20;

// Takes the entries of a walk one by one: finds the digest of each and, for a copy, makes it in the tree.
class Taker {
 public:
  Taker(int from, LocalWalk walk, std::optional<int> to, std::stop_token stop, const LocalProgress& progress)
      : walk_(std::move(walk)),
        from_(from, walk_),
        stop_(stop),
        reader_(std::move(stop), [this](std::size_t count) { report(count); }),
        progress_(progress),
        digests_(walk_.entries.size()),
        gone_(walk_.entries.size()) {
    if (to) tree_.emplace(*to, walk_);
  }
  Taker(const Taker&) = delete;
  Taker& operator=(const Taker&) = delete;

  Result<LocalScan> run() {
    for (std::uint32_t i = 0; i < walk_.entries.size(); ++i) {
      if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "reading a local directory was cancelled");
      TRY(take(i), "{}", walk_.path_of(i));
    }
    if (tree_) TRY(tree_->finish_directories());
    if (progress_) progress_(walk_.bytes, walk_.bytes);
    scan_.digest = fold();
    scan_.warnings = std::move(walk_.warnings);
    return std::move(scan_);
  }

 private:
  Status take(std::uint32_t index) {
    const LocalEntry& entry = walk_.entries[index];
    if (entry.link != LocalEntry::none) {
      if (const auto existing = holder_of(index)) {
        digests_[index] = digests_[*existing];
        ++scan_.files;
        return tree_ ? tree_->link(*existing, index) : Status();
      }
    }
    if (entry.has_content) return take_file(index);
    digests_[index] = stream_hasher(entry.mode, entry.size, entry.target, entry.device, entry.xattrs).finish();
    if (S_ISREG(entry.mode)) ++scan_.files;
    return tree_ ? tree_->make(index) : Status();
  }

  // The entry that has the file of this hard link; nullopt if that one vanished, so that this one has to be read itself
  // and stands in for it from now on.
  std::optional<std::uint32_t> holder_of(std::uint32_t index) {
    const std::uint32_t first = walk_.entries[index].link;
    if (!gone_[first]) return first;
    std::uint32_t& stand_in = walk_.entries[first].link;
    if (stand_in != LocalEntry::none && !gone_[stand_in]) return stand_in;
    stand_in = index;
    return std::nullopt;
  }

  Status take_file(std::uint32_t index) {
    const Fd source = TRY(open_source(index));
    if (!source) {
      gone_[index] = true;
      return {};
    }
    std::optional<FileWriter> writer;
    if (tree_) writer = TRY(tree_->create_file(index));
    const FileState state = TRY(reader_.read(source.get(), writer ? &*writer : nullptr));
    if (writer) TRY(tree_->finish_file(*writer, state));
    digests_[index] = state.digest;
    scan_.bytes += static_cast<std::uint64_t>(state.facts.st_size);
    ++scan_.files;
    return {};
  }

  // An empty Fd if the file vanished since the walk.
  Result<Fd> open_source(std::uint32_t index) {
    const LocalEntry& entry = walk_.entries[index];
    const auto folder = from_.at(entry.parent);
    if (!folder && folder.error().code == ErrorCode::not_found) return Fd();
    // Without O_NONBLOCK a fifo that took the file's place would wait for ever.
    Fd fd(::openat(TRY(folder), entry.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (fd || errno == ENOENT) return fd;
    if (errno == ELOOP || errno == ENXIO) return fail(ErrorCode::busy, "it is no longer a regular file");
    return fail_errno(errno, "open");
  }

  TreeDigest fold() {
    StreamDigest digest;
    std::vector<std::uint32_t> open;  // the directories around the entry at hand
    for (std::uint32_t i = 0; i < walk_.entries.size(); ++i) {
      if (gone_[i]) continue;
      const LocalEntry& entry = walk_.entries[i];
      for (; !open.empty() && open.back() != entry.parent; open.pop_back()) digest.leave();
      ++scan_.entries;
      if (S_ISDIR(entry.mode)) {
        digest.enter(entry.name, digests_[i]);
        open.push_back(i);
      } else {
        digest.leaf(entry.name, digests_[i]);
      }
    }
    for (; !open.empty(); open.pop_back()) digest.leave();
    return digest.finish();
  }

  void report(std::size_t count) {
    done_ += count;
    if (!progress_ || done_ - reported_ < progress_step) return;
    reported_ = done_;
    progress_(std::min(done_, walk_.bytes), walk_.bytes);
  }

  LocalWalk walk_;
  DirectoryCursor from_;
  std::stop_token stop_;
  FileReader reader_;
  const LocalProgress& progress_;
  std::vector<TreeDigest> digests_;
  std::vector<bool> gone_;
  std::optional<LocalTree> tree_;
  LocalScan scan_;
  std::uint64_t done_ = 0, reported_ = 0;
};

}  // namespace

Result<LocalScan> scan_local(int dir, const LocalFilter& filter, std::stop_token stop) {
  auto walk = TRY(walk_local(dir, filter, stop));
  const LocalProgress none;
  return Taker(dir, std::move(walk), std::nullopt, std::move(stop), none).run();
}

Result<LocalScan> copy_local(int dir, const LocalFilter& filter, const snapshot::MountedTree& to, std::stop_token stop,
                             const LocalProgress& progress) {
  auto walk = TRY(walk_local(dir, filter, stop));
  return Taker(dir, std::move(walk), to.fd(), std::move(stop), progress).run();
}

}  // namespace cairn::solver

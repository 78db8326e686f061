// SPDX-License-Identifier: Apache-2.0
// The second half of reading a local directory: files are read (and written) in ranges of entries, by all cores; what is not
// a file with bytes comes before, and further names of files after.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libbase/work_stack.h"
#include "libsolver/sources/local_dir.h"
#include "libsolver/sources/local_file.h"
#include "libsolver/sources/local_tree.h"
#include "libsolver/sources/local_walk.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;

constexpr std::uint64_t progress_step = 1 << 20;
constexpr std::size_t range_files_max = 64;
constexpr std::uint64_t range_bytes_max = 8 << 20;

class Progress {
 public:
  Progress(const LocalProgress& report, std::uint64_t total) : report_(report), total_(total) {}
  void add(std::size_t count) {
    if (!report_) return;
    const std::lock_guard lock(mutex_);
    done_ += count;
    if (done_ - reported_ < progress_step) return;
    reported_ = done_;
    report_(std::min(done_, total_), total_);
  }
  void finish() {
    if (report_) report_(total_, total_);
  }

 private:
  const LocalProgress& report_;
  const std::uint64_t total_;
  std::mutex mutex_;  // held while the receiver runs: it gets one call after the other
  std::uint64_t done_ = 0, reported_ = 0;
};

struct Range {  // of a list of entries
  std::size_t from = 0, to = 0;
};

// The first range comes last, for that is where a stack begins.
std::vector<Range> ranges_of(const LocalWalk& walk, const std::vector<std::uint32_t>& files) {
  std::vector<Range> ranges;
  Range range;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    bytes += walk.entries[files[i]].size;
    range.to = i + 1;
    if (range.to - range.from < range_files_max && bytes < range_bytes_max) continue;
    ranges.push_back(range);
    range.from = range.to;
    bytes = 0;
  }
  if (range.from < range.to) ranges.push_back(range);
  std::reverse(ranges.begin(), ranges.end());
  return ranges;
}

}  // namespace

struct LocalSync::State {
  State(int dir_in, LocalWalk walk_in, std::stop_token stop_in)
      : dir(dir_in), walk(std::move(walk_in)), stop(std::move(stop_in)), is_gone(walk.entries.size()) {}

  // One thread's part of reading, into a tree if there is one.
  class Taker {
   public:
    Taker(State& state, std::optional<int> to, const std::stop_token& stop, Progress& progress)
        : state_(state),
          from_(state.dir, state.walk),
          reader_(stop, [&progress](std::size_t count) { progress.add(count); }) {
      if (to) tree_.emplace(*to, state.walk);
    }
    Status take_file(std::uint32_t index);
    Status link(std::uint32_t existing, std::uint32_t index) { return tree_ ? tree_->link(existing, index) : Status(); }

   private:
    Result<Fd> open_source(std::uint32_t index);

    State& state_;
    DirectoryCursor from_;
    FileReader reader_;
    std::optional<LocalTree> tree_;
  };

  Result<LocalScan> take(const std::vector<std::uint32_t>& wanted, std::optional<int> to, const std::stop_token& stop_now,
                         const LocalProgress& report);
  Status make_others(LocalTree& tree, const std::vector<std::uint32_t>& wanted, const std::stop_token& stop_now);
  Status read_files(const std::vector<std::uint32_t>& files, std::optional<int> to, const std::stop_token& stop_now,
                    Progress& progress);
  Status take_links(const std::vector<std::uint32_t>& wanted, Taker& taker);
  std::optional<std::uint32_t> holder_of(std::uint32_t index);
  void describe();
  void count_names(LocalScan& scan) const;
  void finish_stats();

  int dir;
  LocalWalk walk;
  std::stop_token stop;
  std::vector<char> is_gone;  // written by several threads, each its own entries
  std::optional<cache::DescribedTree> description;
  base::Guarded<LocalScan> totals;  // what reading has cost
};

Status LocalSync::State::Taker::take_file(std::uint32_t index) {
  const Fd source = TRY(open_source(index));
  if (!source) {
    state_.is_gone[index] = 1;
    return {};
  }
  std::optional<FileWriter> writer;
  if (tree_) writer = TRY(tree_->create_file(index));
  const FileState state = TRY(reader_.read(source.get(), writer ? &*writer : nullptr));
  if (writer) TRY(tree_->finish_file(*writer, state));
  LocalEntry& entry = state_.walk.entries[index];
  entry.mode = state.facts.stx_mode;
  entry.size = state.facts.stx_size;
  entry.modified = {state.facts.stx_mtime.tv_sec, static_cast<long>(state.facts.stx_mtime.tv_nsec)};
  entry.content = file_content(state.digest, state.xattrs);
  entry.is_known = true;
  if (const auto stats = state_.walk.stats.find(entry.parent); stats != state_.walk.stats.end()) {
    stats->second->note(entry.name, state.facts, entry.content);
  }
  auto totals = state_.totals.lock();
  ++totals->files_opened;
  totals->bytes += state.facts.stx_size;
  return {};
}

// An empty Fd if the file vanished since the walk.
Result<Fd> LocalSync::State::Taker::open_source(std::uint32_t index) {
  const LocalEntry& entry = state_.walk.entries[index];
  const auto folder = from_.at(entry.parent);
  if (!folder && folder.error().code == ErrorCode::not_found) return Fd();
  // Without O_NONBLOCK a fifo that took the file's place would wait for ever.
  Fd fd(::openat(TRY(folder), entry.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (fd || errno == ENOENT) return fd;
  if (errno == ELOOP || errno == ENXIO) return fail(ErrorCode::busy, "it is no longer a regular file");
  return fail_errno(errno, "open");
}

// wanted: entries in the order of the walk, each behind its directory unless that is there already.
Result<LocalScan> LocalSync::State::take(const std::vector<std::uint32_t>& wanted, std::optional<int> to,
                                         const std::stop_token& stop_now, const LocalProgress& report) {
  *totals.lock() = {};
  std::vector<std::uint32_t> files;
  std::uint64_t bytes = 0;
  for (const std::uint32_t index : wanted) {
    const LocalEntry& entry = walk.entries[index];
    if (!entry.has_content || entry.link != LocalEntry::none || is_gone[index]) continue;
    if (!to && entry.is_known) continue;
    files.push_back(index);
    bytes += entry.size;
  }
  Progress progress(report, bytes);
  if (to) {
    LocalTree tree(*to, walk);
    TRY(make_others(tree, wanted, stop_now));
  }
  TRY(read_files(files, to, stop_now, progress));
  Taker taker(*this, to, stop_now, progress);
  TRY(take_links(wanted, taker));
  progress.finish();
  LocalScan scan = *totals.lock();
  if (to) scan.made = wanted.size();
  return scan;
}

Status LocalSync::State::make_others(LocalTree& tree, const std::vector<std::uint32_t>& wanted,
                                     const std::stop_token& stop_now) {
  for (const std::uint32_t index : wanted) {
    if (stop_now.stop_requested()) return fail(ErrorCode::cancelled, "copying a local directory was cancelled");
    if (!walk.entries[index].has_content) TRY(tree.make(index), "{}", walk.path_of(index));
  }
  return {};
}

Status LocalSync::State::read_files(const std::vector<std::uint32_t>& files, std::optional<int> to,
                                    const std::stop_token& stop_now, Progress& progress) {
  base::WorkStack<Range> stack;
  return stack.run(ranges_of(walk, files), [&] {
    return [&, taker = std::make_unique<Taker>(*this, to, stop_now, progress)](const Range& range) -> Status {
      for (std::size_t i = range.from; i < range.to; ++i) {
        if (stop_now.stop_requested()) return fail(ErrorCode::cancelled, "reading a local directory was cancelled");
        TRY(taker->take_file(files[i]), "{}", walk.path_of(files[i]));
      }
      return {};
    };
  });
}

Status LocalSync::State::take_links(const std::vector<std::uint32_t>& wanted, Taker& taker) {
  for (const std::uint32_t index : wanted) {
    if (walk.entries[index].link == LocalEntry::none || !walk.entries[index].has_content) continue;
    const auto existing = holder_of(index);
    if (!existing) {
      TRY(taker.take_file(index), "{}", walk.path_of(index));
      continue;
    }
    LocalEntry& entry = walk.entries[index];
    const LocalEntry& holder = walk.entries[*existing];
    entry.mode = holder.mode;
    entry.size = holder.size;
    entry.modified = holder.modified;
    entry.content = holder.content;
    TRY(taker.link(*existing, index), "{}", walk.path_of(index));
  }
  return {};
}

// The entry that has the file of this hard link; nullopt if that one vanished, so that this one has to be read itself
// and stands in for it from now on.
std::optional<std::uint32_t> LocalSync::State::holder_of(std::uint32_t index) {
  const std::uint32_t first = walk.entries[index].link;
  if (!is_gone[first]) return first;
  std::uint32_t& stand_in = walk.entries[first].link;
  if (stand_in != LocalEntry::none && stand_in != index && !is_gone[stand_in]) return stand_in;
  stand_in = index;
  return std::nullopt;
}

// Names that are known by now become the description, or what has changed in it.
void LocalSync::State::describe() {
  if (description) {
    for (std::uint32_t i = 0; i < walk.entries.size(); ++i) {
      if (is_gone[i]) description->remove(i);
    }
    return;
  }
  std::vector<cache::DescribedName> names;
  names.reserve(walk.entries.size());
  for (std::uint32_t i = 0; i < walk.entries.size(); ++i) {
    const LocalEntry& entry = walk.entries[i];
    cache::DescribedName& name = names.emplace_back();
    name.name = entry.name;
    name.parent = entry.parent;
    if (entry.link != LocalEntry::none && !is_gone[i]) name.link = holder_of(i).value_or(LocalEntry::none);
    name.entry = sent_entry(entry);
    name.entry.xattrs.clear();
    name.content = entry.content;
  }
  description.emplace(std::move(names));
  for (std::uint32_t i = 0; i < walk.entries.size(); ++i)
    if (is_gone[i]) description->remove(i);
}

void LocalSync::State::count_names(LocalScan& scan) const {
  for (std::size_t i = 0; i < walk.entries.size(); ++i) {
    if (is_gone[i]) continue;
    ++scan.entries;
    if (S_ISREG(walk.entries[i].mode)) ++scan.files;
  }
}

void LocalSync::State::finish_stats() {
  for (auto& [directory, stats] : walk.stats) stats->finish();
  walk.stats.clear();
}

LocalSync::LocalSync(std::unique_ptr<State> state) : state_(std::move(state)) {}
LocalSync::LocalSync(LocalSync&&) noexcept = default;
LocalSync& LocalSync::operator=(LocalSync&&) noexcept = default;
LocalSync::~LocalSync() = default;

Result<LocalSync> LocalSync::look(int dir, const LocalFilter& filter, cache::StatCache* stats, std::stop_token stop) {
  LocalWalk walk = TRY(walk_local(dir, filter, stop, stats));
  return LocalSync(std::make_unique<State>(dir, std::move(walk), std::move(stop)));
}

Result<LocalScan> LocalSync::scan() {
  std::vector<std::uint32_t> all(state_->walk.entries.size());
  for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
  LocalScan scan = TRY(state_->take(all, std::nullopt, state_->stop, {}));
  state_->finish_stats();
  state_->describe();
  scan.digest = state_->description->digest();
  scan.warnings = state_->walk.warnings;
  state_->count_names(scan);
  return scan;
}

Result<std::optional<cache::DescribedTree::Changes>> LocalSync::changes_from(const cache::ImmutableRef& base) {
  CHECK(state_->description.has_value(), "changes of a directory that has not been scanned");
  return state_->description->changes_from(base);
}

Result<LocalScan> LocalSync::copy(const snapshot::MountedTree& to, std::stop_token stop, const LocalProgress& progress) {
  cache::DescribedTree::Changes all;
  all.made.resize(state_->walk.entries.size());
  for (std::uint32_t i = 0; i < all.made.size(); ++i) all.made[i] = i;
  return update(to, all, std::move(stop), progress);
}

Result<LocalScan> LocalSync::update(const snapshot::MountedTree& fork, const cache::DescribedTree::Changes& changes,
                                    std::stop_token stop, const LocalProgress& progress) {
  State& state = *state_;
  for (const std::string& path : changes.removed) {
    TRY(base::remove_all_beneath(fork.fd(), TRY(base::TreePath::parse(path))), "remove {}", path);
  }
  LocalScan scan = TRY(state.take(changes.made, fork.fd(), stop, progress));
  // Backwards, so that what is inside comes first.
  LocalTree tree(fork.fd(), state.walk);
  std::vector<std::uint32_t> directories = changes.directories;
  for (const std::uint32_t index : changes.made)
    if (S_ISDIR(state.walk.entries[index].mode)) directories.push_back(index);
  std::sort(directories.rbegin(), directories.rend());
  for (const std::uint32_t index : directories) TRY(tree.finish_directory(index), "{}", state.walk.path_of(index));
  state.finish_stats();
  if (state.description) {
    for (const std::uint32_t index : changes.made) {
      const LocalEntry& entry = state.walk.entries[index];
      cache::TreeEntry sent = sent_entry(entry);
      sent.xattrs.clear();
      if (!state.is_gone[index] && entry.has_content) state.description->set(index, sent, entry.content);
    }
  }
  state.describe();
  scan.digest = state.description->digest();
  scan.warnings = state.walk.warnings;
  state.count_names(scan);
  return scan;
}

cache::DescribedTree LocalSync::take_description() {
  CHECK(state_->description.has_value(), "a directory that has not been synced has no description");
  return std::move(*state_->description);
}

Result<LocalScan> scan_local(int dir, const LocalFilter& filter, std::stop_token stop) {
  LocalSync sync = TRY(LocalSync::look(dir, filter, nullptr, std::move(stop)));
  return sync.scan();
}

Result<LocalScan> copy_local(int dir, const LocalFilter& filter, const snapshot::MountedTree& to, std::stop_token stop,
                             const LocalProgress& progress) {
  LocalSync sync = TRY(LocalSync::look(dir, filter, nullptr, stop));
  return sync.copy(to, std::move(stop), progress);
}

}  // namespace cairn::solver

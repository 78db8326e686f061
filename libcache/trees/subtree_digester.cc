// SPDX-License-Identifier: Apache-2.0
// A task lists one directory, or digests a piece of its names. Who finishes the last part of a directory hashes its
// contents and so finishes a part of the directory above.
#include "libcache/trees/subtree_digester.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <optional>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libbase/sync.h"
#include "libbase/work_stack.h"
#include "libcache/directory_stats.h"

namespace cairn::cache {

using base::Fd;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t piece_size = 64;       // names
constexpr int open_directories_max = 64;

}  // namespace

struct SubtreeDigester::Directory {
  struct Name {
    std::string name;
    bool is_directory = false;
    EntryDigests digests;
    // Of a directory: its contents, when they are known.
    std::unique_ptr<BothContents> contents;
    std::unique_ptr<PageEntry> entry;  // if pages are asked for
  };

  Directory(std::shared_ptr<Directory> above_in, std::size_t index_in, std::string path_in)
      : above(std::move(above_in)), index(index_in), path(std::move(path_in)) {}
  ~Directory() { end_above(std::move(above)); }
  // Without this the last task of a deep tree would end a chain of directories by recursion: the outermost call on this
  // thread ends what the inner ones hand to it.
  static void end_above(std::shared_ptr<Directory> ending) {
    thread_local std::vector<std::shared_ptr<Directory>>* outermost = nullptr;
    if (!ending) return;
    if (outermost != nullptr) return outermost->push_back(std::move(ending));
    std::vector<std::shared_ptr<Directory>> chain;
    outermost = &chain;
    chain.push_back(std::move(ending));
    while (!chain.empty()) {
      ending = std::move(chain.back());
      chain.pop_back();
      ending.reset();
    }
    outermost = nullptr;
  }

  std::shared_ptr<Directory> above;  // null: where the digest begins
  const std::size_t index;           // among the names of the directory above
  const std::string path;
  StatX seen{};
  Fd fd;  // none if too many are open: then it is opened again by its path
  EntryDigests header;
  std::unique_ptr<PageEntry> header_entry;  // if pages are asked for
  std::unique_ptr<DirectoryStats> stats;  // none without a stat cache
  std::vector<Name> names;
  std::atomic<std::size_t> unfinished = 1;  // its listing, its pieces, its directories
};

struct SubtreeDigester::Task {
  std::shared_ptr<Directory> directory;
  std::size_t from = 0, to = 0;  // a piece of its names; to == 0: it has to be listed
};

struct SubtreeDigester::State {
  State(int tree_in, Options options_in) : tree(tree_in), options(std::move(options_in)), stack(options.threads) {}

  const int tree;
  const Options options;
  base::WorkStack<Task> stack;
  base::Guarded<DigestCounts> counts;
  std::atomic<int> open_directories = 0;
  std::mutex pages_mutex;          // held while Options::pages runs
  std::optional<Contents> result;  // written by the thread that finishes the last part
  PageEntry page;                  // likewise
};

class SubtreeDigester::Worker {
 public:
  explicit Worker(State& state) : state_(state), reader_(state.options.normalisation, state.options.stop) {
    reader_.on_read(state.options.read);
  }
  ~Worker() { *state_.counts.lock() += reader_.counts(); }

  Status run(const Task& task) { return task.to == 0 ? list(task.directory) : digest_piece(task); }

 private:
  Status list(const std::shared_ptr<Directory>& directory);
  Status digest_header(Directory& directory, int fd);
  Status fill_names(Directory& directory, int fd);
  void share_out(const std::shared_ptr<Directory>& directory, std::size_t& first_piece);
  Status digest_piece(const Task& task);
  Status digest_names(Directory& directory, int fd, std::size_t from, std::size_t to);
  Result<Fd> open(const Directory& directory);
  Result<Fd> open_again(const Directory& directory);
  void finish_part(std::shared_ptr<Directory> directory);
  static void finish_stats(Directory& directory);
  PageEntry make_pages(Directory& directory);
  BothContents hash_contents(const Directory& directory);

  State& state_;
  EntryReader reader_;
  ContentsHash scan_, stream_;
};

// A directory that was closed must still be the same when it is opened by its path.
Result<Fd> SubtreeDigester::Worker::open_again(const Directory& directory) {
  auto fd = base::open_beneath(state_.tree, TRY(base::TreePath::parse(directory.path)), O_RDONLY | O_DIRECTORY);
  if (!fd) return unreadable(std::move(fd).error(), directory.path);
  if (identity(TRY(reader_.look_at_directory(fd->get(), directory.path))) != identity(directory.seen)) {
    return changed_while_read(directory.path);
  }
  return std::move(*fd);
}

Result<Fd> SubtreeDigester::Worker::open(const Directory& directory) {
  if (!directory.above) {
    auto fd = base::open_beneath(state_.tree, TRY(base::TreePath::parse(directory.path)), O_RDONLY | O_DIRECTORY);
    if (!fd) return unreadable(std::move(fd).error(), directory.path);
    return std::move(*fd);
  }
  const Directory& above = *directory.above;
  Fd reopened;
  if (!above.fd) reopened = TRY(open_again(above));
  const int dir = above.fd ? above.fd.get() : reopened.get();
  const std::string& name = above.names[directory.index].name;
  int fd = -1;
  do {
    fd = ::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0 && errno == ENOTDIR) return changed_while_read(directory.path);
  if (fd < 0) return unreadable({base::code_of_errno(errno), base::errno_text(errno), {}}, directory.path);
  return Fd(fd);
}

Status SubtreeDigester::Worker::list(const std::shared_ptr<Directory>& directory) {
  TRY(reader_.check_stop());
  Fd fd = TRY(open(*directory));
  directory->seen = TRY(reader_.look_at_directory(fd.get(), directory->path));
  if (state_.options.stats != nullptr) {
    directory->stats = std::make_unique<DirectoryStats>(*state_.options.stats, fd.get(), directory->seen);
  }
  TRY(digest_header(*directory, fd.get()));
  TRY(fill_names(*directory, fd.get()));
  const int raw = fd.get();
  Fd own;
  if (state_.open_directories.fetch_add(1) < open_directories_max) {
    directory->fd = std::move(fd);
  } else {
    --state_.open_directories;
    own = std::move(fd);
  }
  std::size_t first_piece = 0;
  share_out(directory, first_piece);
  TRY(digest_names(*directory, raw, 0, first_piece));
  finish_part(directory);
  return {};
}

Status SubtreeDigester::Worker::digest_header(Directory& directory, int fd) {
  if (!state_.options.pages) {
    directory.header = TRY(reader_.read_or_recall_header(fd, directory.seen, directory.path, directory.stats.get()));
    return {};
  }
  TreeEntry entry;
  directory.header = TRY(reader_.read_header(fd, directory.seen, directory.path, entry));
  directory.header_entry = std::make_unique<PageEntry>(to_page_entry("", entry, directory.header, 0));
  return {};
}

Status SubtreeDigester::Worker::fill_names(Directory& directory, int fd) {
  auto entries = base::list_dir(fd);
  if (!entries) return unreadable(std::move(entries).error(), directory.path);
  reader_.count_listing();
  directory.names.reserve(entries->size());
  for (base::DirEntry& entry : *entries) {
    directory.names.emplace_back();
    directory.names.back().name = std::move(entry.name);
    directory.names.back().is_directory = entry.type == DT_DIR;
  }
  return {};
}

// Queues the directories in it and all pieces of its names but the first, which ends at first_piece.
void SubtreeDigester::Worker::share_out(const std::shared_ptr<Directory>& directory, std::size_t& first_piece) {
  const std::size_t size = directory->names.size();
  first_piece = std::min(size, piece_size);
  std::vector<Task> tasks;
  for (std::size_t from = first_piece; from < size; from += piece_size) {
    tasks.push_back({directory, from, std::min(size, from + piece_size)});
  }
  for (std::size_t i = 0; i < size; ++i) {
    const Directory::Name& name = directory->names[i];
    if (name.is_directory) tasks.push_back({std::make_shared<Directory>(directory, i, directory->path + "/" + name.name)});
  }
  if (tasks.empty()) return;
  directory->unfinished += tasks.size();
  state_.stack.push(std::move(tasks));
}

Status SubtreeDigester::Worker::digest_piece(const Task& task) {
  Directory& directory = *task.directory;
  Fd reopened;
  if (!directory.fd) reopened = TRY(open_again(directory));
  TRY(digest_names(directory, directory.fd ? directory.fd.get() : reopened.get(), task.from, task.to));
  finish_part(task.directory);
  return {};
}

Status SubtreeDigester::Worker::digest_names(Directory& directory, int fd, std::size_t from, std::size_t to) {
  for (std::size_t i = from; i < to; ++i) {
    Directory::Name& name = directory.names[i];
    if (name.is_directory) continue;
    const std::string path = directory.path + "/" + name.name;
    const Place place{fd, name.name, path};
    const StatX seen = TRY(reader_.look(place));
    if (!state_.options.pages) {
      name.digests = TRY(reader_.read_or_recall(place, seen, directory.stats.get()));
      continue;
    }
    TreeEntry entry;
    name.digests = TRY(reader_.read(place, seen, entry));
    const bool tells = state_.options.links == LinkGroups::told;
    const std::uint64_t group = tells ? link_group_of(seen, state_.options.link_salt) : 0;
    name.entry = std::make_unique<PageEntry>(to_page_entry(name.name, entry, name.digests, group));
  }
  return {};
}

void SubtreeDigester::Worker::finish_part(std::shared_ptr<Directory> directory) {
  while (directory->unfinished.fetch_sub(1) == 1) {
    reader_.count_names(directory->names.size());
    std::unique_ptr<PageEntry> page;
    if (state_.options.pages) page = std::make_unique<PageEntry>(make_pages(*directory));
    BothContents contents = page ? page->contents : hash_contents(*directory);
    if (directory->stats) finish_stats(*directory);
    if (directory->fd) {
      directory->fd.reset();
      --state_.open_directories;
    }
    if (!directory->above) {
      state_.result = contents.by(state_.options.rules);
      if (page) state_.page = std::move(*page);
      return;
    }
    Directory::Name& name = directory->above->names[directory->index];
    if (page) page->name = name.name;
    name.contents = std::make_unique<BothContents>(std::move(contents));
    name.entry = std::move(page);
    directory = std::shared_ptr<Directory>(directory->above);
  }
}

PageEntry SubtreeDigester::Worker::make_pages(Directory& directory) {
  std::vector<PageEntry> names;
  names.reserve(directory.names.size());
  for (Directory::Name& name : directory.names) names.push_back(std::move(*name.entry));
  std::vector<std::pair<PageName, std::string>> pages;
  PageEntry entry = *directory.header_entry;
  BuiltDirectory built = build_directory(
      entry, names, [&](const PageName& name, std::string bytes) { pages.emplace_back(name, std::move(bytes)); });
  entry.page = built.page;
  entry.contents = std::move(built.contents);
  const std::lock_guard lock(state_.pages_mutex);
  for (auto& [name, bytes] : pages) state_.options.pages(name, std::move(bytes));
  return entry;
}

void SubtreeDigester::Worker::finish_stats(Directory& directory) {
  directory.stats->forget_missing([&directory](std::string_view wanted) {
    const auto found = std::lower_bound(directory.names.begin(), directory.names.end(), wanted,
                                        [](const Directory::Name& name, std::string_view text) { return name.name < text; });
    return found != directory.names.end() && found->name == wanted;
  });
  directory.stats->finish();
  directory.stats.reset();
}

BothContents SubtreeDigester::Worker::hash_contents(const Directory& directory) {
  // spec/storage 3.2: a client never sends the top of its tree.
  const bool is_top = directory.path.empty();
  bool differs = is_top || directory.header.scan != directory.header.stream;
  scan_.add_header(directory.header.scan);
  for (const Directory::Name& name : directory.names) {
    if (name.contents) {
      scan_.add_directory(name.name, name.contents->scan);
      differs = differs || name.contents->scan != name.contents->stream;
    } else {
      scan_.add_name(name.name, name.digests.scan);
      differs = differs || name.digests.scan != name.digests.stream;
    }
  }
  const Contents scan = scan_.finish();
  if (!differs || state_.options.rules == DigestRules::scan) return {scan, scan};
  stream_.add_header(is_top ? base::digest_of<TreeDigest>("") : directory.header.stream);
  for (const Directory::Name& name : directory.names) {
    if (name.contents) {
      stream_.add_directory(name.name, name.contents->stream);
    } else {
      stream_.add_name(name.name, name.digests.stream);
    }
  }
  return {scan, stream_.finish()};
}

SubtreeDigester::SubtreeDigester(int tree, Options options)
    : state_(std::make_unique<State>(tree, std::move(options))) {}
SubtreeDigester::~SubtreeDigester() = default;

Result<Contents> SubtreeDigester::digest(std::string_view path) {
  std::vector<Task> first;
  first.push_back({std::make_shared<Directory>(nullptr, 0, std::string(path))});
  TRY(state_->stack.run(std::move(first), [&state = *state_] {
    return [worker = std::make_unique<Worker>(state)](const Task& task) { return worker->run(task); };
  }));
  CHECK(state_->result.has_value(), "a digest without a result");
  return std::move(*state_->result);
}

const PageEntry& SubtreeDigester::page() const { return state_->page; }

DigestCounts SubtreeDigester::counts() const { return *state_->counts.lock(); }

}  // namespace cairn::cache

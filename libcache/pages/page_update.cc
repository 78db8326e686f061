// SPDX-License-Identifier: Apache-2.0
#include "libcache/pages/page_update.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libcache/trees/entry_reader.h"
#include "libcache/trees/records.h"
#include "libcache/trees/subtree_digester.h"

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Fd;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t depth_max = 1'000;  // of recursion

struct ChangedKey {
  std::string key;  // as in records.h: NUL for each '/'
  ChangedPath::Kind kind;
};
using Changes = std::span<const ChangedKey>;

class Updater {
 public:
  explicit Updater(const PageUpdate& update) : update_(update), reader_({}, update.stop) {}
  ~Updater() {
    if (update_.counts != nullptr) *update_.counts += reader_.counts();
  }

  // The entry, without a name, of the directory with this key.
  Result<PageEntry> directory(const std::string& key, const std::optional<PageName>& page, Changes changes,
                              std::size_t depth);

 private:
  // A directory of the new tree, opened when the first name of it is read.
  class Opened {
   public:
    Opened(const PageUpdate& update, std::string path) : update_(update), path_(std::move(path)) {}
    Result<int> fd();
    const std::string& path() const { return path_; }

   private:
    const PageUpdate& update_;
    std::string path_;
    Fd fd_;
  };

  Result<PageEntry> read_header(Opened& opened);
  Result<std::optional<PageEntry>> name(Opened& opened, const std::string& key, const PageEntry* old, Changes changes,
                                        std::size_t depth);
  Result<PageEntry> read_anew(const std::string& path);

  const PageUpdate& update_;
  EntryReader reader_;
};

Result<int> Updater::Opened::fd() {
  if (!fd_) {
    fd_ = TRY(base::open_beneath(update_.tree, TRY(base::TreePath::parse(path_)), O_RDONLY | O_DIRECTORY), "\"{}\"",
              path_);
  }
  return fd_.get();
}

Result<PageEntry> Updater::read_header(Opened& opened) {
  const int fd = TRY(opened.fd());
  TreeEntry entry;
  const StatX seen = TRY(reader_.look_at_directory(fd, opened.path()));
  const EntryDigests digests = TRY(reader_.read_header(fd, seen, opened.path(), entry));
  return to_page_entry("", entry, digests, 0);
}

Result<PageEntry> Updater::read_anew(const std::string& path) {
  SubtreeDigester digester(update_.tree, {.normalisation = {},
                                          .stop = update_.stop,
                                          .pages = update_.sink,
                                          .link_salt = update_.link_salt});
  const auto contents = digester.digest(path);
  if (update_.counts != nullptr) *update_.counts += digester.counts();
  if (!contents) return tl::unexpected(contents.error());
  return digester.page();
}

// What is at a name now; nullopt if it is gone. changes: of the name itself (then first), and below it.
Result<std::optional<PageEntry>> Updater::name(Opened& opened, const std::string& key, const PageEntry* old,
                                               Changes changes, std::size_t depth) {
  const std::string path = path_of(key), text = key.substr(key.rfind('\0') + 1);
  const bool is_own = changes.front().key == key;
  const bool was_directory = old != nullptr && old->is_directory();
  PageEntry entry;
  if (is_own && changes.front().kind == ChangedPath::Kind::removed) return std::optional<PageEntry>();
  if (!is_own) {
    if (!was_directory) return fail(ErrorCode::io, "\"{}\" is no directory, and something changed in it", path);
    entry = TRY(directory(key, old->page, changes, depth + 1));
  } else if (auto made = update_.made ? update_.made(path) : std::nullopt) {
    entry = std::move(*made);
  } else {
    const Place place{TRY(opened.fd()), text, path};
    const StatX seen = TRY(reader_.look(place));
    if (type_of(seen.stx_mode) != EntryType::directory) {
      TreeEntry read;
      const EntryDigests digests = TRY(reader_.read(place, seen, read));
      entry = to_page_entry("", read, digests, link_group_of(seen, update_.link_salt));
    } else if (was_directory && changes.front().kind != ChangedPath::Kind::made) {
      entry = TRY(directory(key, old->page, changes, depth + 1));
    } else if (update_.made) {
      entry = TRY(directory(key, std::nullopt, changes, depth + 1));
    } else {
      entry = TRY(read_anew(path));
    }
  }
  entry.name = text;
  return std::optional<PageEntry>(std::move(entry));
}

Result<PageEntry> Updater::directory(const std::string& key, const std::optional<PageName>& page, Changes changes,
                                     std::size_t depth) {
  TRY(reader_.check_stop());
  if (depth > depth_max) return fail(ErrorCode::unavailable, "a change {} directories deep", depth);
  DirectoryPage old;
  if (page) old = TRY(load_directory(*page, update_.read));
  Opened opened(update_, path_of(key));
  PageEntry header = std::move(old.header);
  if (!changes.empty() && changes.front().key == key) {
    header = TRY(read_header(opened));
    changes = changes.subspan(1);
  }
  std::vector<PageEntry> names;
  names.reserve(old.names.size() + 8);
  auto next_old = old.names.begin();
  while (!changes.empty()) {
    const std::string_view rest = std::string_view(changes.front().key).substr(key.size() + 1);
    const std::string_view text = rest.substr(0, rest.find('\0'));
    const std::string child = changes.front().key.substr(0, key.size() + 1 + text.size());
    const auto is_other = [&child](const ChangedKey& change) {
      return !change.key.starts_with(child) || (change.key.size() > child.size() && change.key[child.size()] != '\0');
    };
    const auto end = std::find_if(changes.begin(), changes.end(), is_other);
    const Changes own(changes.begin(), end);
    while (next_old != old.names.end() && next_old->name < text) names.push_back(std::move(*next_old++));
    const bool was_there = next_old != old.names.end() && next_old->name == text;
    auto entry = TRY(name(opened, child, was_there ? &*next_old : nullptr, own, depth));
    if (was_there) ++next_old;
    if (entry) names.push_back(std::move(*entry));
    changes = Changes(end, changes.end());
  }
  std::move(next_old, old.names.end(), std::back_inserter(names));
  reader_.count_names(names.size());
  BuiltDirectory built = build_directory(header, names, update_.sink);
  header.page = built.page;
  header.contents = std::move(built.contents);
  return header;
}

}  // namespace

Result<PageName> update_pages(const std::optional<PageName>& page, const std::string& top, std::vector<ChangedPath> changes,
                              const PageUpdate& update) {
  if (changes.empty() && page) return *page;
  std::vector<ChangedKey> keys;
  keys.reserve(changes.size());
  for (const ChangedPath& change : changes) keys.push_back({key_of(change.path), change.kind});
  // The order of keys keeps all of a directory together, behind the directory itself.
  std::stable_sort(keys.begin(), keys.end(), [](const ChangedKey& a, const ChangedKey& b) { return a.key < b.key; });
  return TRY(Updater(update).directory(key_of(top), page, keys, 0)).page;
}

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
// Over random trees and filters: scanning, copying, and the digest of the copy agree; owners do not matter.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <random>

#include "libbase/fs/beneath.h"
#include "libcache/pattern.h"
#include "libcache/streamed_tree.h"
#include "libsolver/sources/local_dir.h"
#include "libsolver/sources/local_walk.h"
#include "tests/libsolver_sources/tree_on_disk.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

class RandomTree {
 public:
  explicit RandomTree(unsigned seed) : random_(seed) {}

  void fill(const test::TreeOnDisk& tree) {
    tree_ = &tree;
    fill_directory("", 0);
  }
  unsigned pick(unsigned count) { return std::uniform_int_distribution<unsigned>(0, count - 1)(random_); }
  std::string pattern() {
    static const std::vector<std::string> choices = {"a",  "b",   "a/*",   "**/c", "*b*",   "a/b",
                                                     "**", "*/a", "\xff*", "a.b",  "b/**/a"};
    return choices[pick(static_cast<unsigned>(choices.size()))];
  }

 private:
  // Names that sort oddly around '/' and 0xff.
  std::string name() {
    static const std::vector<std::string> choices = {"a",    "b",        "c",    "a.b", "a-b", "a b",
                                                     "\xff", "\xff\x01", "\x01", "é",   "B",   "ab"};
    return choices[pick(static_cast<unsigned>(choices.size()))];
  }

  void fill_directory(const std::string& prefix, int depth) {
    std::set<std::string> used;
    for (unsigned left = pick(6); left > 0; --left) {
      const std::string base = name();
      if (!used.insert(base).second) continue;
      make(prefix + base, depth);
      if (pick(3) == 0) tree_->owner(prefix + base, pick(3), pick(3));
    }
  }

  void make(const std::string& path, int depth) {
    switch (pick(10)) {
      case 0:
      case 1:
      case 2:
        tree_->dir(path, 0700 | pick(0100));
        if (depth < 5) fill_directory(path + "/", depth + 1);
        return;
      case 3: tree_->symlink(path, name()); return;
      case 4: tree_->node(path, S_IFIFO | 0600); return;
      case 5: tree_->node(path, S_IFCHR | 0600, makedev(1 + pick(3), pick(300))); return;
      case 6: tree_->node(path, S_IFSOCK | 0600 | pick(0100)); return;
      case 7:
        if (!files_.empty()) {
          tree_->hard_link(path, files_[pick(static_cast<unsigned>(files_.size()))]);
          return;
        }
        [[fallthrough]];
      default:
        tree_->file(path, std::string(pick(2) ? pick(50) : pick(600'000), static_cast<char>('a' + pick(20))),
                    pick(010000));
        if (pick(4) == 0) tree_->xattr(path, "user.x" + std::to_string(pick(3)), std::to_string(pick(9)));
        files_.push_back(path);
    }
  }

  std::mt19937 random_;
  const test::TreeOnDisk* tree_ = nullptr;
  std::vector<std::string> files_;
};

// What a naive reader of the filter would send, without pruning.
std::set<std::string> naive_selection(const std::set<std::string>& names, const LocalFilter& filter) {
  const auto include = cache::PatternList::compile(filter.include_patterns).value();
  const auto exclude = cache::PatternList::compile(filter.exclude_patterns).value();
  std::map<std::string, std::pair<cache::PatternList::MatchInfo, cache::PatternList::MatchInfo>> infos;
  std::set<std::string> out;
  for (const std::string& name : names) {
    const auto slash = name.rfind('/');
    const auto parent = infos[slash == std::string::npos ? "" : name.substr(0, slash)];
    auto& own = infos[name];
    const bool included = include.matches(name, parent.first, own.first).value() || filter.include_patterns.empty();
    const bool excluded = exclude.matches(name, parent.second, own.second).value();
    if (!included || excluded) continue;
    out.insert(name);
    for (auto at = name.find('/'); at != std::string::npos; at = name.find('/', at + 1)) out.insert(name.substr(0, at));
  }
  return out;
}

// The digest by way of announcements, as a daemon of BuildKit reckons it.
TreeDigest announced_digest(const LocalWalk& walk, int dir) {
  cache::StreamedTree tree;
  for (std::uint32_t i = 0; i < walk.entries.size(); ++i) {
    const LocalEntry& entry = walk.entries[i];
    cache::StreamedTree::Change change;
    change.path = walk.path_of(i);
    cache::TreeEntry facts;
    facts.mode = S_ISLNK(entry.mode) ? 0777 : entry.mode & 07777;
    facts.xattrs = entry.xattrs;
    facts.link = entry.target;
    std::string content;
    switch (entry.mode & S_IFMT) {
      case S_IFDIR: facts.type = cache::EntryType::directory; break;
      case S_IFLNK:
        facts.type = cache::EntryType::symlink;
        change.link = entry.target;
        break;
      case S_IFIFO: facts.type = cache::EntryType::fifo; break;
      case S_IFCHR:
        facts.type = cache::EntryType::char_device;
        facts.device_major = major(entry.device);
        facts.device_minor = minor(entry.device);
        break;
      default:
        if (entry.link != LocalEntry::none) change.link = walk.path_of(entry.link);
        if (!entry.has_content) break;
        const auto fd = base::open_beneath(dir, base::TreePath::parse(change.path).value(), O_RDONLY);
        content = base::read_all(fd->get(), 1 << 20).value();
        facts.xattrs = base::list_xattrs(fd->get()).value();
        facts.size = content.size();
    }
    change.type = facts.type;
    cache::EntryHasher hasher(facts);
    hasher.update(content);
    change.digest = hasher.finish();
    tree.apply(change);
  }
  return tree.digest({}).value();
}

class LocalProperty : public testing::TestWithParam<unsigned> {};

TEST_P(LocalProperty, ScanCopyAndTreeAgree) {
  RandomTree random(GetParam());
  test::TempDir temporary;
  const test::TreeOnDisk source(temporary / "source");
  const test::TreeOnDisk target(temporary / "target");
  random.fill(source);
  LocalFilter filter;
  if (random.pick(3) == 0) filter.include_patterns = {random.pattern(), random.pattern()};
  if (random.pick(3) == 0) filter.exclude_patterns = {random.pattern(), "!" + random.pattern()};
  const auto fd = base::open_host_dir(source.root());

  const auto scanned = scan_local(fd->get(), filter);
  const auto copied = copy_local(fd->get(), filter, test::as_tree(target.root()));
  const auto walk = walk_local(fd->get(), filter, {});
  ASSERT_TRUE(scanned && copied && walk);
  EXPECT_EQ(scanned->digest, copied->digest);
  EXPECT_EQ(copied->digest, test::stream_digest_of(target.root()));
  EXPECT_EQ(copied->digest, announced_digest(*walk, fd->get()));
  EXPECT_EQ(scanned->entries, copied->entries);
  EXPECT_EQ(scanned->bytes, copied->bytes);
  EXPECT_EQ(test::names_below(target.root()), naive_selection(test::names_below(source.root()), filter));

  // A copy is its own fixed point, and nobody's owner counts.
  for (const std::string& name : test::names_below(source.root())) {
    struct ::stat facts;
    ASSERT_EQ(::lstat((source.root() / name).c_str(), &facts), 0);
    source.owner(name, 12345, 54321);
    if (!S_ISLNK(facts.st_mode)) {
      ASSERT_EQ(::chmod((source.root() / name).c_str(), facts.st_mode & 07777), 0);
    }
  }
  EXPECT_EQ(scan_local(fd->get(), filter)->digest, scanned->digest);
  EXPECT_EQ(scan_local(test::as_tree(target.root()).fd(), {})->digest, copied->digest);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LocalProperty, testing::Range(1u, 121u));

}  // namespace
}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// Trees that nobody would make on purpose, and trees that do not hold still: a digest or a typed error comes out, and it is
// the same digest however many threads compute it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "libcache/trees/disk_tree.h"
#include "libcache/trees/subtree_digester.h"
#include "tests/libcache_digest/tree_maker.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::Fd;
using namespace std::string_literals;

Fd open_top(const TestTree& tree) { return base::open_host_dir(tree.top()).value(); }

// The digest of the whole tree by a walk on one thread, which shares nothing with the parallel one but the single entry.
std::string walked(const TestTree& tree, DigestRules rules = DigestRules::scan) {
  const Fd top = open_top(tree);
  DiskTree disk(top.get(), {.rules = rules, .normalisation = {}, .stop = {}});
  return shown(disk.RecordSource::contents(""));
}

std::string with_threads(const TestTree& tree, unsigned threads, DigestCounts* counts = nullptr) {
  const Fd top = open_top(tree);
  SubtreeDigester digester(top.get(), {.normalisation = {}, .stop = {}, .threads = threads});
  const auto contents = digester.digest("");
  if (counts != nullptr) *counts = digester.counts();
  return contents ? contents->digest.hex() : "error: " + contents.error().message;
}

// The digest of a selection by a source that knows nothing but the walk on one thread.
class OneByOne final : public RecordSource {
 public:
  explicit OneByOne(DiskTree& disk) : disk_(disk) {}
  base::Result<std::optional<Found>> find(std::string_view path) override { return disk_.find(path); }
  base::Status walk(std::string_view path, const RecordVisit& visit) override {
    return disk_.walk(path, [&](const RecordView& record) { return visit({record.key, record.type, record.digest}); });
  }

 private:
  DiskTree& disk_;
};

base::Result<TreeDigest> one_by_one(int top, const Selection& selection) {
  DiskTree disk(top, {.normalisation = {}, .stop = {}});
  OneByOne source(disk);
  return digest_selection(source, selection);
}

TEST(HostileTree, NamesOfEveryByte) {
  const TestTree tree({"d dir"});
  std::vector<std::string> names;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/') continue;
    const std::string name(1, static_cast<char>(byte));
    if (byte != '.') names.push_back(name);
    names.push_back("n" + name + "n");
  }
  names.push_back("\xff\xfe\n\r\t \\*?[a]");
  for (const std::string& name : names) {
    const Fd fd(::open(tree.path("d/" + name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    ASSERT_TRUE(fd);
    ASSERT_EQ(::fchmod(fd.get(), 0644), 0);
    ASSERT_EQ(::write(fd.get(), name.data(), name.size()), static_cast<ssize_t>(name.size()));
  }
  std::sort(names.begin(), names.end());
  std::string preimage = "\0"s + header_digest().str();
  for (const std::string& name : names) preimage += "\0"s + name + file_digest(name).str();
  EXPECT_EQ(shown(tree.digest(plain("d"))), hash_of(preimage));
  EXPECT_EQ(shown(tree.digest(plain("/"))), walked(tree));
}

// With more threads than cores, and an error in the midst of work that makes work.
TEST(HostileTree, AnErrorEndsAllThreads) {
  TestTree tree({});
  for (int d = 0; d < 300; ++d) {
    tree.add(std::to_string(d) + " dir");
    for (int f = 0; f < 3; ++f) tree.add(std::to_string(d) + "/" + std::to_string(f) + " dir");
  }
  const Fd top = open_top(tree);
  for (int i = 0; i < 20; ++i) {
    std::stop_source stop;
    SubtreeDigester digester(top.get(), {.normalisation = {}, .stop = stop.get_token(), .threads = 8});
    std::thread stopper([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(200 * i));
      stop.request_stop();
    });
    const auto contents = digester.digest("");
    stopper.join();
    if (!contents) {
      EXPECT_EQ(contents.error().code, ErrorCode::cancelled);
    }
  }
}

TEST(HostileTree, LoopsAndDanglingLinksAreErrorsOnlyWhereTheyAreFollowed) {
  const TestTree tree({"a symlink b", "b symlink a", "self symlink self", "d dir", "d/up symlink ../d/up", "d/f file x",
                       "gone symlink nosuch", "abs symlink /d/f", "outside symlink /../../etc/passwd"});
  for (const char* path : {"a", "b", "self", "d/up", "a/f", "self/self"}) {
    const auto digest = tree.digest(followed(path));
    ASSERT_FALSE(digest) << path;
    EXPECT_EQ(digest.error().code, ErrorCode::invalid_argument) << path;
  }
  for (const char* path : {"gone", "outside", "gone/f", "d/f/f", "nosuch"}) {
    const auto digest = tree.digest(followed(path));
    ASSERT_FALSE(digest) << path;
    EXPECT_EQ(digest.error().code, ErrorCode::not_found) << path;
  }
  EXPECT_EQ(shown(tree.digest(followed("abs"))), file_digest("x").hex());
  EXPECT_EQ(shown(tree.digest(plain("gone"))), link_digest("nosuch").hex());
  EXPECT_EQ(shown(tree.digest(plain("/"))), walked(tree));
}

TEST(HostileTree, ThreadsDoNotChangeTheDigest) {
  const TestTree tree({"wide dir", "deep dir"});
  std::mt19937 random(1);
  std::string deep = "deep";
  for (int d = 0; d < 100; ++d) {
    deep += "/d" + std::to_string(random() % 3);
    ASSERT_EQ(::mkdir(tree.path(deep).c_str(), 0755), 0);
    for (int f = 0; f < 3; ++f) {
      const Fd fd(::open(tree.path(deep + "/f" + std::to_string(f)).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
      ASSERT_EQ(::write(fd.get(), deep.data(), deep.size()), static_cast<ssize_t>(deep.size()));
    }
  }
  for (int i = 0; i < 1'000; ++i) {
    const std::string name = "wide/" + std::to_string(i);
    if (i % 10 == 0) {
      ASSERT_EQ(::mkdir(tree.path(name).c_str(), 0755), 0);
      ASSERT_EQ(::mkdir(tree.path(name + "/\xff").c_str(), 0755), 0);
    } else {
      const Fd fd(::open(tree.path(name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
      ASSERT_EQ(::write(fd.get(), name.data(), name.size()), static_cast<ssize_t>(name.size()));
    }
  }
  const std::string expected = walked(tree);
  for (const unsigned threads : {1u, 2u, 8u}) {
    DigestCounts counts;
    EXPECT_EQ(with_threads(tree, threads, &counts), expected) << threads << " threads";
    EXPECT_EQ(counts.files_opened, 1'200u);
    EXPECT_EQ(counts.directories_listed, 1u + 2u + 100u + 200u);
  }
}

// Every filter gives by all cores what it gives on one thread, and reads only what it selects.
TEST(HostileTree, FiltersReadInParallelWhatTheySelect) {
  TestTree tree({"w dir"});
  for (int i = 0; i < 700; ++i) {
    tree.add("w/" + std::to_string(i) + " dir");
    for (const char* name : {"/a", "/b", "/c"}) tree.add("w/" + std::to_string(i) + name + " file " + std::to_string(i));
  }
  tree.add("w/link symlink 1/a");
  for (const auto& [selection, opened] : std::initializer_list<std::pair<Selection, std::uint64_t>>{
           {including("/", {"**/a"}), 700}, {excluding("/", {"**/b"}), 1'400}, {wildcard("/w/*/c"), 700},
           {including("/", {"w", "!**/a"}), 1'400}, {including("w/", {"1*"}), 111 * 3}}) {
    DigestCounts counts;
    const auto digest = tree.digest(selection, DigestRules::scan, &counts);
    EXPECT_EQ(counts.files_opened, opened) << selection.path;
    // Names hashed one by one, without anything read later.
    const Fd top = open_top(tree);
    EXPECT_EQ(shown(digest), shown(one_by_one(top.get(), selection)));
  }
}

// One thread makes, renames and removes; the others take digests. Each of them is a digest of something or an io error
// that names what moved.
TEST(HostileTree, ATreeThatDoesNotHoldStillGivesADigestOrAnError) {
  TestTree tree({});
  for (int d = 0; d < 8; ++d) {
    tree.add("d" + std::to_string(d) + " dir");
    for (int f = 0; f < 8; ++f) tree.add("d" + std::to_string(d) + "/f" + std::to_string(f) + " file x");
  }
  std::atomic<bool> done = false;
  std::atomic<int> moves = 0;
  std::thread mover([&] {
    std::mt19937 random(7);
    while (!done) {
      const std::string d = tree.path("d" + std::to_string(random() % 8)), f = "/f" + std::to_string(random() % 8);
      switch (random() % 5) {
        case 0: (void)::unlink((d + f).c_str()); break;
        case 1: (void)::rename((d + f).c_str(), (d + "/g").c_str()); break;
        case 2: (void)::rename(d.c_str(), tree.path("d" + std::to_string(random() % 8) + "/moved").c_str()); break;
        case 3: (void)::symlink("x", (d + f).c_str()); break;
        default: (void)::mkdir((d + f).c_str(), 0755);
      }
      ++moves;
    }
  });
  int digests = 0;
  for (int i = 0; i < 200 || moves < 200; ++i) {
    const auto digest = tree.digest(i % 2 == 0 ? plain("/") : including("/", {"**/f1", "d2"}));
    if (digest) {
      EXPECT_FALSE(digest->is_zero());
      ++digests;
    } else {
      EXPECT_EQ(digest.error().code, ErrorCode::io) << digest.error().message;
      EXPECT_THAT(digest.error().message, testing::HasSubstr("\"/"));
    }
  }
  done = true;
  mover.join();
  EXPECT_EQ(shown(tree.digest(plain("/"))), walked(tree));
}

}  // namespace
}  // namespace cairn::cache

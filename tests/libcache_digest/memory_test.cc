// SPDX-License-Identifier: Apache-2.0
// The bounds of a first digest: memory above that of an idle process, and open files, in a child process for each tree.
// The limits are a few times what is needed, and far below what a digest would need that kept the tree.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "libbase/fs/beneath.h"
#include "libbase/fs/fd.h"
#include "tests/libcache_digest/tree_maker.h"

namespace cairn::cache {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr long factor = 12;  // of shadow, redzones and freed memory that is kept
#else
constexpr long factor = 1;
#endif

// The most memory that this process has had resident, in KiB.
long peak_kib() {
  struct ::rusage usage {};
  CHECK(::getrusage(RUSAGE_SELF, &usage) == 0);
  return usage.ru_maxrss;
}

// What the digest of the tree adds to the peak of a fresh process that may have few files open, in KiB.
long growth_of_digest(const base::HostPath& top, const Selection& selection) {
  int ends[2];
  CHECK(::pipe2(ends, O_CLOEXEC) == 0);
  const pid_t child = ::fork();
  CHECK(child >= 0);
  if (child == 0) {
    const struct ::rlimit few = {160, 160};
    CHECK(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    (void)digest_directory(top, plain("/nosuch"), nullptr);  // what is made once
    const long before = peak_kib();
    const auto digest = digest_directory(top, selection, nullptr);
    const long grown = digest ? peak_kib() - before : -1;
    if (!digest) std::fprintf(stderr, "%s\n", digest.error().message.c_str());
    const bool told = ::write(ends[1], &grown, sizeof grown) == sizeof grown;
    ::_exit(told ? 0 : 1);
  }
  ::close(ends[1]);
  long grown = -1;
  CHECK(::read(ends[0], &grown, sizeof grown) == sizeof grown);
  ::close(ends[0]);
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child && status == 0);
  return grown;
}

void make_file(int dir, const std::string& name, std::string_view bytes) {
  const base::Fd fd(::openat(dir, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  CHECK(fd && base::write_full(fd.get(), bytes));
}

void expect_growth_below(const TestTree& tree, long kib) {
  for (const Selection& selection : {plain("/"), excluding("/", {"**/nosuch"})}) {
    const long grown = growth_of_digest(tree.top(), selection);
    std::printf("grown by %ld KiB\n", grown);
    EXPECT_GE(grown, 0);
    EXPECT_LE(grown, kib * factor) << (selection.exclude_patterns.empty() ? "plain" : "filtered");
  }
}

// A digest that kept the tree would take some 500 bytes for each name.
TEST(Memory, OfATreeOfManyFilesFollowsItsWidestDirectories) {
  const bool all = std::getenv("CAIRN_TEST_FULL") != nullptr;
  const int directories = all ? 5'000 : 1'000;
  const TestTree tree({});
  for (int d = 0; d < directories; ++d) {
    const std::string path = tree.path(std::to_string(d / 50));
    (void)::mkdir(path.c_str(), 0755);
    const std::string inner = path + "/" + std::to_string(d % 50);
    ASSERT_EQ(::mkdir(inner.c_str(), 0755), 0);
    const base::Fd fd(::open(inner.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int f = 0; f < 16; ++f) make_file(fd.get(), "source-file-" + std::to_string(f) + ".c", inner);
  }
  const long grown = growth_of_digest(tree.top(), plain("/"));
  std::printf("grown by %ld KiB\n", grown);
  EXPECT_GE(grown, 0);
  EXPECT_LE(grown, 4 * 1024 * factor);
}

TEST(Memory, OfAWideDirectoryIsSomeHundredBytesForEachName) {
  const TestTree tree({"wide dir"});
  const base::Fd wide(::open(tree.path("wide").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 100'000; ++i) ASSERT_EQ(::mknodat(wide.get(), ("name-" + std::to_string(i)).c_str(), S_IFREG | 0644, 0), 0);
  expect_growth_below(tree, 40 * 1024);
}

TEST(Memory, OfADeepTreeIsSmall) {
  const TestTree tree({});
  base::Fd last(::open(tree.top().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_EQ(::mkdirat(last.get(), "directory", 0755), 0);
    last = base::Fd(::openat(last.get(), "directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    make_file(last.get(), "file", "content");
  }
  expect_growth_below(tree, 24 * 1024);
}

}  // namespace
}  // namespace cairn::cache

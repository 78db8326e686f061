// SPDX-License-Identifier: Apache-2.0
// The real ccache: a first compilation fills the store, and one with an empty local cache is served from it.
#include <gtest/gtest.h>
#include <signal.h>

#include <map>
#include <sstream>

#include "libbase/fs/fd.h"
#include "tests/e2e_cached/cached_program.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::test {
namespace {

constexpr int sources = 4;

std::map<std::string, int> statistics_of(const CachedProgram& cached, const std::string& dir) {
  std::map<std::string, int> numbers;
  std::istringstream lines(cached.run({"env", "CCACHE_DIR=" + dir, "ccache", "--print-stats"}).out);
  std::string name;
  int number = 0;
  while (lines >> name >> number) numbers[name] = number;
  return numbers;
}

class CcacheClient : public ::testing::TestWithParam<const char*> {};

// Compiles into an empty store and, with an empty local cache, out of it.
void expect_ccache_is_served(CachedProgram& cached, const std::string& remote_storage) {
  for (int i = 0; i < sources; ++i) {
    const std::string source = "int f" + std::to_string(i) + "(int x) { return x * " + std::to_string(i + 3) + "; }\n";
    write_text(cached.work("f" + std::to_string(i) + ".c"), source);
  }
  const auto compile_all = [&](const std::string& local, const std::string& suffix) {
    for (int i = 0; i < sources; ++i) {
      const std::string name = cached.work("f" + std::to_string(i)).str();
      const Ended ended = cached.run({"env", "CCACHE_DIR=" + local, "CCACHE_REMOTE_STORAGE=" + remote_storage, "ccache",
                                      "gcc", "-c", name + ".c", "-o", name + suffix});
      ASSERT_EQ(ended.code, 0) << ended.err;
    }
  };
  const std::string cold = cached.work("cold").str(), clean = cached.work("clean").str();
  compile_all(cold, ".cold.o");
  auto numbers = statistics_of(cached, cold);
  EXPECT_EQ(numbers["cache_miss"], sources);
  EXPECT_EQ(numbers["remote_storage_write"], 2 * sources) << "a manifest and a result of each";
  EXPECT_EQ(numbers["remote_storage_hit"], 0);
  EXPECT_EQ(numbers["remote_storage_error"], 0);

  compile_all(clean, ".clean.o");
  numbers = statistics_of(cached, clean);
  EXPECT_EQ(numbers["cache_miss"], 0);
  EXPECT_EQ(numbers["direct_cache_hit"], sources);
  EXPECT_EQ(numbers["remote_storage_hit"], sources);
  EXPECT_EQ(numbers["remote_storage_read_hit"], 2 * sources);
  EXPECT_EQ(numbers["remote_storage_error"], 0);
  for (int i = 0; i < sources; ++i) {
    const auto object = [&](const char* suffix) {
      return base::read_file(cached.work("f" + std::to_string(i) + suffix), 1 << 20).value();
    };
    EXPECT_EQ(object(".cold.o"), object(".clean.o"));
  }
  const std::string metrics = cached.metrics();
  EXPECT_NE(metrics.find("cairn_hits_total{project=\"ccache\"} " + std::to_string(2 * sources) + "\n"),
            std::string::npos)
      << metrics;
  EXPECT_EQ(cached.stop(SIGTERM).code, 0);
  EXPECT_EQ(cached.cachectl({"fsck"}).code, 0);
}

TEST_P(CcacheClient, WithAnEmptyLocalCacheIsServedFromTheStore) {
  CachedProgram cached;
  expect_ccache_is_served(cached, cached.url("/ccache") + GetParam());
}

TEST(CcacheClientOverRedis, WithAnEmptyLocalCacheIsServedFromTheStore) {
  CachedProgram cached({"--resp", "127.0.0.1:0"});
  ASSERT_NE(cached.resp_address(), "");
  expect_ccache_is_served(cached, "redis://" + cached.resp_address());
}

// What one has compiled over one protocol, another one is given over the other.
TEST(CcacheClientOverRedis, SharesItsEntriesWithHttp) {
  CachedProgram cached({"--resp", "127.0.0.1:0"});
  write_text(cached.work("f.c"), "int f(void) { return 1; }\n");
  const auto compile = [&](const std::string& local, const std::string& remote_storage) {
    const Ended ended = cached.run({"env", "CCACHE_DIR=" + local, "CCACHE_REMOTE_STORAGE=" + remote_storage, "ccache",
                                    "gcc", "-c", cached.work("f.c").str(), "-o", cached.work("f.o").str()});
    ASSERT_EQ(ended.code, 0) << ended.err;
  };
  const std::string one = cached.work("one").str(), other = cached.work("other").str();
  compile(one, "redis://" + cached.resp_address());
  compile(other, cached.url("/ccache"));
  EXPECT_EQ(statistics_of(cached, one)["cache_miss"], 1);
  auto numbers = statistics_of(cached, other);
  EXPECT_EQ(numbers["direct_cache_hit"], 1);
  EXPECT_EQ(numbers["remote_storage_hit"], 1);
}

INSTANTIATE_TEST_SUITE_P(Layouts, CcacheClient, ::testing::Values("", "|layout=flat", "|layout=bazel"),
                         [](const auto& layout) {
                           const std::string text = layout.param;
                           return text.empty() ? std::string("subdirs") : text.substr(text.find('=') + 1);
                         });

}  // namespace
}  // namespace cairn::test

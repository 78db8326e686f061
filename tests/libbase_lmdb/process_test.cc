// SPDX-License-Identifier: Apache-2.0
// An owner and readers in other processes, living and dead.
#include "tests/libbase_lmdb/child.h"
#include "tests/libbase_lmdb/rows.h"

namespace cairn::test {
namespace {

using base::Result;
using base::Status;
using lmdb::ReadTxn;

constexpr std::uint64_t small_map = 1u << 20;

class LmdbProcess : public ::testing::Test {
 protected:
  TempDir dir_;
  const base::HostPath meta_ = dir_ / "meta";
};

TEST_F(LmdbProcess, ReaderWorksBesideALiveOwner) {
  Child owner([&](const Child::Line& line) {
    auto env = open_env(meta_).value();
    if (!put_word(*env, "a", "old")) return false;
    line.say();
    line.wait();
    if (!put_word(*env, "a", "new")) return false;
    line.say();
    line.wait();
    return word(*env, "a") == "new";
  });
  ASSERT_TRUE(owner.wait_word());
  auto env = open_read_only(meta_).value();
  ASSERT_TRUE(env->view([&](ReadTxn& txn) -> Status {
    EXPECT_EQ(word(txn, "a"), "old");
    owner.say();
    EXPECT_TRUE(owner.wait_word());
    EXPECT_EQ(word(txn, "a"), "old");
    EXPECT_EQ(word(*env, "a"), "new");
    return {};
  }));
  EXPECT_EQ(word(*env, "a"), "new");
  env.reset();
  owner.say();
  EXPECT_TRUE(owner.succeeds());
}

TEST_F(LmdbProcess, ReaderOutlivesTheOwner) {
  Child owner([&](const Child::Line& line) {
    auto env = open_env(meta_).value();
    if (!put_word(*env, "a", "value")) return false;
    line.say();
    line.wait();
    return false;
  });
  ASSERT_TRUE(owner.wait_word());
  auto env = open_read_only(meta_).value();
  owner.kill();
  EXPECT_EQ(word(*env, "a"), "value");
}

TEST_F(LmdbProcess, ReaderAdoptsTheMapThatTheOwnerHasGrown) {
  lmdb::Env::Options small;
  small.map_bytes = small_map;
  Child owner([&](const Child::Line& line) {
    auto env = open_env(meta_, small).value();
    if (!put_word(*env, "a", "old")) return false;
    for (int i = 0; i < 2; ++i) {
      line.say();
      line.wait();
      if (!put_word(*env, "large", std::string((4u << i) * small_map, 'x'))) return false;
      if (!put_word(*env, "a", "new")) return false;
    }
    line.say();
    line.wait();
    return true;
  });
  ASSERT_TRUE(owner.wait_word());
  auto env = open_read_only(meta_, small).value();
  ASSERT_EQ(env->map_bytes(), small_map);
  EXPECT_EQ(word(*env, "a"), "old");
  owner.say();
  ASSERT_TRUE(owner.wait_word());
  EXPECT_EQ(word(*env, "a"), "new");
  const std::uint64_t adopted = env->map_bytes();
  EXPECT_GE(adopted, 4 * small_map);
  // Inside a view the map stays, and a nested view reads the outer version.
  ASSERT_TRUE(env->view([&](ReadTxn& txn) -> Status {
    const std::string_view bytes = TRY(txn.get_raw(words, "large")).value();
    owner.say();
    EXPECT_TRUE(owner.wait_word());
    EXPECT_EQ(word(*env, "large").size(), 4 * small_map);
    EXPECT_EQ(env->map_bytes(), adopted);
    EXPECT_EQ(bytes, std::string(4 * small_map, 'x'));
    return {};
  }));
  EXPECT_EQ(word(*env, "large").size(), 8 * small_map);
  EXPECT_GT(env->map_bytes(), adopted);
  owner.say();
  EXPECT_TRUE(owner.succeeds());
}

// A reader that LMDB believes alive keeps every page since its version from being used again.
class LmdbStaleReader : public LmdbProcess {
 protected:
  void SetUp() override { ASSERT_TRUE(put_word(*open_env(meta_).value(), "a", "value")); }

  bool read_for_ever(const Child::Line& line) {
    auto env = open_read_only(meta_).value();
    return env
        ->view([&](ReadTxn& txn) -> Status {
          (void)word(txn, "a");
          line.say();
          line.wait();
          return {};
        })
        .has_value();
  }
  static std::uint64_t growth_of_400_updates(lmdb::Env& env) {
    const std::uint64_t before = env.allocated_bytes();
    for (int i = 0; i < 400; ++i) EXPECT_TRUE(put_word(env, "a", std::to_string(i)));
    return env.allocated_bytes() - before;
  }
};

TEST_F(LmdbStaleReader, OfADeadProcessIsClearedAtOpen) {
  // While this one lives the lock file is in use, so opening does not simply begin it anew.
  Child bystander([&](const Child::Line& line) {
    auto env = open_read_only(meta_).value();
    line.say();
    line.wait();
    return true;
  });
  ASSERT_TRUE(bystander.wait_word());
  Child reader([&](const Child::Line& line) { return read_for_ever(line); });
  ASSERT_TRUE(reader.wait_word());
  reader.kill();
  auto env = open_env(meta_).value();
  EXPECT_LT(growth_of_400_updates(*env), 256u << 10);
  bystander.say();
  EXPECT_TRUE(bystander.succeeds());
}

TEST_F(LmdbStaleReader, OfALivingProcessIsLeftAlone) {
  Child reader([&](const Child::Line& line) { return read_for_ever(line); });
  ASSERT_TRUE(reader.wait_word());
  auto env = open_env(meta_).value();
  EXPECT_GT(growth_of_400_updates(*env), 2u << 20);
  reader.say();
  EXPECT_TRUE(reader.succeeds());
}

TEST_F(LmdbStaleReader, OfADeadProcessIsClearedWhenTheTableIsFull) {
  lmdb::Env::Options options;
  options.readers_max = 2;
  const base::HostPath few = dir_ / "few readers";
  Child reader([&](const Child::Line& line) {
    auto env = open_env(few, options).value();
    if (!put_word(*env, "a", "value")) return false;
    return env
        ->view([&](ReadTxn&) -> Status {
          line.say();
          line.wait();
          return {};
        })
        .has_value();
  });
  ASSERT_TRUE(reader.wait_word());
  auto env = open_env(few, options).value();
  ASSERT_TRUE(env->view([&](ReadTxn&) -> Status {
    const auto nested = [&] { return env->view([](ReadTxn& txn) { return txn.get(words, "a"); }); };
    EXPECT_EQ(code_of(nested()), base::ErrorCode::busy);
    reader.kill();
    EXPECT_EQ(nested().value(), "value");
    return {};
  }));
}

}  // namespace
}  // namespace cairn::test

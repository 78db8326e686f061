// SPDX-License-Identifier: Apache-2.0
// A store on a disk that is filled to the last byte: what is known can be written down, a collection works, what does not
// fit is dropped and counted, and nobody has to help the store up again.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tests/libcache_gc/policy_fixture.h"
#include "tests/support/loop_fs.h"

namespace cairn::cache {
namespace {

using namespace std::chrono_literals;

class FullDisk : public testing::TestWithParam<test::FileSystem> {
 protected:
  static base::HostPath make_root(const test::LoopFs& disk) {
    CHECK(::mkdir((disk / "store").c_str(), 0755) == 0);
    return disk / "store";
  }
  std::uint64_t free_bytes() const {
    struct ::statvfs disk {};
    CHECK(::statvfs(disk_.path().c_str(), &disk) == 0);
    return disk.f_bfree * disk.f_frsize;
  }
  // To the last block, the superuser's share included.
  void fill() {
    const base::Fd file = must(base::open_host(disk_ / "ballast", O_CREAT | O_WRONLY | O_APPEND, 0644));
    for (std::size_t size = 1 << 20; size > 0; size /= 2) {
      const std::string bytes(size, 'x');
      while (::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())) {
      }
    }
    ASSERT_EQ(::fsync(file.get()), 0);
    ASSERT_EQ(::write(file.get(), "x", 1) < 0 ? errno : 0, ENOSPC);
    if (GetParam() == test::FileSystem::ext4) {
      ASSERT_LE(free_bytes(), 2u << 20);  // 2 % are its own, and called free
    }
  }
  void add_records(int count) {
    for (int i = 0; i < count; ++i) store_.add({}, {.bytes = 200'000, .key = key(i)});
    store_.sync();
  }
  // Writes keys until the disk takes no more.
  void use_up_what_the_metadata_keep() {
    for (int round = 0; round < 200; ++round) {
      Publication publication;
      for (int i = 0; i < 2000; ++i) publication.add_result(key(10'000 + round * 2000 + i), std::nullopt);
      if (!store_.writer->wait_durable(must(store_.cache->publish(std::move(publication))))) return;
    }
    FAIL() << "the disk is not full";
  }

  const test::LoopFs disk_{GetParam(), GetParam() == test::FileSystem::ext4 ? 64u << 20 : 320u << 20};
  PolicyStore store_{"overlay", make_root(disk_)};
};

TEST_P(FullDisk, WhatIsKnownIsWrittenDownAndAPruneMakesRoom) {
  add_records(40);
  Publication publication;
  std::optional<ImmutableRef> made = store_.commit(publication, {}, "result", "bytes");
  publication.add_result(key(1000), made);
  fill();
  const auto number = must(store_.cache->publish(std::move(publication)));
  EXPECT_OK(store_.writer->wait_durable(number));  // the metadata have room of their own
  made.reset();
  const auto begun = std::chrono::steady_clock::now();
  const PruneReport report = must(store_.cache->prune({.all = true}));
  EXPECT_EQ(report.records.size(), 41u);
  EXPECT_GE(free_bytes(), 40u * 200'000);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 60s);  // it ends
  EXPECT_TRUE(store_.findings().empty());
  store_.add({}, {.key = key(1)});
  store_.sync();
}

TEST_P(FullDisk, WhatDoesNotFitIsDroppedAndCountedAndAPruneWorksOutOfTheReserve) {
  add_records(40);
  fill();
  use_up_what_the_metadata_keep();
  store_.cache->settle_collector();  // so that outcomes are known
  EXPECT_GE(store_.cache->counts().dropped_writes, 1u);
  EXPECT_EQ(must(store_.cache->prune({.all = true})).records.size(), 40u);
  EXPECT_GE(free_bytes(), 40u * 200'000);
  store_.add({}, {.key = key(1)});
  store_.sync();
  store_.cache->prune({.all = true}).value();
  EXPECT_TRUE(must(store_.cache->check()).empty());
}

TEST_P(FullDisk, TheCollectorMakesRoomByItselfWhenAWriteWasDropped) {
  add_records(40);
  CollectorOptions options;
  PolicyRule rule;
  rule.ceiling = Space::percent(100);
  rule.floor = Space::bytes(0);
  options.policy = policy_of({rule});
  options.look_interval = 1h;
  store_.cache->start_collector(std::move(options));
  fill();
  use_up_what_the_metadata_keep();
  store_.cache->settle_collector();
  EXPECT_GE(store_.cache->counts().collector.emergencies, 1u);
  EXPECT_GE(free_bytes(), 1u << 20);
  store_.add({}, {.key = key(2000)});
  store_.sync();
  EXPECT_EQ(store_.results(key(2000)).size(), 1u);
}

TEST_P(FullDisk, OpeningAStoreThereWorks) {
  add_records(5);
  fill();
  store_.reopen();
  EXPECT_EQ(store_.results(key(3)).size(), 1u);
  EXPECT_EQ(must(store_.cache->prune({.all = true})).records.size(), 5u);
}

// btrfs copies what is written over, and XFS shares it.
INSTANTIATE_TEST_SUITE_P(On, FullDisk, testing::Values(test::FileSystem::ext4, test::FileSystem::btrfs, test::FileSystem::xfs),
                         [](const auto& on) { return std::string(test::name_of(on.param)); });

}  // namespace
}  // namespace cairn::cache

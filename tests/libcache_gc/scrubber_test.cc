// SPDX-License-Identifier: Apache-2.0
// The scrub in the background: it begins late, reads what is stored once, rests until it is due again, also in the next process, and
// what it read and found is counted.
#include <fcntl.h>
#include <unistd.h>

#include "libcache/account/scrub_totals.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/random_bytes.h"

namespace cairn::cache {
namespace {

using test::random_bytes;

constexpr std::size_t large = 70'000;  // a file each

class BackgroundScrubTest : public ::testing::Test {
 protected:
  static BackgroundScrub at_once() {
    return {.bytes_per_second = 1u << 30, .every = std::chrono::hours(24), .delay = std::chrono::nanoseconds(0)};
  }
  BlobDigest put(std::uint64_t seed) {
    const auto put = must(store_.cache->blobs().put(random_bytes(seed, large)));
    must(store_.writer->wait_durable(put.sequence));
    return put.info.digest;
  }
  // One process that owns the store and lets the scrubber do what is due.
  void own(const BackgroundScrub& options) {
    store_.reopen();
    store_.cache->start_scrubber(options);
    store_.cache->settle_scrubber();
    store_.reopen();
  }
  ScrubTotals totals() { return must(scrub_totals(*store_.env)); }

  OpenStore store_;
};

TEST_F(BackgroundScrubTest, ReadsAllOnceAndRestsUntilItIsDueAgain) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) put(seed);
  own(at_once());
  EXPECT_EQ(totals(), (ScrubTotals{.bytes = 3 * large, .damaged = 0, .last_complete = store_.clock.now()}));
  own(at_once());
  EXPECT_EQ(totals().bytes, 3 * large) << "the next owner knows that it was done";
  store_.clock.advance(std::chrono::hours(25));
  own(at_once());
  EXPECT_EQ(totals(), (ScrubTotals{.bytes = 6 * large, .damaged = 0, .last_complete = store_.clock.now()}));
}

TEST_F(BackgroundScrubTest, FindsWhatIsDamagedWhichBecomesAMiss) {
  const BlobDigest good = put(1), bad = put(2);
  const std::string file = (store_.root() / "blobs/sha256" / bad.hex().substr(0, 2) / bad.hex()).str();
  const base::Fd opened(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::pwrite(opened.get(), "?!", 2, 1000), 2);
  own(at_once());
  EXPECT_EQ(totals().damaged, 1u);
  EXPECT_TRUE(must(store_.cache->blobs().find(good)));
  EXPECT_FALSE(must(store_.cache->blobs().find(bad)));
  EXPECT_EQ(must(store_.cache->quarantined()), 1u);
}

TEST_F(BackgroundScrubTest, GoesOnWhereTheLastOneStopped) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) put(seed);
  BackgroundScrub slow = at_once();
  slow.bytes_per_second = 1;  // after the first blob it waits for most of a day
  store_.reopen();
  store_.cache->start_scrubber(slow);
  store_.cache->stop_scrubber();
  store_.reopen();
  const ScrubTotals first = totals();
  EXPECT_LE(first.bytes, large);
  EXPECT_FALSE(first.last_complete);
  own(at_once());
  EXPECT_EQ(totals().bytes, 3 * large) << "each was read once";
  EXPECT_TRUE(totals().last_complete);
}

TEST_F(BackgroundScrubTest, WhoOwnsAStoreForAMomentReadsNothing) {
  put(1);
  BackgroundScrub late = at_once();
  late.delay = std::chrono::hours(1);
  store_.cache->start_scrubber(late);
  store_.cache->stop_scrubber();
  store_.reopen();
  EXPECT_EQ(totals(), ScrubTotals{});
}

TEST_F(BackgroundScrubTest, IsOffWithARateOfNothing) {
  put(1);
  BackgroundScrub off = at_once();
  off.bytes_per_second = 0;
  own(off);
  EXPECT_EQ(totals(), ScrubTotals{});
}

TEST_F(BackgroundScrubTest, AScrubByHandCountsToo) {
  put(1);
  const ScrubReport report = must(store_.cache->scrub({}));
  EXPECT_EQ(report.bytes, large);
  store_.reopen();
  EXPECT_EQ(totals().bytes, large);
  own(at_once());
  EXPECT_EQ(totals().bytes, large) << "it has just been done";
}

TEST(ScrubTotalsRow, ComesBackWholeAndDamageIsCorrupt) {
  const ScrubTotals row{.bytes = 1ull << 50, .damaged = 3, .last_complete = base::from_unix_ns(1'700'000'000'000'000'001)};
  const std::string bytes = base::Codec<ScrubTotals>::encode(row);
  EXPECT_EQ(must(base::Codec<ScrubTotals>::decode(bytes)), row);
  EXPECT_EQ(must(base::Codec<ScrubTotals>::decode(base::Codec<ScrubTotals>::encode({}))), ScrubTotals{});
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(base::Codec<ScrubTotals>::decode(bytes.substr(0, size))) << size;
  EXPECT_FALSE(base::Codec<ScrubTotals>::decode(bytes + "x"));
}

}  // namespace
}  // namespace cairn::cache

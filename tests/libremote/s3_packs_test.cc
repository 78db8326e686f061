// SPDX-License-Identifier: Apache-2.0
// The tier on S3 and its packs: how few requests they cost, and what becomes of them when they are gone, damaged or not
// sent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "libbase/fs/beneath.h"
#include "libbase/fs/fd.h"
#include "libbase/hash/sha256.h"
#include "libremote/s3/pack_format.h"
#include "tests/libremote/s3_double.h"
#include "tests/support/http_server.h"
#include "tests/support/random_bytes.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using cache::EntryName;
using cache::expect_error;
using cache::get;
using cache::patient_call;
using cache::put;
using cache::RemoteTier;
using cache::sized;
using cache::SizedBlob;
using cache::TierEntry;
using nlohmann::json;

// The machine's, but for what a test has let pass.
class MovedClock final : public base::Clock {
 public:
  base::WallTime now() const override { return system_clock.now() + ahead_.load(); }
  std::chrono::steady_clock::time_point steady_now() const override { return system_clock.steady_now() + ahead_.load(); }
  void move(std::chrono::seconds by) { ahead_ = ahead_.load() + by; }
  std::chrono::seconds moved() const { return std::chrono::duration_cast<std::chrono::seconds>(ahead_.load()); }
  cache::TierCall call() const { return {steady_now() + std::chrono::seconds(30), {}}; }

 private:
  std::atomic<std::chrono::nanoseconds> ahead_{std::chrono::nanoseconds(0)};
};

std::string said(const base::Status& status) { return status ? "" : status.error().message; }
EntryName named(const std::string& key) { return {.door = "ccache", .key = key}; }

// An entry with a value of its own, and these as what it needs.
TierEntry entry_of(const std::string& value, const std::vector<std::string>& needs) {
  TierEntry entry{.value = value, .closure = std::vector<SizedBlob>()};
  for (const std::string& bytes : needs) entry.closure->push_back(sized(bytes));
  return entry;
}

class S3Packs : public testing::Test {
 protected:
  // As the write-behind does it.
  static base::Status send(RemoteTier& tier, const std::string& key, const std::vector<std::string>& needs) {
    const TierEntry entry = entry_of("value of " + key, needs);
    const auto there = TRY(tier.has_blobs(*entry.closure, patient_call()));
    for (std::size_t i = 0; i < needs.size(); ++i)
      if (!there[i]) TRY(put(tier, needs[i]));
    return tier.put_entry(named(key), entry, patient_call());
  }
  static base::Status send_now(RemoteTier& tier, const std::string& key, const std::vector<std::string>& needs) {
    TRY(send(tier, key, needs));
    return tier.flush(patient_call());
  }
  // As the tiers do it: "" if it is whole, or what is not.
  static std::string fetch(RemoteTier& tier, const std::string& key, const std::vector<std::string>& needs) {
    const auto found = tier.find_entry(named(key), patient_call());
    if (!found) return found.error().message;
    if (!*found) return "no entry";
    if ((*found)->value != "value of " + key) return "another value";
    (void)tier.read_ahead(*(*found)->closure, patient_call());
    for (const std::string& bytes : needs) {
      const auto got = get(tier, sized(bytes));
      if (!got) return got.error().message;
      if (*got != bytes) return *got == "none" ? "no blob" : "other bytes";
    }
    return "";
  }
  void let_pass(std::chrono::seconds time) {
    clock.move(time);
    server.sick({{"mode", "clock"}, {"seconds", clock.moved().count()}});
  }
  std::vector<std::string> packs() { return server.names("/packs/"); }
  std::vector<bool> has(const std::string& bytes) {
    const SizedBlob blob = sized(bytes);
    return tier->has_blobs({&blob, 1}, patient_call()).value();
  }
  std::unique_ptr<RemoteTier> open_with(const std::function<void(S3Options&)>& change) {
    S3Options options = server.options;
    change(options);
    return server.open_with(options, clock);
  }

  Double server;
  MovedClock clock;
  test::TempDir dir;
  std::unique_ptr<RemoteTier> tier = server.open_with(server.options, clock);
};

TEST_F(S3Packs, OneObjectHasAnEntryAndWhatItNeeds) {
  ASSERT_EQ(said(send(*tier, "k", {"one", "two", ""})), "");
  EXPECT_EQ(packs(), std::vector<std::string>()) << "nothing is sent before it is time";
  EXPECT_EQ(fetch(*server.open(), "k", {}), "no entry");
  ASSERT_EQ(said(tier->flush(patient_call())), "");
  ASSERT_EQ(packs().size(), 1u);
  EXPECT_TRUE(PackName::parse(packs()[0].substr(std::string("cache/team/one/packs/").size()))) << packs()[0];
  EXPECT_EQ(server.count("PUT", "/blobs/") + server.count("PUT", "/entries/"), 0);
  EXPECT_EQ(fetch(*server.open(), "k", {"one", "two", ""}), "");
  ASSERT_EQ(said(tier->flush(patient_call())), "");
  EXPECT_EQ(packs().size(), 1u) << "there was nothing more";
  const json said = server.log();
  EXPECT_EQ(said.back()["method"], "GET");
  const cache::TierPacking packing = tier->packing();
  EXPECT_EQ(packing.packs_out, 1u);
  EXPECT_GT(packing.pack_bytes_out, 6u);
  EXPECT_EQ(packing.objects_known, 3u);
}

// The measure of all this (decision 35): 4,000 objects of one request each were 4,001 puts, and 4 gets each.
TEST_F(S3Packs, AThousandResultsCostThirtyPutsAtMostAndEachOfThemThreeGets) {
  const auto needs = [](int i) {
    std::vector<std::string> three;
    for (int j = 0; j < 3; ++j) three.push_back(test::random_bytes(std::uint64_t(i) * 3 + std::uint64_t(j), 2'000));
    return three;
  };
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_EQ(said(send(*tier, std::to_string(i), needs(i))), "");
    if (i % 100 == 99) {
      ASSERT_EQ(said(tier->flush(patient_call())), "");
    }
  }
  EXPECT_LE(server.count("PUT", ""), 30);
  EXPECT_EQ(server.count("HEAD", ""), 0);
  const auto other = server.open();
  std::size_t before = server.log().size();
  EXPECT_EQ(fetch(*other, "500", needs(500)), "");
  EXPECT_LE(server.log().size() - before, 3 + packs().size()) << "the listing, and the index of each pack";
  for (int i = 0; i < 1'000; i += 37) {
    before = server.log().size();
    EXPECT_EQ(fetch(*other, std::to_string(i), needs(i)), "");
    EXPECT_LE(server.log().size() - before, 3u);
  }
}

TEST_F(S3Packs, WhatNobodyHasCostsNoRequest) {
  ASSERT_EQ(said(send_now(*tier, "k", {"one"})), "");
  const auto other = server.open();
  EXPECT_EQ(fetch(*other, "0", {}), "no entry");
  const std::size_t before = server.log().size();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(fetch(*other, std::to_string(i), {}), "no entry");
    EXPECT_EQ(get(*other, sized(std::to_string(i))), "none");
  }
  EXPECT_EQ(server.log().size(), before);
  EXPECT_GE(other->packing().lookups_spared, 200u);
}

TEST_F(S3Packs, WhatIsThereIsNotSentAgain) {
  const std::string large = test::random_bytes(1, 300'000);
  ASSERT_EQ(said(send_now(*tier, "a", {"shared", large})), "");
  const auto other = server.open();
  const int heads = server.count("HEAD", "");
  ASSERT_EQ(said(send_now(*other, "b", {"shared", large, "more"})), "");
  EXPECT_EQ(server.count("PUT", "/blobs/"), 1) << "the index of the pack says that it is there";
  EXPECT_EQ(server.count("HEAD", ""), heads);
  EXPECT_EQ(other->packing().puts_spared, 2u);
  EXPECT_EQ(fetch(*server.open(), "b", {"shared", large, "more"}), "");
}

TEST_F(S3Packs, AnEntryLeadsToPacksThatAReaderHasNoRoomToKnow) {
  ASSERT_EQ(said(send_now(*tier, "a", {"shared", "of a"})), "");
  ASSERT_EQ(said(send_now(*tier, "b", {"shared", "of b"})), "");
  const auto other = open_with([](S3Options& options) { options.known_objects_max = 1; });
  EXPECT_EQ(get(*other, sized("of a")), "none");
  EXPECT_EQ(fetch(*other, "b", {"shared", "of b"}), "");
}

TEST_F(S3Packs, WhatOthersPutIsSeenAfterAWhile) {
  EXPECT_EQ(fetch(*tier, "k", {}), "no entry");
  ASSERT_EQ(said(send_now(*server.open(), "k", {"one"})), "");
  EXPECT_EQ(fetch(*tier, "k", {}), "no entry");
  let_pass(std::chrono::seconds(6));
  EXPECT_TRUE(tier->find_entry(named("k"), clock.call()).value());
  // What was put again is seen, too, and the index of nothing is read twice.
  const auto other = server.open();
  ASSERT_TRUE(other->put_entry(named("k"), {.value = "newer"}, patient_call()));
  ASSERT_EQ(said(other->flush(patient_call())), "");
  let_pass(std::chrono::seconds(61));
  EXPECT_EQ(tier->find_entry(named("k"), clock.call()).value()->value, "newer");
  EXPECT_EQ(packs().size(), 2u);
}

TEST_F(S3Packs, APackThatIsGoneIsAMissAndItsBlobsAreSentAgain) {
  ASSERT_EQ(said(send_now(*tier, "k", {"one", "two"})), "");
  const auto reader = server.open();
  EXPECT_EQ(fetch(*reader, "k", {"one", "two"}), "");
  const std::string gone = packs()[0];
  server.objects({{gone, nullptr}});
  EXPECT_EQ(fetch(*reader, "k", {}), "no entry");
  EXPECT_EQ(get(*reader, sized("one")), "none");
  // Who has put it believes in it until it asks for it, or looks what is still there.
  EXPECT_EQ(has("one"), std::vector<bool>{true});
  let_pass(std::chrono::hours(1));
  const SizedBlob one = sized("one");
  EXPECT_EQ(tier->has_blobs({&one, 1}, clock.call()).value(), std::vector<bool>{false});
  server.sick({{"mode", ""}});
  const auto again = server.open();
  ASSERT_EQ(said(send_now(*again, "k", {"one", "two"})), "");
  EXPECT_EQ(fetch(*server.open(), "k", {"one", "two"}), "");
}

TEST_F(S3Packs, WhatIsInAnOldPackIsSentAgain) {
  ASSERT_EQ(said(send_now(*tier, "k", {"one"})), "");
  let_pass(std::chrono::hours(8 * 24));
  const SizedBlob one = sized("one");
  EXPECT_EQ(tier->has_blobs({&one, 1}, clock.call()).value(), std::vector<bool>{false})
      << "a bucket may delete what is old at any time";
  EXPECT_EQ(get(*tier, one, clock.call()), "one");
}

TEST_F(S3Packs, AnIndexThatLiesIsSaidOnceAndThenThereIsNone) {
  ASSERT_EQ(said(send_now(*tier, "k", {"one"})), "");
  server.objects({{packs()[0], "something else, which is long enough to have been an index of a pack, and is none"}});
  const auto other = server.open();
  expect_error(other->find_entry(named("k"), patient_call()), ErrorCode::corrupt, "does not have its index");
  EXPECT_EQ(fetch(*other, "k", {}), "no entry");
  // One of zero bytes, and one that is no index though its name says what it hashes to.
  const std::string text = "no index";
  PackName name{1'764'000'000'000, std::uint32_t(text.size()), base::sha256(text)};
  server.objects({{packs()[0], ""}, {"cache/team/one/packs/" + name.str(), text}});
  expect_error(server.open()->find_entry(named("k"), patient_call()), ErrorCode::corrupt, "pack");
}

TEST_F(S3Packs, OtherBytesInAPackAreCorruptAndThenItIsSentAgain) {
  ASSERT_EQ(said(send_now(*tier, "k", {"one", "two"})), "");
  const auto other = server.open();
  EXPECT_TRUE(other->find_entry(named("k"), patient_call()).value());
  server.sick({{"mode", "wrong"}});
  expect_error(get(*tier, sized("one")), ErrorCode::corrupt, "has other bytes for blob");
  const std::vector<SizedBlob> both = {sized("one"), sized("two")};
  expect_error(other->read_ahead(both, patient_call()), ErrorCode::corrupt, "has other bytes for blob");
  server.sick({{"mode", ""}});
  EXPECT_EQ(has("two"), std::vector<bool>{false}) << "nothing of that pack is believed any more";
  ASSERT_EQ(said(send_now(*tier, "k", {"one", "two"})), "");
  EXPECT_EQ(fetch(*tier, "k", {"one", "two"}), "");
}

TEST_F(S3Packs, APackThatWasCutIsCorrupt) {
  ASSERT_EQ(said(send_now(*tier, "k", {std::string(50'000, 'o')})), "");
  const auto other = server.open();
  EXPECT_TRUE(other->find_entry(named("k"), patient_call()).value());
  server.objects({{packs()[0], "cut"}});
  expect_error(get(*other, sized(std::string(50'000, 'o'))), ErrorCode::corrupt, "is shorter than it should be");
}

TEST_F(S3Packs, WhatWasPutBeforeThereWerePacksIsRead) {
  const auto old = open_with([](S3Options& options) { options.pack_below = 0; });
  EXPECT_FALSE(old->abilities().packs);
  ASSERT_EQ(said(send_now(*old, "k", {"one", "two"})), "");
  EXPECT_EQ(packs(), std::vector<std::string>());
  EXPECT_EQ(server.count("PUT", "/entries/"), 1);
  EXPECT_EQ(fetch(*tier, "k", {"one", "two"}), "");
  // And who does not pack reads packs.
  ASSERT_EQ(said(send_now(*tier, "new", {"three"})), "");
  EXPECT_EQ(fetch(*open_with([](S3Options& options) { options.pack_below = 0; }), "new", {"three"}), "");
}

TEST_F(S3Packs, WhatIsNotSentIsKeptAndSentLater) {
  ASSERT_EQ(said(send(*tier, "k", {"one"})), "");
  const auto flush_fails = [&](ErrorCode code, const std::string& part, int time_ms) {
    expect_error(tier->flush(cache::call_for(std::chrono::milliseconds(time_ms))), code, part);
  };
  server.sick({{"mode", "status"}, {"status", 500}, {"code", "InternalError"}});
  flush_fails(ErrorCode::io, "InternalError", 10'000);
  server.sick({{"mode", "status"}, {"status", 503}, {"code", "SlowDown"}});
  flush_fails(ErrorCode::busy, "SlowDown", 10'000);
  server.sick({{"mode", "status"}, {"status", 429}, {"code", "TooManyRequests"}});
  flush_fails(ErrorCode::busy, "status 429", 10'000);
  server.sick({{"mode", "silent"}});
  flush_fails(ErrorCode::io, "not done in the time that there was", 200);
  server.sick({{"mode", ""}});
  EXPECT_EQ(has("one"), std::vector<bool>{true}) << "it is on its way";
  // What comes meanwhile is later than it, and may need it.
  ASSERT_EQ(said(send_now(*tier, "later", {"one", "two"})), "");
  EXPECT_EQ(packs().size(), 2u);
  EXPECT_EQ(fetch(*server.open(), "k", {"one"}), "");
  EXPECT_EQ(fetch(*server.open(), "later", {"one", "two"}), "");
}

// What somebody gets who knows nothing of the bucket yet, and who has a pack to send.
class S3PacksRefused : public S3Packs {
 protected:
  S3PacksRefused() { EXPECT_EQ(said(send_now(*tier, "k", {"one"})), ""); }
  void expect_refusal(const std::function<void(S3Options&)>& change, const std::string& part) {
    const SizedBlob one = sized("one");
    expect_error(open_with(change)->find_entry(named("k"), patient_call()), ErrorCode::unavailable, part);
    expect_error(open_with(change)->open_blob(one, patient_call()), ErrorCode::unavailable, part);
    expect_error(open_with(change)->has_blobs({&one, 1}, patient_call()), ErrorCode::unavailable, part);
    const auto writer = open_with(change);
    (void)put(*writer, "two");
    expect_error(writer->flush(patient_call()), ErrorCode::unavailable, part);
  }
};

TEST_F(S3PacksRefused, CredentialsThatAreNotTaken) {
  expect_refusal([](S3Options& options) { options.secret_access_key = "secretless"; }, "SignatureDoesNotMatch");
  expect_refusal([](S3Options& options) { options.session_token = "unknown"; }, "InvalidToken");
  EXPECT_EQ(packs().size(), 1u);
  EXPECT_EQ(fetch(*server.open(), "k", {"one"}), "");
}

TEST_F(S3PacksRefused, NothingGoesWhereAServerRedirects) {
  test::HttpServer elsewhere([](const test::HttpRequest&, test::HttpReply& reply) { reply.send(200, {}, "bytes"); });
  server.sick({{"mode", "redirect"}, {"to", elsewhere.url("/cache")}});
  expect_refusal([](S3Options&) {}, "status 307");
  // Nor does who knows a pack, and reads of it.
  expect_error(get(*tier, sized("one")), ErrorCode::unavailable, "status 307");
  EXPECT_TRUE(elsewhere.requests().empty()) << "neither bytes nor who asks";
}

TEST_F(S3Packs, ASlowDripEndsWithTheCall) {
  const std::string bytes(2'000, 'x');
  ASSERT_EQ(said(send_now(*tier, "k", {bytes})), "");
  const auto reader = server.open();
  server.sick({{"mode", "drip"}});
  const auto in_time = [] { return cache::call_for(std::chrono::milliseconds(400)); };
  const std::string why = "not done in the time";
  expect_error(get(*tier, sized(bytes), in_time()), ErrorCode::io, why);
  expect_error(reader->find_entry(named("k"), in_time()), ErrorCode::io, why);
  server.sick({{"mode", ""}});
  EXPECT_EQ(fetch(*server.open(), "k", {bytes}), "");
}

TEST_F(S3Packs, WhileNothingIsSentNotMoreThanAFewPacksAreTaken) {
  tier = open_with([](S3Options& options) {
    options.pack_below = 10'000;
    options.pack_bytes = 20'000;
  });
  server.sick({{"mode", "status"}, {"status", 500}, {"code", "InternalError"}});
  int taken = 0;
  while (taken < 100 && put(*tier, test::random_bytes(std::uint64_t(taken), 9'000))) ++taken;
  EXPECT_GE(taken, 2);
  EXPECT_LE(taken, 8);
}

TEST_F(S3Packs, AFullPackIsSentWithoutAFlushAndAnEntryIsNeverInAnEarlierOne) {
  tier = open_with([](S3Options& options) {
    options.pack_below = 10'000;
    options.pack_bytes = 20'000;
  });
  const auto needs = [](int i) {
    return std::vector<std::string>{test::random_bytes(std::uint64_t(i), 9'000),
                                    test::random_bytes(std::uint64_t(i) + 1, 9'000)};
  };
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(said(send(*tier, std::to_string(i), needs(i))), "");
    // Whoever looks now finds whole ones only.
    const auto other = server.open();
    for (int j = std::max(0, i - 2); j <= i; ++j) {
      const std::string found = fetch(*other, std::to_string(j), needs(j));
      EXPECT_TRUE(found.empty() || found == "no entry") << found;
    }
  }
  EXPECT_GE(packs().size(), 8u);
}

TEST_F(S3Packs, ManyAtOnce) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i)
        EXPECT_EQ(said(send_now(*tier, fmt::format("{}/{}", t, i), {"shared", fmt::format("of {} {}", t, i)})), "");
    });
  threads.clear();
  const auto other = server.open();
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i)
        EXPECT_EQ(fetch(*other, fmt::format("{}/{}", t, i), {"shared", fmt::format("of {} {}", t, i)}), "");
    });
  threads.clear();
}

// I5: whenever a machine ends, what it leaves is whole. It loses what it had not sent, and nothing else.
TEST_F(S3Packs, AMachineThatIsKilledLeavesWholeEntriesOnly) {
  const auto needs = [](int round, int i) {
    const auto seed = std::uint64_t(round) * 10'000 + std::uint64_t(i);
    return std::vector<std::string>{test::random_bytes(seed, 4'000), test::random_bytes(seed + 1, 5'000),
                                    test::random_bytes(seed + 2'000'000, 12'000)};
  };
  int whole = 0, lost = 0;
  for (int round = 0; round < 8; ++round) {
    const base::HostPath progress = dir.path() / std::to_string(round);
    const pid_t child = ::fork();
    if (child == 0) {
      const auto fetcher = make_http_fetcher();
      S3Options options = server.options;
      options.pack_below = 10'000;
      options.pack_bytes = 40'000;
      const auto its = std::move(*make_s3_tier(*fetcher, system_clock, options));
      for (int i = 0;; ++i)
        if (!send(*its, fmt::format("{}/{}", round, i), needs(round, i)) ||
            !base::write_file_atomic(progress, std::to_string(i + 1), base::Durable::no))
          ::_exit(1);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(150 + 45 * round));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it could not send";
    const auto sent = base::read_file(progress, 100);
    const auto other = server.open();
    for (int i = 0, end = sent ? std::stoi(*sent) : 0; i <= end; ++i) {
      const std::string found = fetch(*other, fmt::format("{}/{}", round, i), needs(round, i));
      EXPECT_TRUE(found.empty() || found == "no entry") << found;
      ++(found.empty() ? whole : lost);
    }
  }
  EXPECT_GT(whole, 8);
  EXPECT_GT(lost, 0) << "nobody was killed in the middle";
}

TEST(S3PacksInPages, AllOfThemAreFound) {
  Double server({"--page", "2"});
  const auto tier = server.open();
  for (int i = 0; i < 7; ++i) {
    ASSERT_TRUE(put(*tier, std::to_string(i)));
    ASSERT_EQ(said(tier->flush(patient_call())), "");
  }
  const auto other = server.open();
  for (int i = 0; i < 7; ++i) EXPECT_EQ(get(*other, sized(std::to_string(i))), std::to_string(i));
}

TEST(S3PacksOptions, ThatCannotBe) {
  const auto fetcher = make_http_fetcher();
  S3Options options = options_for("9000");
  options.pack_below = options.pack_bytes + 1;
  const auto tier = make_s3_tier(*fetcher, system_clock, options);
  ASSERT_FALSE(tier);
  EXPECT_EQ(tier.error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace cairn::remote

// SPDX-License-Identifier: Apache-2.0
// Equal work is done once, for as long as somebody wants it (I7).
#include "libsolver/schedule/flights.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"
#include "libsolver/sources/resolver_cache.h"

namespace cairn::solver {
namespace {

using Role = Flights::Listener::Role;

bool eventually(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// Somebody who wants work done, and what he heard.
struct Passenger {
  std::atomic<int> started{0}, outputs{0}, bytes{0}, done{0};
  base::Guarded<std::vector<std::pair<Flights::Outcome, Role>>> ends;

  Flights::Listener listener() {
    return {.started = [this] { ++started; },
            .output = [this](Stream, std::string_view) { ++outputs; },
            .bytes = [this](std::uint64_t, std::uint64_t) { ++bytes; },
            .done =
                [this](Flights::Outcome outcome, Role role) {
                  ends.lock()->emplace_back(std::move(outcome), role);
                  ++done;
                }};
  }
  bool landed() {
    return eventually([this] { return done > 0; });
  }
  Flights::Outcome outcome() { return ends.lock()->front().first; }
  Role role() { return ends.lock()->front().second; }
};

class FlightsTest : public ::testing::Test {
 protected:
  // Work that ends when it is let go, or is asked to stop.
  Flights::Work held(std::uint64_t number) {
    return [this, number](const Flights::Listener& to_all, std::stop_token stop) -> base::Result<OpOutputs> {
      ++begun_;
      to_all.output(Stream::out, "hello");
      to_all.bytes(1, 2);
      if (!eventually([&] { return go_ || stop.stop_requested(); })) return base::fail(base::ErrorCode::io, "never let go");
      if (stop.stop_requested()) {
        eventually([&] { return may_stop_.load(); });
        return base::fail(base::ErrorCode::cancelled, "asked to stop");
      }
      OpOutputs outputs;
      outputs.sequence = number;
      return outputs;
    };
  }
  bool begun(int count = 1) {
    return eventually([&] { return begun_ == count; });
  }

  const base::Sha256Bytes a_ = base::sha256("a"), b_ = base::sha256("b");
  std::atomic<int> begun_{0};
  std::atomic<bool> go_{false}, may_stop_{true};
  base::ThreadPool pool_{{.threads = 2}};
  Flights flights_{pool_};
};

// A solve ends with the last `done`. If a step's inputs were still held then, a prune right after it would spare them.
TEST_F(FlightsTest, what_the_work_captured_is_gone_when_its_end_is_told) {
  for (const auto fails : {false, true}) {
    const auto held = std::make_shared<int>(0);
    std::atomic<long> holders{-1}, outcomes{-1};
    Passenger last;
    const auto work = [&, held](const Flights::Listener&, std::stop_token) -> base::Result<OpOutputs> {
      if (!eventually([&] { return go_.load(); })) return base::fail(base::ErrorCode::io, "never let go");
      if (fails) return base::fail(base::ErrorCode::io, "as asked");
      return OpOutputs{};
    };
    go_ = false;
    Flights::Listener at_end = last.listener();
    at_end.done = [&, tell = at_end.done](Flights::Outcome outcome, Role role) {
      holders = held.use_count();
      outcomes = outcome ? outcome->use_count() : 0;
      tell(std::move(outcome), role);
    };
    flights_.join(a_, work, {.started = [] {}, .output = {}, .bytes = {}, .done = [](Flights::Outcome, Role) {}});
    flights_.join(a_, work, std::move(at_end));
    go_ = true;
    ASSERT_TRUE(last.landed());
    EXPECT_EQ(holders, 2) << "the test's own, and the closure that the work was copied from";
    EXPECT_EQ(outcomes, fails ? 0 : 1);
  }
}

TEST_F(FlightsTest, WhoJoinsGetsTheLeadersOutcome) {
  Passenger leader, joiner;
  flights_.join(a_, held(1), leader.listener());
  ASSERT_TRUE(begun());
  flights_.join(a_, held(2), joiner.listener());
  EXPECT_EQ(joiner.started, 1) << "it is told at once that the work runs";
  go_ = true;
  ASSERT_TRUE(leader.landed() && joiner.landed());
  EXPECT_EQ(begun_, 1);
  EXPECT_EQ((*leader.outcome())->sequence, 1u);
  EXPECT_EQ(leader.outcome()->get(), joiner.outcome()->get());
  EXPECT_EQ(leader.role(), Role::leader);
  EXPECT_EQ(joiner.role(), Role::joiner);
  EXPECT_EQ(leader.started, 1);
  EXPECT_EQ(leader.outputs, 1);
  EXPECT_EQ(leader.bytes, 1);
}

TEST_F(FlightsTest, WorkSeesWhatTheSolvesOfAllWhoWaitForItWereTold) {
  Flights::Submit::result_type queued;
  std::vector<base::ThreadPool::Task> tasks;
  Flights held_back([&](base::ThreadPool::Task task, Op::Place) {
    tasks.push_back(std::move(task));
    return queued;
  });
  const auto first = std::make_shared<ResolverCache>(), second = std::make_shared<ResolverCache>();
  std::vector<std::shared_ptr<ResolverCache>> seen;
  const Flights::Work work = [&](const Flights::Listener& to_all, std::stop_token) -> base::Result<OpOutputs> {
    seen = to_all.resolved;
    return OpOutputs{};
  };
  Passenger leader, joiner;
  Flights::Listener of_leader = leader.listener(), of_joiner = joiner.listener();
  of_leader.resolved = {first};
  of_joiner.resolved = {second};
  held_back.join(a_, work, of_leader);
  held_back.join(a_, work, of_joiner);
  ASSERT_EQ(tasks.size(), 1u);
  tasks.front()({});
  EXPECT_EQ(seen, (std::vector{first, second}));
}

TEST_F(FlightsTest, OtherWorkIsDoneBesides) {
  Passenger one, two;
  flights_.join(a_, held(1), one.listener());
  flights_.join(b_, held(2), two.listener());
  ASSERT_TRUE(begun(2));
  go_ = true;
  ASSERT_TRUE(one.landed() && two.landed());
  EXPECT_EQ((*one.outcome())->sequence, 1u);
  EXPECT_EQ((*two.outcome())->sequence, 2u);
}

TEST_F(FlightsTest, WorkThatHasLandedIsDoneAgain) {
  Passenger first, second;
  go_ = true;
  const auto ticket = flights_.join(a_, held(1), first.listener());
  ASSERT_TRUE(first.landed());
  EXPECT_EQ(flights_.leave(ticket), Flights::Left::landed);
  flights_.join(a_, held(2), second.listener());
  ASSERT_TRUE(second.landed());
  EXPECT_EQ((*second.outcome())->sequence, 2u);
  EXPECT_EQ(second.role(), Role::leader);
}

TEST_F(FlightsTest, TheLeaderMayLeaveWhileOthersWait) {
  Passenger leader, joiner;
  const auto ticket = flights_.join(a_, held(1), leader.listener());
  ASSERT_TRUE(begun());
  flights_.join(a_, held(2), joiner.listener());
  EXPECT_EQ(flights_.leave(ticket), Flights::Left::others_wait);
  go_ = true;
  ASSERT_TRUE(joiner.landed());
  EXPECT_EQ((*joiner.outcome())->sequence, 1u);
  EXPECT_EQ(begun_, 1);
}

TEST_F(FlightsTest, TheLastWhoLeavesStopsTheWork) {
  Passenger leader, joiner;
  const auto first = flights_.join(a_, held(1), leader.listener());
  ASSERT_TRUE(begun());
  const auto second = flights_.join(a_, held(2), joiner.listener());
  EXPECT_EQ(flights_.leave(first), Flights::Left::others_wait);
  EXPECT_EQ(flights_.leave(second), Flights::Left::last);
  ASSERT_TRUE(leader.landed() && joiner.landed());
  EXPECT_EQ(leader.outcome().error().code, base::ErrorCode::cancelled);
  EXPECT_EQ(joiner.outcome().error().code, base::ErrorCode::cancelled);
}

TEST_F(FlightsTest, WhoComesAfterTheStopGetsTheWorkDoneAnew) {
  may_stop_ = false;
  Passenger early, late;
  const auto ticket = flights_.join(a_, held(1), early.listener());
  ASSERT_TRUE(begun());
  EXPECT_EQ(flights_.leave(ticket), Flights::Left::last);
  flights_.join(a_, held(2), late.listener());
  EXPECT_EQ(late.started, 0) << "not this flight";
  EXPECT_EQ(begun_, 1) << "never two at a time";
  may_stop_ = true;
  ASSERT_TRUE(early.landed());
  ASSERT_TRUE(begun(2));
  go_ = true;
  ASSERT_TRUE(late.landed());
  EXPECT_EQ((*late.outcome())->sequence, 2u);
  EXPECT_EQ(late.role(), Role::leader);
}

TEST_F(FlightsTest, WorkThatNobodyWantsAnyMoreDoesNotBegin) {
  Passenger busy_one, busy_two, waiting;
  flights_.join(base::sha256("1"), held(1), busy_one.listener());
  flights_.join(base::sha256("2"), held(1), busy_two.listener());
  ASSERT_TRUE(begun(2));  // both threads
  const auto ticket = flights_.join(a_, held(3), waiting.listener());
  EXPECT_EQ(flights_.leave(ticket), Flights::Left::last);
  go_ = true;
  ASSERT_TRUE(waiting.landed() && busy_one.landed() && busy_two.landed());
  EXPECT_EQ(waiting.outcome().error().code, base::ErrorCode::cancelled);
  EXPECT_EQ(waiting.started, 0);
  EXPECT_EQ(begun_, 2);
}

TEST_F(FlightsTest, AnErrorIsEverybodys) {
  Passenger leader, joiner;
  std::latch joined(1);
  const Flights::Work work = [&](const Flights::Listener&, std::stop_token) -> base::Result<OpOutputs> {
    joined.wait();
    return base::fail(base::ErrorCode::no_space, "full");
  };
  flights_.join(a_, work, leader.listener());
  flights_.join(a_, work, joiner.listener());
  joined.count_down();
  ASSERT_TRUE(leader.landed() && joiner.landed());
  EXPECT_EQ(leader.outcome().error().message, "full");
  EXPECT_EQ(joiner.outcome().error().code, base::ErrorCode::no_space);
}

TEST_F(FlightsTest, APoolThatTakesNothingIsAnError) {
  pool_.stop();
  Passenger passenger;
  flights_.join(a_, held(1), passenger.listener());
  ASSERT_TRUE(passenger.landed());
  EXPECT_EQ(passenger.outcome().error().code, base::ErrorCode::cancelled);
}

TEST_F(FlightsTest, ManyWhoComeAndGoAllHearTheEndOnce) {
  go_ = true;
  constexpr int threads = 8, rounds = 200;
  std::vector<std::unique_ptr<Passenger>> passengers;
  for (int i = 0; i < threads * rounds; ++i) passengers.push_back(std::make_unique<Passenger>());
  {
    std::vector<std::jthread> crowd;
    for (int t = 0; t < threads; ++t) {
      crowd.emplace_back([&, t] {
        for (int i = 0; i < rounds; ++i) {
          const auto ticket = flights_.join(i % 2 == 0 ? a_ : b_, held(1), passengers[t * rounds + i]->listener());
          if (i % 3 == 0) flights_.leave(ticket);
        }
      });
    }
  }
  pool_.wait_idle();
  for (const auto& passenger : passengers) ASSERT_TRUE(passenger->landed());
  pool_.wait_idle();
  for (const auto& passenger : passengers) EXPECT_EQ(passenger->done, 1);
}

}  // namespace
}  // namespace cairn::solver

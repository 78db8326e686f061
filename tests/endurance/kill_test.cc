// SPDX-License-Identifier: Apache-2.0
// An engine with 16 busy threads is killed at a random moment, again and again, on one store. Whatever moment it was: the
// next one opens it, what can be found is whole, and fsck finds nothing. CAIRN_TEST_FULL: ten minutes of it.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "tests/e2e/program.h"
#include "tests/endurance/traffic.h"
#include "tests/support/host_state.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"
#include "tools/engine/engine.h"

namespace cairn::test {

// What is killed. It never ends by itself but when something is wrong.
int work(const std::string& root, std::uint64_t seed) {
  auto engine = engine::Engine::open(engine::EngineOptions(must(base::HostPath::parse(root))));
  if (!engine) return std::fprintf(stderr, "open: %s\n", engine.error().message.c_str()), 1;
  Traffic traffic((*engine)->cache());
  traffic.start({.lookups = 7, .commits = 8, .prunes = 1}, seed);
  while (traffic.complaints().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::fprintf(stderr, "%s\n", traffic.complaints().front().c_str());
  ::_exit(1);
}

namespace {

class Kill : public ::testing::Test {
 protected:
  // Opened as the next owner would.
  void look_at_store() {
    const auto engine = engine::Engine::open(engine::EngineOptions(root_));
    ASSERT_TRUE(engine) << engine.error().message;
    Traffic traffic((*engine)->cache());
    traffic.look_at_everything();
    EXPECT_THAT(traffic.complaints(), ::testing::IsEmpty());
    hits_ += traffic.counts().hits;
  }
  void fsck() {
    const Ended ended = run_program(temp_.path(), {CAIRN_BIN_DIR "/cachectl", "--root", root_.str(), "fsck"});
    EXPECT_EQ(ended.code, 0) << ended.out << ended.err;
  }

  TempDir temp_;
  const base::HostPath root_ = temp_ / "store";
  std::uint64_t hits_ = 0;
};

TEST_F(Kill, AtRandomUnder16Threads) {
  constexpr int kills_per_look = 8;
  std::mt19937_64 random(std::random_device{}());
  const auto end = std::chrono::steady_clock::now() + endurance_time();
  int kills = 0, looks = 0;
  while ((std::chrono::steady_clock::now() < end || looks < 1) && !HasFailure()) {
    Program worker(temp_.path(), {CAIRN_BIN_DIR "/endurance_kill_test", "--work", root_.str(), std::to_string(random())});
    const std::chrono::milliseconds lives(random() % 1200);
    SCOPED_TRACE(fmt::format("kill {} after {} ms", kills, lives.count()));
    std::this_thread::sleep_for(lives);
    worker.signal(SIGKILL);
    const Ended ended = worker.wait();
    ASSERT_EQ(ended.code, 128 + SIGKILL) << ended.err;
    if (++kills % kills_per_look != 0) continue;
    ++looks;
    look_at_store();
    fsck();
  }
  look_at_store();
  fsck();
  fmt::print("killed {} times, looked at {} times, {} hits then\n", kills, looks + 1, hits_);
  EXPECT_GT(hits_, 0u);
}

}  // namespace
}  // namespace cairn::test

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "--work") == 0) return cairn::test::work(argv[2], std::strtoull(argv[3], nullptr, 10));
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

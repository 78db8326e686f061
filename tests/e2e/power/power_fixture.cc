// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/power/power_fixture.h"

#include <cstdio>
#include <cstdlib>
#include <set>

namespace cairn::test {

void Tally::add(const Cut& cut, const std::vector<Violation>& found) {
  ++images;
  std::set<Violation::Kind> kinds;
  for (const Violation& violation : found) {
    kinds.insert(violation.kind);
    texts.push_back(fmt::format("{}: {}: {}", cut.str(), to_string(violation.kind), violation.text));
  }
  for (const Violation::Kind kind : kinds) ++images_with[kind];
}

bool PowerTest::full() { return std::getenv("CAIRN_TEST_FULL") != nullptr; }

PowerTest::Run PowerTest::run(const PowerScenario& scenario) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<Event> events;
  auto recording = record(GetParam(), [&](const base::HostPath& root, FuseDisk& disk, const LoopDevice&) {
    events = run_in_child(disk.log(), [&](Reporter& reporter) { scenario.work(root, reporter); });
  });
  return {std::move(recording), std::move(events), start};
}

std::vector<Violation> PowerTest::check(const PowerScenario& scenario, const Run& run, const Cut& cut) {
  const base::Fd image = image_after(run.recording.before.get(), run.recording.records, cut);
  const Expected expected = expected_after(run.events, cut.end);
  return check_image(GetParam(), image.get(), where_.path(),
                     [&](const base::HostPath& root) { return scenario.check(root, expected); });
}

void PowerTest::print(const Run& run, const Tally& tally) {
  const auto flushes = flush_boundaries(run.recording.records).size();
  std::string kinds;
  for (const auto& [kind, count] : tally.images_with) kinds += fmt::format(", {} {}", count, to_string(kind));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - run.start;
  std::printf("%s: %zu writes, %zu flushes, %zu images%s, %.1f s\n", std::string(name_of(run.recording.kind)).c_str(),
              run.recording.records.size() - flushes, flushes, tally.images,
              kinds.empty() ? ", all sound" : kinds.c_str(), seconds.count());
  std::fflush(stdout);
}

void PowerTest::expect_sound(const PowerScenario& scenario, std::uint64_t seed) {
  const Run sound = run(scenario);
  Tally tally;
  for (const Cut& cut : choose_cuts(sound.recording.records, full() ? Reach::full : Reach::sample, seed)) {
    tally.add(cut, check(scenario, sound, cut));
  }
  print(sound, tally);
  EXPECT_GE(tally.images, 12u);
  EXPECT_EQ(tally.texts, std::vector<std::string>());
}

void PowerTest::expect_caught(const PowerScenario& scenario) {
  const Run broken = run(scenario);
  Tally tally;
  for (const std::size_t end : flush_boundaries(broken.recording.records)) {
    const Cut cut = prefix_cut(end);
    tally.add(cut, check(scenario, broken, cut));
    if (!full() && tally.images_with.contains(Violation::Kind::bad_tree)) break;
  }
  print(broken, tally);
  EXPECT_GE(tally.images_with[Violation::Kind::bad_tree], 1u) << "the bug went unnoticed";
  EXPECT_EQ(tally.images_with[Violation::Kind::unmountable], 0u);
  EXPECT_EQ(tally.images_with[Violation::Kind::crashed], 0u);
}

}  // namespace cairn::test

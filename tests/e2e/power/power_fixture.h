// SPDX-License-Identifier: Apache-2.0
// A recorded run of a workload, the cuts that are tried on it, and what was found. CAIRN_TEST_FULL=1: after every
// request, and points at which a part of what was not flushed is lost; else a sample.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <map>

#include "tests/e2e/power/events.h"
#include "tests/e2e/power/image_check.h"
#include "tests/e2e/power/recording.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {

// What is done on the disk, and how it is judged afterwards; both get the root of the file system.
struct PowerScenario {
  std::function<void(const base::HostPath& root, Reporter&)> work;
  std::function<std::vector<Violation>(const base::HostPath& root, const Expected&)> check;
};

struct Tally {
  std::size_t images = 0;
  std::map<Violation::Kind, std::size_t> images_with;
  std::vector<std::string> texts;

  void add(const Cut& cut, const std::vector<Violation>& found);
};

class PowerTest : public testing::TestWithParam<FileSystem> {
 protected:
  static bool full();
  // No cut may break anything.
  void expect_sound(const PowerScenario& scenario, std::uint64_t seed);
  // The bug is there, so some cut must show a tree that is not what its name says; but the file system and the store must
  // be usable, for else something else has been caught.
  void expect_caught(const PowerScenario& scenario);

 private:
  struct Run {
    Recording recording;
    std::vector<Event> events;
    std::chrono::steady_clock::time_point start;
  };
  Run run(const PowerScenario& scenario);
  std::vector<Violation> check(const PowerScenario& scenario, const Run& run, const Cut& cut);
  static void print(const Run& run, const Tally& tally);

  TempDir where_;
};

}  // namespace cairn::test

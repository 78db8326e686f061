// SPDX-License-Identifier: Apache-2.0
// Cuts the power of a disk under libsnapshot, on each file system that Cairn is used on. A recorded disk writes down
// what it is asked to write and to flush; afterwards the disk is built as it would have been had the power gone after
// the n-th request, is mounted (the file system recovers by itself), and the store is opened and compared with what had
// been acknowledged by then.
//
// The suite must be able to fail: with the rows committed before the data, or without the data sync, it does.
//
// CAIRN_TEST_FULL=1: every flush, and as many points between; else a sample.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "libbase/fs/fd.h"
#include "tests/e2e/power/recording.h"

namespace cairn::test {
namespace {

using Order = base::lmdb::GroupWriter::Options::Order;

bool full() { return std::getenv("CAIRN_TEST_FULL") != nullptr; }

struct Tally {
  std::size_t images = 0;
  std::map<Violation::Kind, std::size_t> images_with;
  std::vector<std::string> texts;

  void add(const Cut& cut, const std::vector<Violation>& found) {
    ++images;
    std::map<Violation::Kind, std::size_t> kinds;
    for (const Violation& violation : found) {
      ++kinds[violation.kind];
      texts.push_back(fmt::format("{}: {}: {}", cut.str(), to_string(violation.kind), violation.text));
    }
    for (const auto& [kind, count] : kinds) ++images_with[kind];
  }
  std::string str() const {
    std::string text = fmt::format("{} images", images);
    for (const auto& [kind, count] : images_with) text += fmt::format(", {} {}", count, to_string(kind));
    return text;
  }
};

class SnapshotPower : public testing::TestWithParam<FileSystem> {
 protected:
  struct Run {
    Recording recording;
    std::vector<Event> events;
    WorkloadOptions options;
  };
  Run run(WorkloadOptions options) {
    std::vector<Event> events;
    auto recording = record(GetParam(), [&](const base::HostPath& root, FuseDisk& disk, const LoopDevice&) {
      events = run_workload(root / "store", options, disk.log());
    });
    return {std::move(recording), std::move(events), std::move(options)};
  }
  std::vector<Violation> check(const Run& run, const Cut& cut) {
    const base::Fd image = image_after(run.recording.before.get(), run.recording.records, cut);
    StoreOptions sound = run.options.store;
    sound.order = Order::data_first;
    sound.data_sync = DataSync::real;
    return check_image(GetParam(), image.get(), where_.path(), "store", expected_after(run.events, cut.end), sound);
  }
  void print(const Run& run, const Tally& tally) {
    const auto flushes = flush_boundaries(run.recording.records).size();
    std::printf("%s: %zu writes, %zu flushes, %s, %.1f s\n", std::string(name_of(GetParam())).c_str(),
                run.recording.records.size() - flushes, flushes, tally.str().c_str(), seconds());
  }
  // The bug is there, so some cut must show a tree that is not what its row says.
  void expect_caught(WorkloadOptions options) {
    const Run broken = run(std::move(options));
    Tally tally;
    for (const std::size_t end : flush_boundaries(broken.recording.records)) {
      const Cut cut = prefix_cut(end);
      tally.add(cut, check(broken, cut));
      if (!full() && tally.images_with.contains(Violation::Kind::bad_tree)) break;
    }
    print(broken, tally);
    EXPECT_GE(tally.images_with[Violation::Kind::bad_tree], 1u) << "the bug went unnoticed";
    EXPECT_EQ(tally.images_with[Violation::Kind::unmountable], 0u);
    EXPECT_EQ(tally.images_with[Violation::Kind::crashed], 0u);
  }
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  }

  TempDir where_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

TEST_P(SnapshotPower, WhatWasAcknowledgedSurvivesEveryCut) {
  for (std::uint64_t seed = 1; seed <= (full() ? 3 : 1); ++seed) {
    const Run sound = run({.store = {}, .seed = seed, .rounds = full() ? 40 : 20});
    Tally tally;
    for (const Cut& cut : choose_cuts(sound.recording.records, full() ? Reach::full : Reach::sample, seed)) {
      tally.add(cut, check(sound, cut));
    }
    print(sound, tally);
    EXPECT_EQ(tally.texts, std::vector<std::string>());
    EXPECT_GE(tally.images, 12u);
  }
}

TEST_P(SnapshotPower, NamesBeforeTheirDataAreCaught) {
  expect_caught({.store = {.order = Order::names_first}, .seed = 1, .rounds = 10});
}

TEST_P(SnapshotPower, AMissingDataSyncIsCaught) {
  expect_caught({.store = {.data_sync = DataSync::left_out}, .seed = 1, .rounds = 10});
}

INSTANTIATE_TEST_SUITE_P(FileSystems, SnapshotPower,
                         testing::Values(FileSystem::ext4, FileSystem::xfs, FileSystem::btrfs),
                         [](const auto& about) { return std::string(name_of(about.param)); });

}  // namespace
}  // namespace cairn::test

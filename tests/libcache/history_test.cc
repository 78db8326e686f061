// SPDX-License-Identifier: Apache-2.0
// The history of solves: what is kept without a write of the metadata, what moves into the table, what goes, and what a
// crash or a full disk may do to it.
#include "libcache/history.h"

#include <filesystem>
#include <fstream>

#include "libbase/fs/fd.h"
#include "libcache/history/history_rows.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/small_disk.h"

namespace cairn::cache {
namespace {

// Random names do not compress, so that rows are as large as they look.
SolveRow row_of(std::uint64_t id, std::size_t steps, std::size_t name_size = 20) {
  SolveRow row;
  row.id = SolveId(id);
  row.duration = std::chrono::milliseconds(id);
  row.project = "web";
  row.build = "b" + std::to_string(id);
  row.definition = base::sha256("definition " + std::to_string(id));
  row.outcome = SolveRow::Outcome::failed;
  row.error = "why";
  for (std::size_t i = 0; i < steps; ++i) {
    SolvedStep& step = row.steps.emplace_back();
    step.digest = base::sha256(std::to_string(id) + " " + std::to_string(i));
    while (step.name.size() < name_size) step.name += base::digest_of<KeyDigest>(fmt::format("{} {} {}", id, i, step.name.size())).raw();
    step.state = static_cast<SolvedStep::State>(i % 4);
    step.started = std::chrono::nanoseconds(i);
    step.duration = std::chrono::nanoseconds(2 * i);
    step.keys_tried = 3 * i;
    for (std::size_t tried = 0; tried < i % 5; ++tried) step.keys.push_back(key(static_cast<int>(10 * i + tried)));
    if (i % 2 == 0) step.hit = i % 4 == 0 && !step.keys.empty() ? step.keys.back() : key(static_cast<int>(i));
    for (std::size_t input = 0; input < i; input += 3) step.inputs.push_back(static_cast<std::uint32_t>(input));
    if (i % 2 == 1) step.missed = static_cast<MissCause>(i % miss_causes);
  }
  return row;
}

std::vector<std::uint64_t> ids(const std::vector<SolveRow>& rows) {
  std::vector<std::uint64_t> all;
  for (const SolveRow& row : rows) all.push_back(row.id.value());
  return all;
}

std::uint64_t rows_in_table(OpenStore& store) {
  return must(store.env->view([](base::lmdb::ReadTxn& txn) { return txn.count(table::history); }));
}

TEST(HistoryRows, ComeBackAsTheyWereAndLargeOnesAreCompressed) {
  for (const std::size_t steps : {0u, 1u, 5u, 5000u}) {
    const SolveRow row = row_of(7, steps);
    const std::string bytes = base::Codec<SolveRow>::encode(row);
    EXPECT_EQ(must(base::Codec<SolveRow>::decode(bytes)), row);
    EXPECT_EQ(bytes[1], steps == 5000 ? 1 : 0) << steps;
    for (std::size_t size = 0; size < std::min<std::size_t>(bytes.size(), 300); ++size)
      EXPECT_FALSE(base::Codec<SolveRow>::decode(std::string_view(bytes).substr(0, size)));
  }
  EXPECT_EQ(must(parse_solve_id(to_text(SolveId(7)))), SolveId(7));
  for (const char* wrong : {"", "7", "000000000000000g", "0000000000000000", "00000000000000007"}) EXPECT_FALSE(parse_solve_id(wrong)) << wrong;
}

TEST(HistoryRows, KeepTheFirstKeysOfAStepAndWhatOlderVersionsHaveOfThem) {
  SolveRow row = row_of(7, 1, 1);
  SolvedStep& step = row.steps[0];
  for (int i = 0; i < 40; ++i) step.keys.push_back(key(i));
  step.keys_tried = 40;
  step.hit = key(30);  // not among those that are kept
  step.name = "n";
  step.made = RecordId(300);
  step.inputs = {0};
  SolveRow kept = row;
  kept.steps[0].keys.resize(tried_keys_max);
  EXPECT_EQ(must(base::Codec<SolveRow>::decode(base::Codec<SolveRow>::encode(row))), kept);

  step.keys.clear();
  std::string bytes = base::Codec<SolveRow>::encode(row);
  ASSERT_EQ(bytes.substr(0, 2), std::string("\4\0", 2));
  std::string strange = bytes;
  strange.back() = 1;
  EXPECT_FALSE(base::Codec<SolveRow>::decode(strange)) << "there is one step";
  bytes.resize(bytes.size() - 2);  // version 3 ends before the steps that it takes something from
  bytes[0] = 3;
  step.inputs.clear();
  EXPECT_EQ(must(base::Codec<SolveRow>::decode(bytes)), row);
  bytes.resize(bytes.size() - 2);  // version 2 before what was made
  bytes[0] = 2;
  step.made = RecordId();
  EXPECT_EQ(must(base::Codec<SolveRow>::decode(bytes)), row);
  const std::size_t keys = bytes.find(std::string("\0\1", 2) + std::string(step.hit->raw()));  // no key, and one follows that was hit
  ASSERT_NE(keys, std::string::npos);
  bytes.erase(keys, 1);
  bytes[0] = 1;
  EXPECT_EQ(must(base::Codec<SolveRow>::decode(bytes)), row);
  bytes[0] = 5;
  EXPECT_FALSE(base::Codec<SolveRow>::decode(bytes));
}

TEST(History, ARowIsFoundAtOnceAndWritesNoMetadata) {
  OpenStore store;
  const auto syncs = base::sync_counts().total();
  const auto commits = store.env->counts().commits;
  {
    History history(store.root(), *store.writer, {});
    history.add(row_of(5, 3));
    history.add(row_of(5, 1));  // in the same nanosecond
    history.add(row_of(4, 0));  // the clock went back
  }
  EXPECT_EQ(ids(must(solve_history(*store.env, store.root()))), (std::vector<std::uint64_t>{5, 6, 7}));
  EXPECT_EQ(must(find_solve(*store.env, store.root(), SolveId(5))), row_of(5, 3));
  EXPECT_EQ(must(find_solve(*store.env, store.root(), SolveId(8))), std::nullopt);
  EXPECT_EQ(base::sync_counts().total(), syncs);
  EXPECT_EQ(store.env->counts().commits, commits);
  EXPECT_EQ(rows_in_table(store), 0u);
}

TEST(History, ManyRowsMoveIntoTheTableAndTheOldestGo) {
  OpenStore store;
  {
    History history(store.root(), *store.writer, {.solves_max = 5, .bytes_max = 64u << 20});
    for (std::uint64_t id = 1; id <= 9; ++id) history.add(row_of(id, 1, 40'000));
  }
  store.reopen();  // waits for the writer
  const auto in_table = rows_in_table(store);
  EXPECT_EQ(in_table, 5u) << "the first seven moved together";
  EXPECT_EQ(ids(must(solve_history(*store.env, store.root()))), (std::vector<std::uint64_t>{3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(must(find_solve(*store.env, store.root(), SolveId(4))), row_of(4, 1, 40'000));
  {
    History history(store.root(), *store.writer, {.solves_max = 100, .bytes_max = 200'000});
    for (std::uint64_t id = 10; id <= 16; ++id) history.add(row_of(id, 1, 40'000));
  }
  store.reopen();
  EXPECT_EQ(rows_in_table(store), 4u) << "of about 40,000 bytes each";
  EXPECT_EQ(must(store.cache->check()).size(), 0u);
}

// A solve that found everything has written nothing else.
TEST(History, OnlyASolveThatExecutedSomethingMovesWhatWaits) {
  OpenStore store;
  History history(store.root(), *store.writer, {});
  const auto add = [&](std::uint64_t id, SolvedStep::State state) {
    SolveRow row = row_of(id, 1, 40'000);
    row.steps[0].state = state;
    history.add(std::move(row));
  };
  for (std::uint64_t id = 1; id <= 20; ++id) add(id, SolvedStep::State::cached);
  store.cache->settle_collector();  // waits for the writer
  EXPECT_EQ(rows_in_table(store), 0u);
  add(21, SolvedStep::State::executed);
  store.cache->settle_collector();
  EXPECT_EQ(rows_in_table(store), 21u);
}

TEST(History, RowsThatACrashLeavesInBothPlacesAreThereOnce) {
  OpenStore store;
  const std::string file = (store.root() / "history").str();
  std::string before;
  {
    History history(store.root(), *store.writer, {});
    for (std::uint64_t id = 1; id <= 6; ++id) history.add(row_of(id, 1, 40'000));
    before = must(base::read_file(store.root() / "history", 1 << 20));
    history.add(row_of(7, 1, 40'000));
  }
  store.reopen();
  ASSERT_EQ(rows_in_table(store), 7u);
  ASSERT_EQ(std::filesystem::file_size(file), 0u);
  std::ofstream(file) << before << std::string("\x40\0\0\0cut off", 11);  // and a row that was half written
  EXPECT_EQ(must(solve_history(*store.env, store.root())).size(), 7u);
  {
    History history(store.root(), *store.writer, {});
    history.add(row_of(8, 0));
    history.add(row_of(9, 1, 40'000));
  }
  store.reopen();
  EXPECT_EQ(rows_in_table(store), 9u);
  EXPECT_EQ(ids(must(solve_history(*store.env, store.root()))), (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(History, WhatCannotBeKeptIsCounted) {
  OpenStore store;
  std::filesystem::create_directory((store.root() / "history").str());
  History history(store.root(), *store.writer, {});
  history.add(row_of(1, 1));
  EXPECT_EQ(history.dropped(), 1u);
  std::filesystem::remove((store.root() / "history").str());
  history.add(row_of(2, 1));
  EXPECT_EQ(history.dropped(), 1u);
  EXPECT_EQ(ids(must(solve_history(*store.env, store.root()))), (std::vector<std::uint64_t>{2}));
}

TEST(History, AFullDiskDropsARowWholeAndKeepsThoseBeforeAndBehindIt) {
  OpenStore store;
  const base::HostPath root = store.dir_ / "small";
  const test::SmallDisk disk(root, "64k");
  History history(root, *store.writer, {});
  history.add(row_of(1, 1, 20'000));
  history.add(row_of(2, 1, 20'000));
  history.add(row_of(3, 1, 60'000));  // half of it finds room
  EXPECT_EQ(history.dropped(), 1u);
  history.add(row_of(4, 1, 500));
  EXPECT_EQ(history.dropped(), 1u);
  EXPECT_EQ(ids(must(solve_history(*store.env, root))), (std::vector<std::uint64_t>{1, 2, 4}));
  EXPECT_EQ(must(find_solve(*store.env, root, SolveId(4))), row_of(4, 1, 500));
}

TEST(History, IsBoundedAsStoreTomlSays) {
  const HistoryOptions options = must(parse_history_options("chunk_bytes = 65536\nhistory_solves = 7\nhistory_bytes = 1000\n", "store.toml"));
  EXPECT_EQ(options.solves_max, 7u);
  EXPECT_EQ(options.bytes_max, 1000u);
  EXPECT_EQ(must(parse_options("chunk_bytes = 65536\nhistory_solves = 7\n", "store.toml")).chunk_bytes, 65536u);
  EXPECT_FALSE(parse_options("history_solves = -1\n", "store.toml"));
  EXPECT_FALSE(parse_history_options("history_bytes = \"x\"\n", "store.toml"));
}

}  // namespace
}  // namespace cairn::cache

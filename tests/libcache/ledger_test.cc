// SPDX-License-Identifier: Apache-2.0
// The ledger of steps that made something else when they were run again: what is a repetition and what is not, what is said of it,
// how long both records are held, and what is kept.
#include "libcache/ledger.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <functional>

#include "libcache/history/ledger_rows.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class LedgerOfSteps : public ::testing::Test {
 protected:
  LedgerOfSteps() { store_.cache->start_ledger({}); }

  // Publishes what `fill` has put into a tree on parent, as what a step has made under these keys; durable.
  ImmutableRef run(const std::string& name, std::vector<KeyDigest> keys, const std::function<void(const std::string& top)>& fill,
                   std::optional<ImmutableRef> parent = {}, RecordFacts facts = {}) {
    Publication publication;
    std::vector<RecordId> inputs;
    if (parent) inputs.push_back(parent->id());
    MutableRef tree = must(store_.cache->create(std::move(parent)));
    {
      const auto mount = must(tree.mount(snapshot::Access::read_write));
      fill(fmt::format("/proc/self/fd/{}", mount.fd()));
    }
    const ImmutableRef ref = must(std::move(tree).commit(publication, std::move(facts)));
    publication.executed({base::sha256(name), name, std::move(inputs)});
    for (const KeyDigest& each : keys) publication.add_result(each, ref);
    must(store_.writer->wait_durable(must(store_.cache->publish(std::move(publication)))));
    return ref;
  }
  static std::function<void(const std::string&)> file(const std::string& name, const std::string& bytes) {
    return [=](const std::string& top) {
      const auto out = must(base::open_host(must(base::HostPath::parse(top)) / name, O_CREAT | O_WRONLY | O_TRUNC, 0644));
      must(base::write_full(out.get(), std::string_view(bytes)));
    };
  }
  LedgerView ledger() {
    store_.cache->settle_ledger();
    return must(read_ledger(*store_.env));
  }
  static std::vector<std::string> lines(const LedgerRow& row) {
    std::vector<std::string> lines;
    for (const TreeDifference& path : row.paths) {
      std::string line = std::string(to_string(path.kind)) + " " + path.path;
      for (const DifferenceField field : path.fields) line += " " + std::string(to_string(field));
      lines.push_back(line);
    }
    return lines;
  }

  OpenStore store_;
};

TEST_F(LedgerOfSteps, AResultThatDiffersIsARowAndOneThatIsEqualIsCounted) {
  const auto first = run("stamp", {key(1)}, file("stamp", "1"));
  run("same", {key(2)}, file("same", "x"));
  const auto second = run("stamp", {key(1)}, file("stamp", "2"));
  run("same", {key(2)}, file("same", "x"));
  const LedgerView view = ledger();
  EXPECT_EQ(view.totals, (LedgerTotals{.compared = 2, .differed = 1, .not_compared = 0}));
  ASSERT_EQ(view.entries.size(), 1u);
  EXPECT_EQ(view.entries[0].key, key(1));
  const LedgerRow& row = view.entries[0].row;
  EXPECT_EQ(row.name, "stamp");
  EXPECT_EQ(row.vertex, base::sha256("stamp"));
  EXPECT_EQ(row.older, first.id());
  EXPECT_EQ(row.newer, second.id());
  EXPECT_EQ(row.compared, 1u);
  EXPECT_EQ(row.differed, 1u);
  EXPECT_EQ(row.paths_total, 1u);
  EXPECT_THAT(lines(row), ElementsAre("changed stamp content"));
  EXPECT_THAT(store_.findings(), IsEmpty());

  run("stamp", {key(1)}, file("stamp", "2"));  // as the newest
  run("stamp", {key(1)}, file("stamp", "3"));
  const LedgerView later = ledger();
  ASSERT_EQ(later.entries.size(), 1u);
  EXPECT_EQ(later.entries[0].row.compared, 3u);
  EXPECT_EQ(later.entries[0].row.differed, 2u);
  EXPECT_GT(later.entries[0].row.newer, second.id());
}

TEST_F(LedgerOfSteps, SaysOfEachPathInWhatItDiffers) {
  const auto base_tree = run("base", {}, [](const std::string& top) {
    for (const char* name : {"bytes", "mode", "owner", "gone", "x", "time", "type"}) file(name, "1")(top);
    ASSERT_EQ(::mkdir((top + "/dir").c_str(), 0755), 0);
    ASSERT_EQ(::mkdir((top + "/still").c_str(), 0755), 0);
    file("still/there", "1")(top);
  });
  run("step", {key(1)}, [](const std::string&) {}, base_tree);
  run("step", {key(1)}, [](const std::string& top) {
    file("bytes", "2")(top);
    ASSERT_EQ(::chmod((top + "/mode").c_str(), 0600), 0);
    ASSERT_EQ(::chown((top + "/owner").c_str(), 1, 0), 0);
    ASSERT_EQ(::unlink((top + "/gone").c_str()), 0);
    ASSERT_EQ(::setxattr((top + "/x").c_str(), "user.y", "z", 1, 0), 0);
    const timespec times[2] = {{5, 0}, {5, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (top + "/time").c_str(), times, 0), 0);
    ASSERT_EQ(::unlink((top + "/type").c_str()), 0);
    ASSERT_EQ(::mkdir((top + "/type").c_str(), 0755), 0);
    file("type/file", "1")(top);
    ASSERT_EQ(::chmod((top + "/dir").c_str(), 0700), 0);
    file("dir/new", "1")(top);
  }, base_tree);
  const LedgerView view = ledger();
  ASSERT_EQ(view.entries.size(), 1u);
  EXPECT_THAT(lines(view.entries[0].row),
              ElementsAre("changed bytes content", "changed dir mode", "added dir/new", "removed gone", "changed mode mode",
                          "changed owner owner", "changed type type mode", "added type/file", "changed x xattr"));
}

// Its files could not even be opened.
TEST_F(LedgerOfSteps, WhatIsEqualBelowTheSameParentIsNotRead) {
  const auto base_tree = run("base", {}, [](const std::string& top) {
    ASSERT_EQ(::mkdir((top + "/dir").c_str(), 0755), 0);
    file("dir/f", "x")(top);
    file("f", "x")(top);
  });
  must(base_tree.content_digest({}));
  run("step", {key(1)}, file("stamp", "1"), base_tree);
  const std::string fs = (store_.root() / fmt::format("trees/{}/fs", base_tree.snapshot())).str();
  ASSERT_EQ(::unlink((fs + "/f").c_str()), 0);
  ASSERT_EQ(::unlink((fs + "/dir/f").c_str()), 0);
  run("step", {key(1)}, file("stamp", "2"), base_tree);
  const LedgerView view = ledger();
  ASSERT_EQ(view.entries.size(), 1u);
  EXPECT_THAT(lines(view.entries[0].row), ElementsAre("changed stamp content"));
  EXPECT_EQ(store_.cache->counts().tree_bytes_read, 2u) << "by the digest that was asked for, not by the ledger";
}

TEST_F(LedgerOfSteps, TimesAloneAreNoDifference) {
  for (const int seconds : {1, 2}) {
    run("step", {key(1)}, [&](const std::string& top) {
      file("f", "x")(top);
      const timespec times[2] = {{seconds, 0}, {seconds, 0}};
      ASSERT_EQ(::utimensat(AT_FDCWD, (top + "/f").c_str(), times, 0), 0);
    });
  }
  EXPECT_EQ(ledger().totals, (LedgerTotals{.compared = 1, .differed = 0, .not_compared = 0}));
  EXPECT_THAT(ledger().entries, IsEmpty());
}

TEST_F(LedgerOfSteps, AResultWithSeveralKeysIsOneRow) {
  run("step", {key(1), key(2)}, file("f", "1"));
  run("step", {key(2), key(1), key(3)}, file("f", "2"));
  const LedgerView view = ledger();
  ASSERT_EQ(view.entries.size(), 1u);
  EXPECT_EQ(view.entries[0].key, std::min(key(1), key(2)));
  EXPECT_EQ(view.totals.compared, 1u);
}

TEST_F(LedgerOfSteps, AStepWhoseInputDifferedIsToldApart) {
  const auto first = run("first", {key(1)}, file("f", "1"));
  run("second", {key(2)}, file("g", "1"), first);
  const auto again = run("first", {key(1)}, file("f", "2"));
  const auto made = run("second", {key(2)}, file("g", "1"), again);
  run("third", {key(3)}, file("h", "1"), first);
  run("third", {key(3)}, file("h", "2"), first);
  LedgerView view = ledger();
  ASSERT_EQ(view.entries.size(), 3u);
  std::map<std::string, LedgerRow> rows;
  for (const LedgerEntry& entry : view.entries) rows[entry.row.name] = entry.row;
  EXPECT_EQ(rows["first"].by_inputs, 0u);
  EXPECT_EQ(rows["second"].by_inputs, 1u);
  EXPECT_TRUE(rows["second"].last_by_inputs);
  EXPECT_THAT(lines(rows["second"]), ElementsAre("changed f content"));
  EXPECT_EQ(rows["third"].by_inputs, 0u);
}

// The next owner knows it from the rows.
TEST_F(LedgerOfSteps, AnInputThatDifferedUnderAnEarlierOwnerIsKnown) {
  RecordId input;
  {
    const auto first = run("first", {key(1)}, file("f", "1"));
    run("second", {key(2)}, file("g", "1"), first);
    input = run("first", {key(1)}, file("f", "2")).id();
    ASSERT_EQ(ledger().entries.size(), 1u);
  }
  store_.reopen();
  store_.cache->start_ledger({});
  run("second", {key(2)}, file("g", "1"), must(store_.cache->find(input)));
  const LedgerView view = ledger();
  ASSERT_EQ(view.entries.size(), 2u);
  std::uint64_t by_inputs = 0;
  for (const LedgerEntry& entry : view.entries) by_inputs += entry.row.by_inputs;
  EXPECT_EQ(by_inputs, 1u);
}

TEST_F(LedgerOfSteps, SourcesAndWhatIsMadeToBeChangedDoNotCount) {
  for (const char* bytes : {"1", "2"}) {
    run("synced", {key(1)}, file("f", bytes), {}, {.type = RecordType::source_local, .description = {}, .chain = {}});
    run("mount", {key(2)}, file("f", bytes), {}, {.description = {}, .chain = {}, .retain = Retain::yes});
    store_.make({}, bytes, key(3));  // nobody has said that a step has made it
  }
  EXPECT_EQ(ledger().totals, LedgerTotals{});
}

TEST_F(LedgerOfSteps, TheEmptyTreeIsAResultLikeOthers) {
  run("step", {key(1)}, file("f", "1"));
  Publication publication;
  publication.executed({base::sha256("step"), "step", {}});
  publication.add_result(key(1), std::nullopt);
  must(store_.writer->wait_durable(must(store_.cache->publish(std::move(publication)))));
  LedgerView view = ledger();
  ASSERT_EQ(view.entries.size(), 1u);
  EXPECT_EQ(view.entries[0].row.newer, RecordId());
  EXPECT_THAT(lines(view.entries[0].row), ElementsAre("removed ", "removed f"));
  EXPECT_THAT(store_.findings(), IsEmpty());
}

TEST_F(LedgerOfSteps, ManyPathsAreCountedAndTheFirstAreNamed) {
  run("step", {key(1)}, [](const std::string&) {});
  run("step", {key(1)}, [](const std::string& top) {
    for (int i = 0; i < 250; ++i) file(fmt::format("f{:03}", i), "x")(top);
  });
  const LedgerView view = ledger();
  ASSERT_EQ(view.entries.size(), 1u);
  EXPECT_EQ(view.entries[0].row.paths_total, 250u);
  ASSERT_EQ(view.entries[0].row.paths.size(), ledger_paths_max);
  EXPECT_EQ(view.entries[0].row.paths.back().path, "f099");
  EXPECT_THAT(store_.findings(), IsEmpty());
}

// Until they are compared, both are held; then a prune may have them, and waits for that.
TEST_F(LedgerOfSteps, APruneWaitsForTheComparisonAndTakesBoth) {
  run("step", {key(1)}, file("f", "1"));
  run("step", {key(1)}, file("f", "2"));
  const PruneReport report = must(store_.cache->prune({.all = true}));
  EXPECT_EQ(report.records.size(), 2u);
  const LedgerView view = must(read_ledger(*store_.env));
  EXPECT_EQ(view.entries.size(), 1u);
  EXPECT_EQ(view.totals.not_compared, 0u);
}

// What a collection took, nobody can compare: it is found out without asking for the tree.
TEST_F(LedgerOfSteps, WhatWasTakenLeavesNothingToCompareWith) {
  run("step", {key(1)}, file("f", "1"));
  ASSERT_EQ(must(store_.cache->prune({.all = true})).records.size(), 1u);
  run("step", {key(1)}, file("f", "2"));
  EXPECT_EQ(ledger().totals, LedgerTotals{});
}

TEST_F(LedgerOfSteps, ATreeThatCannotBeReadIsCountedAsNotCompared) {
  const auto first = run("step", {key(1)}, file("f", "1"));
  ASSERT_EQ(::rename((store_.root() / fmt::format("trees/{}", first.id())).c_str(), (store_.root() / "aside").c_str()), 0);
  run("step", {key(1)}, file("f", "2"));
  EXPECT_EQ(ledger().totals, (LedgerTotals{.compared = 0, .differed = 0, .not_compared = 1}));
  EXPECT_THAT(ledger().entries, IsEmpty());
  ASSERT_EQ(::rename((store_.root() / "aside").c_str(), (store_.root() / fmt::format("trees/{}", first.id())).c_str()), 0);
}

TEST_F(LedgerOfSteps, ClosingTheStoreComparesWhatWaits) {
  run("step", {key(1)}, file("f", "1"));
  run("step", {key(1)}, file("f", "2"));
  store_.reopen();
  EXPECT_EQ(must(read_ledger(*store_.env)).entries.size(), 1u);
}

TEST(LedgerWithoutAnOwner, NothingIsComparedUnlessItWasStarted) {
  OpenStore store;
  for (const char* bytes : {"1", "2"}) {
    Publication publication;
    const auto ref = store.commit(publication, {}, "f", bytes);
    publication.executed({base::sha256("step"), "step", {}});
    publication.add_result(key(1), ref);
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  }
  store.cache->settle_ledger();
  EXPECT_EQ(must(read_ledger(*store.env)).totals, LedgerTotals{});
}

Verdict verdict_of(int n, std::chrono::nanoseconds when, std::size_t path_bytes = 1) {
  Verdict verdict;
  verdict.outcome = Verdict::Outcome::different;
  verdict.key = key(n);
  verdict.step.name = "step " + std::to_string(n);
  verdict.when = base::from_unix_ns(when.count());
  verdict.older = RecordId(1);
  verdict.newer = RecordId(2);
  verdict.paths_total = 1;
  verdict.paths = {{std::string(path_bytes, 'p'), TreeDifference::Kind::changed, {DifferenceField::content, DifferenceField::xattr}}};
  return verdict;
}

std::vector<std::string> names(OpenStore& store) {
  std::vector<std::string> all;
  for (const LedgerEntry& entry : must(read_ledger(*store.env)).entries) all.push_back(entry.row.name);
  return all;
}

TEST(LedgerRows, ComeBackAsTheyWere) {
  LedgerRow row;
  row.vertex = base::sha256("v");
  row.name = "n";
  row.compared = 300;
  row.differed = 200;
  row.by_inputs = 100;
  row.first_differed = base::from_unix_ns(5);
  row.last_differed = base::from_unix_ns(6);
  row.older = RecordId(7);
  row.newer = RecordId(8);
  row.last_by_inputs = true;
  row.paths_total = 1000;
  row.paths = {{"a/b", TreeDifference::Kind::changed, {DifferenceField::type, DifferenceField::time}}, {"c", TreeDifference::Kind::added, {}}};
  const std::string bytes = base::Codec<LedgerRow>::encode(row);
  EXPECT_EQ(must(base::Codec<LedgerRow>::decode(bytes)), row);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(base::Codec<LedgerRow>::decode(std::string_view(bytes).substr(0, size))) << size;
  EXPECT_FALSE(base::Codec<LedgerRow>::decode(bytes + "x"));
}

TEST(LedgerRows, AreBoundedInNumberBytesAndAge) {
  using std::chrono::hours;
  OpenStore store;
  const auto write = [&](std::vector<Verdict> verdicts, LedgerOptions options) {
    must(store.env->update([&](base::lmdb::WriteTxn& txn) { return write_verdicts(txn, verdicts, options); }));
  };
  write({verdict_of(1, hours(1)), verdict_of(2, hours(2)), verdict_of(3, hours(3)), verdict_of(1, hours(4))}, {.steps_max = 2});
  EXPECT_THAT(names(store), ElementsAre("step 1", "step 3"));
  write({verdict_of(4, hours(5), 5000), verdict_of(5, hours(6), 5000)}, {.bytes_max = 6000});
  EXPECT_THAT(names(store), ElementsAre("step 5"));
  write({verdict_of(6, hours(100))}, {.age_max = hours(50)});
  EXPECT_THAT(names(store), ElementsAre("step 6"));
  EXPECT_EQ(must(read_ledger(*store.env)).totals.differed, 7u);
  EXPECT_THAT(store.findings(), IsEmpty());
}

// It is no reason for the next change to fail.
TEST(LedgerRows, ARowThatCannotBeReadIsAFindingAndGoesWithTheNextChange) {
  OpenStore store;
  must(store.env->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
    TRY(write_verdicts(txn, std::vector{verdict_of(1, std::chrono::hours(1)), verdict_of(2, std::chrono::hours(1))}, {}));
    TRY(txn.put_raw(table::ledger, key(1).raw(), "\x7f"));
    return txn.put_raw(table::ledger_totals, "all", "\x7f");
  }));
  ASSERT_EQ(store.findings().size(), 1u);
  EXPECT_EQ(store.findings()[0].substr(0, 2), "I2");
  EXPECT_THAT(names(store), ElementsAre("step 2"));
  must(store.env->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
    TRY(txn.erase(table::ledger, key(2)));
    return write_verdicts(txn, std::vector{verdict_of(1, std::chrono::hours(2))}, {});
  }));
  EXPECT_THAT(names(store), ElementsAre("step 1"));
  EXPECT_THAT(store.findings(), IsEmpty());
}

TEST(LedgerRows, CheckFindsWhatCannotBe) {
  const std::vector<std::function<void(LedgerRow&)>> defects = {
      [](LedgerRow& row) { row.differed = 0; },
      [](LedgerRow& row) { row.differed = row.compared + 1; },
      [](LedgerRow& row) { row.by_inputs = row.differed + 1; },
      [](LedgerRow& row) { row.paths_total = 0; },
      [](LedgerRow& row) { row.newer = row.older; },
      [](LedgerRow& row) { row.first_differed = row.last_differed + std::chrono::hours(1); },
      [](LedgerRow& row) { row.compared = row.differed = 2; },  // more than all together
  };
  OpenStore store;
  must(store.env->update([&](base::lmdb::WriteTxn& txn) { return write_verdicts(txn, std::vector{verdict_of(1, std::chrono::hours(1))}, {}); }));
  const LedgerRow sound = must(read_ledger(*store.env)).entries.at(0).row;
  const auto put = [&](const LedgerRow& row) {
    must(store.env->update([&](base::lmdb::WriteTxn& txn) { return txn.put(table::ledger, key(1), row); }));
  };
  for (std::size_t i = 0; i < defects.size(); ++i) {
    LedgerRow row = sound;
    defects[i](row);
    put(row);
    ASSERT_FALSE(store.findings().empty()) << i;
    EXPECT_EQ(store.findings()[0].substr(0, 2), "I9") << i;
  }
  put(sound);
  EXPECT_THAT(store.findings(), IsEmpty());
}

TEST(LedgerRows, AreBoundedAsStoreTomlSays) {
  const LedgerOptions options = must(parse_ledger_options("ledger_steps = 7\nledger_bytes = 1000\nledger_age = \"48h\"\n", "store.toml"));
  EXPECT_EQ(options.steps_max, 7u);
  EXPECT_EQ(options.bytes_max, 1000u);
  EXPECT_EQ(options.age_max, std::chrono::hours(48));
  EXPECT_TRUE(parse_options("ledger_steps = 7\nledger_age = \"48h\"\n", "store.toml"));
  for (const char* wrong : {"ledger_steps = -1\n", "ledger_bytes = \"x\"\n", "ledger_age = 5\n", "ledger_age = \"soon\"\n"}) {
    EXPECT_FALSE(parse_options(wrong, "store.toml")) << wrong;
    EXPECT_FALSE(parse_ledger_options(wrong, "store.toml")) << wrong;
  }
}

}  // namespace
}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
// What runs again, and what does not, when something has changed.
#include <sys/stat.h>
#include <utime.h>

#include "tests/e2e/world.h"
#include "tools/engine/engine.h"

namespace cairn::test {
namespace {

using engine::Engine;
using engine::EngineCounts;
using solver::StepState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class Incremental : public World {
 protected:
  void SetUp() override {
    put(src_, "a.c", "a1");
    put(src_, "b.c", "b1");
    put(src_, "notes.txt", "n1");
  }

  llb::State source(llb::LocalOptions options = {}) const {
    options.name = "source";
    return llb::local("src", options);
  }
  llb::State compile(const std::string& name, const std::string& file) const {
    return output(name, "cat /src/f > /out/o",
                  {{.dest = "/src/f", .source = source(), .selector = file, .read_only = true}});
  }
  llb::State program() const {
    return output("link", "cat /a/o /b/o > /out/program",
                  {{.dest = "/a", .source = compile("compile a", "a.c"), .read_only = true},
                   {.dest = "/b", .source = compile("compile b", "b.c"), .read_only = true}});
  }
  Solved build(const llb::State& state) {
    Solved solved = solve(state, {"--local", "src=" + src_.str(), "--output", export_to("out" + std::to_string(++builds_))});
    EXPECT_EQ(solved.code, 0) << solved.err;
    return solved;
  }
  std::string built(const std::string& file) { return exported("out" + std::to_string(builds_), file); }

  const base::HostPath src_ = make_dir("src");
  int builds_ = 0;
};

TEST_F(Incremental, OnlyWhatDependsOnTheChangedFileRuns) {
  EXPECT_EQ(build(program()).executed, 5u);
  EXPECT_EQ(built("program"), "a1b1");

  put(src_, "a.c", "a2");
  EXPECT_THAT(build(program()).in_state("executed"), ElementsAre("compile a", "link", "source"));
  EXPECT_EQ(built("program"), "a2b1");

  put(src_, "a.c", "a1");
  EXPECT_THAT(build(program()).in_state("executed"), IsEmpty()) << "reverted";
  EXPECT_EQ(built("program"), "a1b1");
}

TEST_F(Incremental, TouchedFilesRunNothing) {
  build(program());
  for (const char* name : {"a.c", "b.c"}) {
    const ::utimbuf old{1000000000, 1000000000};
    ASSERT_EQ(::utime((src_ / name).c_str(), &old), 0);
  }
  EXPECT_THAT(build(program()).in_state("executed"), IsEmpty());
}

TEST_F(Incremental, RewrittenWithTheSameBytesRunsNothing) {
  build(program());
  ASSERT_EQ(::unlink((src_ / "a.c").c_str()), 0);
  put(src_, "a.c", "a1");
  EXPECT_THAT(build(program()).in_state("executed"), IsEmpty());
}

TEST_F(Incremental, UnselectedFilesRunNoDependent) {
  build(program());
  put(src_, "notes.txt", "n2");
  put(src_, "deep/new", "x");
  EXPECT_THAT(build(program()).in_state("executed"), ElementsAre("source"));
}

TEST_F(Incremental, ModeAndOwnerAreContent) {
  build(program());
  ASSERT_EQ(::chmod((src_ / "a.c").c_str(), 0755), 0);
  EXPECT_THAT(build(program()).in_state("executed"), ::testing::Contains("compile a"));
  ASSERT_EQ(::chmod((src_ / "a.c").c_str(), 0644), 0);
  EXPECT_THAT(build(program()).in_state("executed"), IsEmpty());
}

TEST_F(Incremental, EqualOutputEndsTheRebuild) {
  const auto generated = output("generate", "sed 's/#.*//' /src/f > /out/g",
                                {{.dest = "/src/f", .source = source(), .selector = "a.c", .read_only = true}});
  const auto used = output("use", "cat /in/g > /out/u", {{.dest = "/in", .source = generated, .read_only = true}});
  put(src_, "a.c", "code#comment 1");
  EXPECT_EQ(build(used).executed, 4u);
  put(src_, "a.c", "code#comment 2");
  EXPECT_THAT(build(used).in_state("executed"), ElementsAre("generate", "source"));
  EXPECT_EQ(built("u"), "code");
}

TEST_F(Incremental, IncludePatternsBoundTheSource) {
  const auto copy = output("copy", "cp -r /src/. /out", {{.dest = "/src", .source = source({.include_patterns = {"*.c"}}), .read_only = true}});
  build(copy);
  EXPECT_THAT(names_in(temp_ / "out1"), ElementsAre("a.c", "b.c"));
  put(src_, "notes.txt", "n2");
  EXPECT_THAT(build(copy).in_state("executed"), IsEmpty());
  put(src_, "c.c", "c1");
  EXPECT_THAT(build(copy).in_state("executed"), ElementsAre("copy", "source"));
  EXPECT_THAT(names_in(temp_ / "out3"), ElementsAre("a.c", "b.c", "c.c"));
}

TEST_F(Incremental, OneStepMakesSeveralTrees) {
  const auto both = image().run({"sh", "-c", "cat /proc/sys/kernel/random/uuid | tee /one/id > /two/id; echo here > /mark"},
                                {.mounts = {{.dest = "/one"}, {.dest = "/two"}}, .name = "both"});
  const auto joined = both.root().run({"sh", "-c", "cmp /x/id /y/id && cat /mark /x/id > /out/all"},
                                      {.mounts = {{.dest = "/x", .source = both.mount_output("/one"), .read_only = true},
                                                  {.dest = "/y", .source = both.mount_output("/two"), .read_only = true},
                                                  {.dest = "/out"}},
                                       .name = "join"})
                          .mount_output("/out");
  EXPECT_EQ(build(joined).executed, 3u);
  const std::string first = built("all");
  EXPECT_THAT(first, HasSubstr("here\n"));
  EXPECT_EQ(build(both.mount_output("/two")).executed, 0u);
  EXPECT_THAT(first, HasSubstr(built("id")));
  EXPECT_EQ(build(joined).executed, 0u);
}

TEST_F(Incremental, ReadOnlyMountsRefuseWrites) {
  const auto tried = output("try", "if echo x > /in/new; then exit 9; fi; if rm /in/a.c; then exit 9; fi; cat /in/a.c > /out/seen",
                            {{.dest = "/in", .source = source(), .read_only = true}});
  build(tried);
  EXPECT_EQ(built("seen"), "a1");
}

TEST_F(Incremental, WritesToAnInputStayInTheStep) {
  const auto scribbled = output("scribble", "echo changed > /in/a.c; echo new > /in/new; cat /in/a.c > /out/seen", {{.dest = "/in", .source = source()}});
  const auto clean = output("look", "ls /in > /out/names; cat /in/a.c >> /out/names; cat /s/seen >> /out/names",
                            {{.dest = "/in", .source = source(), .read_only = true}, {.dest = "/s", .source = scribbled, .read_only = true}});
  build(clean);
  EXPECT_EQ(built("names"), "a.c\nb.c\nnotes.txt\na1changed\n");
  EXPECT_EQ(read(src_ / "a.c"), "a1");
}

TEST_F(Incremental, MountsNestInAnyOrder) {
  const auto upper = output("upper", "mkdir -p /out/sub/deep; echo outer > /out/file; echo hidden > /out/sub/x");
  const auto lower = output("lower", "echo inner > /out/file");
  const auto looked = output("look", "cat /m/file /m/sub/file > /out/seen; ls /m/sub >> /out/seen",
                             {{.dest = "/m/sub", .source = lower, .read_only = true}, {.dest = "/m", .source = upper}});
  build(looked);
  EXPECT_EQ(built("seen"), "outer\ninner\nfile\n");
}

TEST_F(Incremental, StepThatIgnoresTheCacheRunsEachTimeAndFeedsIt) {
  const auto uuid = [&](bool ignored) {
    return image().run({"sh", "-c", "cat /proc/sys/kernel/random/uuid > /out/id"},
                       {.mounts = {{.dest = "/out"}}, .notes = {.ignore_cache = ignored}, .name = "uuid"}).mount_output("/out");
  };
  build(uuid(true));
  const std::string first = built("id");
  EXPECT_THAT(build(uuid(true)).in_state("executed"), ElementsAre("uuid"));
  const std::string second = built("id");
  EXPECT_NE(first, second);
  EXPECT_EQ(build(uuid(false)).executed, 0u);
  EXPECT_THAT(built("id"), ::testing::AnyOf(first, second));
}

TEST_F(Incremental, EmptyResultsAreResults) {
  EXPECT_EQ(build(output("nothing", "true")).executed, 2u);
  EXPECT_THAT(names_in(temp_ / "out1"), IsEmpty());
  EXPECT_EQ(::access((temp_ / "out1").c_str(), F_OK), 0);
  EXPECT_EQ(build(output("nothing", "true")).executed, 0u);
  const auto reader = output("count", "ls -A /in | wc -l > /out/n", {{.dest = "/in", .source = output("nothing", "true"), .read_only = true}});
  EXPECT_THAT(build(reader).in_state("executed"), ElementsAre("count"));
  EXPECT_EQ(built("n"), "0\n");
  // A scratch mount output that is read only passes the empty tree on.
  const auto passed = image().run({"true"}, {.mounts = {{.dest = "/e", .source = llb::scratch()}}, .name = "pass"}).mount_output("/e");
  build(passed);
}

TEST_F(Incremental, OthersKeepTheirResultsWhenOneFails) {
  const auto gate = llb::local("src", {.include_patterns = {"gate"}, .name = "gate"});
  const auto graph = [&] {
    const auto good = output("good", "cat /proc/sys/kernel/random/uuid > /out/id");
    const auto bad = output("picky", "test -e /gate/gate && cp /good/id /out/id",
                            {{.dest = "/gate", .source = gate, .read_only = true}, {.dest = "/good", .source = good, .read_only = true}});
    return output("last", "cp /in/id /out/id", {{.dest = "/in", .source = bad, .read_only = true}});
  };
  const Solved failed = solve(graph(), {"--local", "src=" + src_.str()});
  EXPECT_EQ(failed.code, 1);
  EXPECT_THAT(failed.in_state("executed"), ElementsAre("gate", "good", "image"));
  EXPECT_THAT(failed.in_state("failed"), ElementsAre("picky"));
  const Solved again = solve(graph(), {"--local", "src=" + src_.str()});
  EXPECT_THAT(again.in_state("executed"), IsEmpty());
  EXPECT_THAT(again.in_state("failed"), ElementsAre("picky"));
  put(src_, "gate", "open");
  EXPECT_THAT(build(graph()).in_state("executed"), ElementsAre("gate", "last", "picky"));
}

TEST_F(Incremental, StackedStepsSeeWhatWasBefore) {
  llb::State state = image();
  for (int i = 0; i < 5; ++i) {
    state = state.run({"sh", "-c", fmt::format("echo {} >> /log; rm -rf /dir{}; mkdir /dir{}", i, i - 1, i)}, {.name = fmt::format("s{}", i)}).root();
  }
  build(state);
  EXPECT_EQ(built("log"), "0\n1\n2\n3\n4\n");
  EXPECT_EQ(::access((temp_ / "out1/dir4").c_str(), F_OK), 0);
  EXPECT_NE(::access((temp_ / "out1/dir3").c_str(), F_OK), 0);
}

// The engine in this process, so that what it costs can be counted.
class Counted : public World {
 protected:
  void open() {
    engine_.reset();
    auto opened = Engine::open(engine::EngineOptions(root_));
    ASSERT_TRUE(opened) << opened.error().message;
    engine_ = std::move(*opened);
  }
  engine::SolveReport run(const llb::State& state) {
    solver::NoProgress silent;
    before_ = engine_->counts();
    auto report = engine::run_order(*engine_, order(state), silent, {});
    EXPECT_FALSE(report.error) << report.error->message;
    after_ = engine_->counts();
    return report;
  }
  // After all that earlier solves left to the background, and with the background at rest: what it reads, whenever it
  // gets its turn, is not this solve's. It works again from the next open() on.
  engine::SolveReport run_alone(const llb::State& state) {
    engine_->snapshots().settle();
    engine_->cache().settle_collector();
    engine_->cache().stop_collector();
    engine_->cache().stop_scrubber();
    engine_->cache().stop_ledger();
    engine_->snapshots().stop();
    return run(state);
  }
  void expect_free() {
    EXPECT_EQ(after_.processes, before_.processes);
    EXPECT_EQ(after_.ops_executed, before_.ops_executed);
    EXPECT_EQ(after_.tree_bytes_read, before_.tree_bytes_read);
    EXPECT_EQ(after_.trees_mounted, before_.trees_mounted);
    EXPECT_EQ(after_.syncs, before_.syncs);
    EXPECT_EQ(after_.commits, before_.commits);
    EXPECT_LE(after_.read_transactions - before_.read_transactions, 4u);
  }
  void TearDown() override {
    engine_.reset();
    World::TearDown();
  }

  std::unique_ptr<Engine> engine_;
  EngineCounts before_, after_;
};

TEST_F(Counted, StepsOfOneSolveRunOnceEach) {
  open();
  const auto shared = output("shared", "cat /proc/sys/kernel/random/uuid > /out/id");
  std::vector<llb::Mount> mounts;
  for (int i = 0; i < 8; ++i) {
    mounts.push_back({.dest = fmt::format("/in{}", i),
                      .source = output(fmt::format("user{}", i), "cp /s/id /out/id; echo $0", {{.dest = "/s", .source = shared, .read_only = true}}),
                      .read_only = true});
  }
  // The users' commands are equal, so seven of the eight are one and the same vertex.
  const auto report = run(output("all", "cat /in*/id | sort -u | wc -l > /out/n", mounts));
  EXPECT_EQ(report.steps.size(), report.count(StepState::executed));
  EXPECT_EQ(after_.processes, report.steps.size() - 1) << "all but the image";
  run_alone(output("all", "cat /in*/id | sort -u | wc -l > /out/n", mounts));
  expect_free();
}

// Crosses the limit of layers twice: the chain is flattened on the way, and squashed to 32 layers when nobody uses it.
TEST_F(Counted, ThousandStackedStepsAreFreeWhenNothingHasChanged) {
  open();
  llb::State state = image();
  for (int i = 0; i < 1000; ++i) state = state.run({"true", std::to_string(i)}).root();
  const auto cold = run(state);
  EXPECT_EQ(cold.count(StepState::executed), 1001u);
  EXPECT_EQ(after_.processes - before_.processes, 1000u);
  EXPECT_LT(after_.groups - before_.groups, 1000u) << "a group for every step";

  EXPECT_EQ(run_alone(state).count(StepState::cached), 1001u);
  expect_free();
  open();  // as another process would
  EXPECT_EQ(run_alone(state).count(StepState::cached), 1001u);
  expect_free();
  EXPECT_EQ(engine_->counts().syncs, 0u) << "opening, looking for deep chains, and solving";
  std::uint64_t flat = 0;
  const auto walked = engine_->snapshots().walk({}, [&](const snapshot::SnapshotInfo& about) -> base::Result<base::lmdb::Scan> {
    flat += about.flattened ? 1 : 0;
    return base::lmdb::Scan::next;
  });
  EXPECT_TRUE(walked.has_value());
  EXPECT_GE(flat, 31u) << "one for every 32 layers";
  EXPECT_LE(flat, 40u);
}

}  // namespace
}  // namespace cairn::test

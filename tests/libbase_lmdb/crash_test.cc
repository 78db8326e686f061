// SPDX-License-Identifier: Apache-2.0
// Dies at each crash point of the writer and looks at what is left: a row never names data that is not there (I1), and
// the suite does see the bug that it exists for.
#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "libbase/fs/fd.h"
#include "libbase/lmdb/group_writer.h"
#include "tests/libbase_lmdb/child.h"
#include "tests/libbase_lmdb/crash_program.h"
#include "tests/libbase_lmdb/rows.h"

namespace cairn::test {

int crash_program(const std::string& dir, const std::string& order) {
  const base::HostPath root = base::HostPath::parse(dir).value();
  auto env = open_env(root / "meta").value();
  lmdb::GroupWriter::Options options;
  if (order == "names_first") options.order = lmdb::GroupWriter::Options::Order::names_first;
  // The data of a token is an empty file, "durable" once it has its name.
  const auto sync = [&](std::span<const lmdb::DataToken> tokens) -> base::Status {
    for (const lmdb::DataToken token : tokens)
      TRY(base::open_host(root / ("data-" + std::to_string(token)), O_WRONLY | O_CREAT, 0600));
    return {};
  };
  lmdb::GroupWriter writer(*env, sync, options);
  for (const lmdb::DataToken token : {1u, 2u}) {
    lmdb::GroupWriter::Entry entry;
    entry.change = [token](lmdb::WriteTxn& txn) { return txn.put(words, std::to_string(token), "named"); };
    entry.data = {token};
    if (!writer.wait_durable(writer.enqueue(std::move(entry)).value())) return 1;
  }
  return 0;
}

namespace {

using ::testing::ElementsAre;

// Runs the program with one variable set; returns its wait status.
int run_program(const base::HostPath& dir, const char* order, const std::string& variable) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::unsetenv("CAIRN_CRASH_AT");
    ::unsetenv("CAIRN_CRASH_TRACE");
    ::putenv(const_cast<char*>(variable.c_str()));
    ::execl("/proc/self/exe", "crash-program", "crash-program", dir.c_str(), order, nullptr);
    ::_exit(99);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return status;
}

struct Left {
  bool named = false;
  bool there = false;
};
Left what_is_left(const base::HostPath& dir, int token) {
  auto env = open_env(dir / "meta").value();
  return {word(*env, std::to_string(token)) == "named",
          ::access((dir / ("data-" + std::to_string(token))).c_str(), F_OK) == 0};
}

TEST(LmdbCrash, PointsArePassedInOrder) {
  TempDir dir;
  const base::HostPath trace = dir / "trace";
  ASSERT_EQ(run_program(dir.path(), "data_first", "CAIRN_CRASH_TRACE=" + trace.str()), 0);
  std::vector<std::string> lines;
  std::ifstream stream(trace.str());
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  EXPECT_THAT(lines, ElementsAre("writer.group.before_data_sync 1", "writer.group.after_data_sync 1",
                                 "lmdb.update.before_commit 1", "lmdb.update.after_commit 1",
                                 "writer.group.after_commit 1",  //
                                 "writer.group.before_data_sync 2", "writer.group.after_data_sync 2",
                                 "lmdb.update.before_commit 2", "lmdb.update.after_commit 2",
                                 "writer.group.after_commit 2"));
}

struct Death {
  const char* point;
  bool named;
  bool there;
};

TEST(LmdbCrash, DeathAtEachPointLeavesNoNameWithoutData) {
  const Death deaths[] = {{"writer.group.before_data_sync", false, false},
                          {"writer.group.after_data_sync", false, true},
                          {"lmdb.update.before_commit", false, true},
                          {"lmdb.update.after_commit", true, true},
                          {"writer.group.after_commit", true, true}};
  for (const Death& death : deaths) {
    SCOPED_TRACE(death.point);
    TempDir dir;
    const int status = run_program(dir.path(), "data_first", std::string("CAIRN_CRASH_AT=") + death.point + "#2");
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
    EXPECT_TRUE(what_is_left(dir.path(), 1).named);  // the first group had been reported durable
    const Left left = what_is_left(dir.path(), 2);
    EXPECT_EQ(left.named, death.named);
    EXPECT_EQ(left.there, death.there);
    // The next owner goes on from there.
    EXPECT_EQ(run_program(dir.path(), "data_first", "CAIRN_TEST=1"), 0);
    EXPECT_TRUE(what_is_left(dir.path(), 2).named);
  }
}

TEST(LmdbCrash, NamesFirstIsCaught) {
  TempDir dir;
  const int status = run_program(dir.path(), "names_first", "CAIRN_CRASH_AT=writer.group.before_data_sync#2");
  ASSERT_TRUE(WIFSIGNALED(status));
  const Left left = what_is_left(dir.path(), 2);
  EXPECT_TRUE(left.named);
  EXPECT_FALSE(left.there);
}

}  // namespace
}  // namespace cairn::test

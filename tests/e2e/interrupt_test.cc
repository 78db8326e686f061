// SPDX-License-Identifier: Apache-2.0
// Every command while Ctrl-C comes at any moment, while another process has the store and says nothing, with names of things that are not
// there or are several, and with its progress on a terminal.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "libbase/fs/fd.h"
#include "tests/e2e/every_command.h"
#include "tools/engine/engine.h"

namespace cairn::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

class EveryCommandWhile : public EveryCommand {
 protected:
  void make_pristine() {
    put(temp_ / "dir", "file", "of the context\n");
    make_store();
    ASSERT_EQ(run_program(temp_.path(), {"cp", "-a", root_.str(), pristine()}).code, 0);
  }
  void restore() {
    fs::remove_all(root_.str());
    ASSERT_EQ(run_program(temp_.path(), {"cp", "-a", pristine(), root_.str()}).code, 0);
    fs::remove_all((temp_ / "dir/out").str());
  }
  std::string pristine() const { return (temp_ / "pristine").str(); }
  Words command(const Call& call, Words before = {}) const {
    Words words = {CAIRN_BIN_DIR "/cachectl", "--root", root_.str()};
    words.insert(words.end(), before.begin(), before.end());
    const Words rest = words_of(call);
    words.insert(words.end(), rest.begin(), rest.end());
    return words;
  }
  Ended run_with(const Call& call, Words before = {}) { return run_program(temp_.path(), command(call, std::move(before))); }
  void expect_no_trace_of_a_crash(const Ended& ended) const {
    for (const char* word : {"terminate called", "what()", "CHECK", "Assertion", "#0 "}) EXPECT_THAT(ended.err, Not(HasSubstr(word)));
    EXPECT_THAT(read_text("/proc/self/mountinfo"), Not(HasSubstr(temp_.path().str())));
  }
};

TEST_F(EveryCommandWhile, ItIsInterruptedEndsAsItSaysAndLeavesTheStoreClean) {
  make_pristine();
  constexpr std::chrono::milliseconds moments[] = {std::chrono::milliseconds(0), std::chrono::milliseconds(4), std::chrono::milliseconds(12),
                                                   std::chrono::milliseconds(30), std::chrono::milliseconds(70)};
  for (const auto& [name, call] : calls()) {
    restore();
    const int code = run_with(call).code;
    for (const auto moment : moments) {
      SCOPED_TRACE(fmt::format("{} after {} ms", name, moment.count()));
      if (call.needs == Needs::store) restore();
      Program program(temp_.path(), command(call));
      std::this_thread::sleep_for(moment);
      program.signal(SIGINT);
      const Ended ended = program.wait();
      EXPECT_THAT(ended.code, ::testing::AnyOf(code, 130)) << ended.err;
      expect_no_trace_of_a_crash(ended);
      if (call.needs == Needs::nothing) continue;
      const Ended checked = cachectl({"--root", root_.str(), "fsck"});
      EXPECT_EQ(checked.code, 0) << checked.out << checked.err;
    }
  }
}

// What asks whoever owns the store, or wants to own it. All others look beside him.
const std::set<std::string> askers = {"build", "solve", "gocacheprog", "record export", "record cat", "record mount", "record diff", "unpin", "entry promote", "prune", "gc run",
                                      "report", "repair", "scrub", "migrate", "store migrate"};

TEST_F(EveryCommandWhile, TheOwnerSaysNothingGivesUpOrLooksBesideHim) {
  make_pristine();
  std::map<std::string, int> codes;
  for (const auto& [name, call] : calls()) {
    if (call.needs == Needs::nothing) continue;
    restore();
    codes[name] = run_with(call).code;
  }
  restore();
  // It takes the lock and nothing else.
  const base::Fd lock(::open((root_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
  const std::string pid = std::to_string(::getpid());
  ASSERT_EQ(::ftruncate(lock.get(), 0), 0);
  ASSERT_TRUE(base::write_full(lock.get(), pid + "\n"));
  for (const auto& [name, call] : calls()) {
    if (call.needs == Needs::nothing) continue;
    for (const Words& how : {Words{"--no-daemon"}, Words{"--owner-timeout", "0"}}) {
      SCOPED_TRACE(name + " " + how[0]);
      const Ended ended = run_with(call, how);
      expect_no_trace_of_a_crash(ended);
      if (!askers.contains(name)) {
        EXPECT_EQ(ended.code, codes.at(name)) << ended.err;
        continue;
      }
      expect_one_error(name, ended, {5});
      EXPECT_THAT(ended.err, AllOf(HasSubstr("process " + pid), HasSubstr("hint: ")));
    }
  }
}

TEST_F(EveryCommandWhile, TheOwnerIsStoppedWaitsAsLongAsItMayAndEndsAtCtrlC) {
  make_pristine();
  const auto owner = start_solve(output("slow", "sleep 600"));
  ASSERT_TRUE(eventually([&] { return ::access((root_ / "engine.sock").c_str(), F_OK) == 0; }));
  owner->signal(SIGSTOP);
  const Ended gave_up = run_with(calls().at("prune"), {"--owner-timeout", "1"});
  EXPECT_EQ(gave_up.code, 5);
  EXPECT_THAT(gave_up.err, AllOf(HasSubstr(fmt::format("process {}, which owns it, does not answer", owner->pid())), HasSubstr("hint: if it is stopped, kill -CONT")));
  for (const std::string& name : askers) {
    if (name == "migrate" || name == "store migrate" || name == "repair") continue;  // they want the store for themselves: refused at once
    SCOPED_TRACE(name);
    Program program(temp_.path(), command(calls().at(name)));
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    program.signal(SIGINT);
    const Ended ended = program.wait();
    EXPECT_EQ(ended.code, 130) << ended.err;
    expect_no_trace_of_a_crash(ended);
  }
  owner->signal(SIGCONT);
  owner->signal(SIGINT);
  EXPECT_EQ(owner->wait().code, 130);
  EXPECT_EQ(cachectl({"--root", root_.str(), "fsck"}).code, 0);
}

TEST_F(EveryCommandWhile, WhatItNamesIsNotThereSaysSoWithAHint) {
  make_pristine();
  const std::string none = "999999", no_digest = std::string(64, 'f'), dir = (temp_ / "dir").str();
  const std::vector<Words> unknown = {{"record", "show", none}, {"record", "export", none, dir + "/out"}, {"record", "cat", none, "file"},
                                      {"record", "mount", none, dir, "--", "true"}, {"record", "diff", none, "1"}, {"digest", none},
                                      {"gc", "explain", none}, {"pin", none}, {"unpin", none}, {"who", no_digest}, {"blob", "show", no_digest},
                                      {"blob", "cat", no_digest}, {"snapshot", "show", none}, {"mount-cache", "du", "none"},
                                      {"mount-cache", "cat", "none", "file"}, {"mount-cache", "rm", "none"}, {"mount-cache", "limit", "none", "1GB"},
                                      {"history", "show", "ffffffffffffffff"}, {"history", "diff", "last", "ffffffffffffffff"},
                                      {"history", "ledger", "ffffffffffff"}, {"explain", "no such step"}, {"explain", "--record", none},
                                      {"explain", "--solve", "ffffffffffffffff"}, {"graph", "ffffffffffffffff", "--output", dir + "/g.dot"}};
  for (const Words& words : unknown) {
    SCOPED_TRACE(::testing::PrintToString(words));
    const Ended ended = run_with({words});
    expect_one_error(words[0], ended, {3});
    EXPECT_THAT(ended.err, HasSubstr("\nhint: "));
  }
}

TEST_F(EveryCommandWhile, WhatItNamesIsSeveralThingsSaysWhich) {
  make_pristine();
  make_store();  // a second solve: all ids begin alike
  llb::RunOptions options{.mounts = {{.dest = "/cache", .source = llb::local("context", {.name = "context"}), .cache_id = "shared"}}};
  options.name = "on a directory";
  ASSERT_EQ(solve(image().run({"sh", "-c", "echo > /cache/a"}, options).root(), {"--local", "context=" + (temp_ / "dir").str()}).code, 0);
  llb::RunOptions plain{.mounts = {{.dest = "/cache", .cache_id = "shared"}}};
  plain.name = "on nothing";
  ASSERT_EQ(solve(image().run({"sh", "-c", "echo > /cache/b"}, plain).root()).code, 0);
  const std::vector<Words> several = {{"history", "show", "1"}, {"history", "diff", "last", "1"}, {"graph", "1", "--output", (temp_ / "g.dot").str()},
                                      {"explain", "--solve", "1"}, {"mount-cache", "du", "shared"}, {"mount-cache", "cat", "shared", "a"},
                                      {"mount-cache", "rm", "shared"}, {"mount-cache", "limit", "shared", "1GB"}};
  for (const Words& words : several) {
    SCOPED_TRACE(::testing::PrintToString(words));
    const Ended ended = run_with({words});
    expect_one_error(words[0], ended, {2});
    EXPECT_THAT(ended.err, AllOf(HasSubstr("ambiguous: "), HasSubstr("\nhint: ")));
  }
}

TEST_F(EveryCommandWhile, ASizeAnAgeOrANumberCannotBeReadSaysWhich) {
  make_pristine();
  const std::vector<Words> strange = {{"prune", "--max-used", "ten"}, {"prune", "--min-free", "ten"}, {"prune", "--keep-storage", "ten"}, {"prune", "--until", "ten"},
                                      {"mount-cache", "limit", "id", "ten"}, {"trace", "record", "on", "--max", "ten"}, {"trace", "replay", "--size", "50%,ten"}, {"trace", "replay", "--disk", "ten"}, {"scrub", "--rate", "ten"},
                                      {"history", "list", "--limit", "ten"}, {"top", "--limit", "ten"}, {"pin", "1", "--expires", "ten"},
                                      {"record", "show", "ten"}, {"snapshot", "show", "ten"}, {"unpin", "ten"}, {"du", "--by", "ten"},
                                      {"--owner-timeout", "ten", "du"}, {"completion", "ten"}};
  for (const Words& words : strange) {
    SCOPED_TRACE(::testing::PrintToString(words));
    const Ended ended = run_with({words});
    expect_one_error(words[0], ended, {2});
    EXPECT_THAT(ended.err, HasSubstr("ten"));
  }
}

// What is drawn between one return to the begin of the line and the next.
std::vector<std::string> drawn_lines(const std::string& out) {
  std::vector<std::string> lines;
  const std::string begin = "\r\x1b[2K";
  for (std::size_t at = out.find(begin); at != std::string::npos;) {
    const std::size_t next = out.find(begin, at + 1);
    const std::string line = out.substr(at + begin.size(), next == std::string::npos ? std::string::npos : next - at - begin.size());
    // Behind the last of one progress the line is away, and there may be talk.
    if (!line.empty() && line.find('\n') == std::string::npos) lines.push_back(line);
    at = next;
  }
  return lines;
}

TEST_F(EveryCommandWhile, ItTakesLongShowsItsProgressOnATerminalOnly) {
  make_pristine();
  ASSERT_EQ(run_with({{"trace", "record", "on"}}).code, 0);
  make_store();
  // In this order: the last ones take away what the others look at.
  const std::vector<std::pair<Words, std::string>> long_ones = {
      {{"fsck"}, "comparing rows with files"}, {{"scrub", "--from-beginning"}, "reading blobs and trees back"}, {{"repair", "--dry-run"}, "reading blobs and trees back"},
      {{"repair"}, "reading blobs and trees back"}, {{"fsck", "--rebuild"}, "making the metadata anew"}, {{"migrate"}, "migrating"},
      {{"record", "export", "1", "{DIR}/out"}, "copying the tree"}, {{"report", "--output", "{DIR}/report.html"}, "looking at the store"},
      {{"trace", "replay"}, "replaying"}, {{"digest", "{DIR}"}, "hashing"}, {{"record", "diff", "1", "1"}, "comparing"}, {{"prune", "--all", "--dry-run"}, "selecting"},
      {{"prune", "--all"}, "freeing space"}, {{"gc", "run"}, "freeing space"}};
  for (const auto& [words, doing] : long_ones) {
    SCOPED_TRACE(::testing::PrintToString(words));
    std::string line;
    for (const std::string& word : command({words})) line += " '" + word + "'";
    for (const std::size_t columns : {std::size_t{20}, std::size_t{80}}) {
      // From the first moment on, so that nothing has to take a second.
      const Ended shown = run_program(temp_.path(), {"script", "-qec", fmt::format("stty cols {}; CAIRN_PROGRESS_AFTER_MS=0{}", columns, line), "/dev/null"});
      EXPECT_EQ(shown.code, 0) << shown.out;
      const auto lines = drawn_lines(shown.out);
      EXPECT_FALSE(lines.empty()) << shown.out;
      bool said = false;
      for (const std::string& each : lines) {
        EXPECT_LT(each.size(), columns) << each;
        said = said || each.starts_with(" " + doing.substr(0, 6));
      }
      EXPECT_TRUE(said) << shown.out;
    }
    const Ended piped = run_program(temp_.path(), {"bash", "-c", "CAIRN_PROGRESS_AFTER_MS=0" + line});
    EXPECT_THAT(piped.out + piped.err, Not(HasSubstr("\x1b")));
  }
}

}  // namespace
}  // namespace cairn::test

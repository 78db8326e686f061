// SPDX-License-Identifier: Apache-2.0
// What cached is told by a file: that it is read, that the command line counts more, and that each fault is said.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "tests/e2e/program.h"
#include "tests/e2e_cached/cached_program.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::test {
namespace {

const std::string hash = "sha256:" + std::string(64, 'a');

struct ConfigFile {
  explicit ConfigFile(const std::string& text) : path(dir / "cached.toml") { write_text(path, text); }
  Ended cached(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {CAIRN_BIN_DIR "/cached", "--config", path.str()});
    return run_program(dir.path(), std::move(arguments));
  }
  Ended check() const { return cached({"--check-config"}); }

  TempDir dir;
  const base::HostPath path;
};

TEST(CachedConfig, EveryFieldIsKnown) {
  const ConfigFile file(R"(root = "/var/lib/cairn"
http = "127.0.0.1:0"
grpc = "127.0.0.1:0"
resp = "/run/cairn/resp.sock"
allow_remote = false
fetch = true
[limits]
max_bytes = "50GB"
soft_bytes = "40GB"
lease_seconds = 60
connections = 100
drain_seconds = 5
[access]
anonymous = { read = true, write = ["scratch", "scratch/*"] }
[[access.token]]
name = "ci"
kind = "bearer"
hash = ")" + hash + R"("
instances = ["*"]
rights = "write"
[[access.token]]
name = "ada"
kind = "basic"
hash = "scrypt:14:00ff:)" +
                        std::string(64, 'b') + R"("
instances = "team/*"
rights = "read"
[[access.peer]]
name = "builders"
uids = [1000, 1001]
rights = "write"
)");
  const Ended ended = file.check();
  EXPECT_EQ(ended.out, "ok\n");
  EXPECT_EQ(ended.err, "");
  EXPECT_EQ(ended.code, 0);
}

TEST(CachedConfig, EachFaultIsSaidWithFileAndLine) {
  const ConfigFile file(R"(root = 5
colour = "red"
[limits]
max_bytes = "many"
connections = 0
soft_bytes = 1
[access]
anonymous = { read = "a//b" }
[[access.token]]
name = "ci"
kind = "bearer"
hash = ")" + hash + R"("
rights = "write"
[[access.token]]
name = "ci"
[[access.token]]
name = "two"
kind = "basic"
hash = ")" + hash + R"("
rights = "write"
[[access.peer]]
name = "builders"
uids = -1
rights = "all"
)");
  const Ended ended = file.check();
  EXPECT_EQ(ended.code, 2);
  EXPECT_EQ(ended.out, "");
  const std::string at = "cached: " + file.path.str() + ", line ";
  EXPECT_EQ(ended.err,
            at + "1: root: want a text in quotes\n" +                               //
                at + "4: limits, max_bytes: want a size as \"50GB\"\n" +            //
                at + "6: limits, soft_bytes: it is more than max_bytes\n" +        //
                at + "5: limits, connections: want a number from 1 to 1000000\n" +  //
                at +
                "8: access.anonymous, read: \"a//b\" is no pattern of instances: no instance has such a segment\n" +
                at + "15: access, token 2, name: there is a \"ci\" already\n" +  //
                at +
                "19: access, token 3, hash: a bearer token has sha256:HEX, the password of a basic one "
                "scrypt:COST:SALT:HEX\n" +
                at + "24: access, peer 1, rights: want \"read\" or \"write\"\n" +  //
                at + "2: colour: no such field\n");
}

TEST(CachedConfig, WhatIsNoTomlOrNotThereIsOneFault) {
  const Ended twice = ConfigFile("http = \"a\"\nhttp = \"b\"\n").check();
  EXPECT_EQ(twice.code, 2);
  EXPECT_NE(twice.err.find("cached.toml, line 2: "), std::string::npos) << twice.err;
  const ConfigFile file("");
  EXPECT_EQ(file.cached({"--check-config"}).code, 0) << "an empty file says nothing";
  EXPECT_EQ(run_program(file.dir.path(), {CAIRN_BIN_DIR "/cached", "--config", "nowhere.toml", "--check-config"}).code,
            2);
  EXPECT_EQ(run_program(file.dir.path(), {CAIRN_BIN_DIR "/cached", "--check-config"}).code, 2);
}

TEST(CachedConfig, TheCommandLineCountsMoreThanTheFile) {
  const TempDir dir;
  write_text(dir / "cached.toml",
             "root = \"" + (dir / "of-the-file").str() + "\"\nhttp = \"nonsense\"\ngrpc = \"127.0.0.1:0\"\n");
  CachedProgram cached({"--config", (dir / "cached.toml").str()});  // it says --root and --http
  EXPECT_NE(cached.grpc_address(), "") << "which only the file has said";
  EXPECT_EQ(cached.stop(SIGTERM).code, 0);
  EXPECT_NE(::access((dir / "of-the-file").c_str(), F_OK), 0);
}

// What is printed for the file can be read by it, and the token is nowhere in it.
TEST(CachedConfig, ANewTokenIsSaidOnceAndItsHashIsForTheFile) {
  const TempDir dir;
  const Ended bearer = run_program(dir.path(), {CAIRN_BIN_DIR "/cached", "--new-token", "ci"});
  EXPECT_EQ(bearer.code, 0);
  const std::size_t at = bearer.err.find("cairn_");
  ASSERT_NE(at, std::string::npos) << bearer.err;
  const std::string token = bearer.err.substr(at, bearer.err.find('\n', at) - at);
  EXPECT_EQ(token.size(), 6u + 43u);
  EXPECT_EQ(bearer.out.find(token), std::string::npos);
  const Ended basic =
      run_program(dir.path(), {CAIRN_BIN_DIR "/cached", "--new-token", "ada", "--basic"}, "a password\n");
  EXPECT_EQ(basic.code, 0) << basic.err;
  EXPECT_EQ(basic.err, "");
  EXPECT_EQ(basic.out.find("a password"), std::string::npos);
  EXPECT_EQ(ConfigFile(bearer.out + basic.out).check().out, "ok\n");
  EXPECT_NE(run_program(dir.path(), {CAIRN_BIN_DIR "/cached", "--new-token", "ci"}).err, bearer.err)
      << "each is another one";
  EXPECT_EQ(run_program(dir.path(), {CAIRN_BIN_DIR "/cached", "--new-token", "a:b"}).code, 2);
  EXPECT_EQ(run_program(dir.path(), {CAIRN_BIN_DIR "/cached", "--new-token", "ada", "--basic"}).code, 2)
      << "no password";
}

}  // namespace
}  // namespace cairn::test

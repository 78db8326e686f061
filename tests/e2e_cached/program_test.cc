// SPDX-License-Identifier: Apache-2.0
// cached as a program: how it starts, ends, and lives beside cachectl.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libbase/fs/fd.h"
#include "libbase/hash/sha256.h"
#include "libsnapshot/digests.h"
#include "tests/e2e_cached/cached_program.h"
#include "tests/support/host_state.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::test {
namespace {

const std::string key = "/gradle/" + std::string(32, 'a');

TEST(CachedProgramTest, WhatItHasAnsweredSurvivesAKillAndAnEnd) {
  CachedProgram cached;
  const base::HostPath value = cached.work("value");
  write_text(value, "a value");
  EXPECT_EQ(cached.curl({"--upload-file", value.str(), cached.url(key)}).out, "200");
  EXPECT_EQ(cached.stop(SIGKILL).code, 128 + SIGKILL);
  cached.start();
  EXPECT_EQ(cached.curl({"--output", "-", cached.url(key)}).out, "a value200");
  const Ended ended = cached.stop(SIGTERM);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  cached.start();
  EXPECT_EQ(cached.curl({"--output", "-", cached.url(key)}).out, "a value200");
  EXPECT_EQ(cached.stop(SIGINT).code, 0);
  EXPECT_EQ(cached.cachectl({"fsck"}).code, 0);
}

TEST(CachedProgramTest, CachectlWorksBesideIt) {
  CachedProgram cached;
  EXPECT_EQ(cached.curl({"--data-binary", "a value", "--request", "PUT", cached.url(key)}).out, "200");
  EXPECT_EQ(cached.curl({cached.url(key)}).out, "200");
  const Ended du = cached.cachectl({"du", "--by", "project"});
  EXPECT_EQ(du.code, 0) << du.err;
  EXPECT_NE(du.out.find("gradle"), std::string::npos) << du.out;
  const Ended pruned = cached.cachectl({"prune", "--all"});
  EXPECT_EQ(pruned.code, 0) << pruned.err;
  EXPECT_EQ(cached.curl({cached.url(key)}).out, "404") << "the owner did it";
  EXPECT_EQ(cached.stop(SIGTERM).code, 0);
  const Ended stats = cached.cachectl({"stats", "--prometheus"});
  EXPECT_NE(stats.out.find("cairn_hits_total{project=\"gradle\"} 1\n"), std::string::npos) << stats.out;
  EXPECT_NE(stats.out.find("cairn_misses_total{project=\"gradle\",cause=\"evicted\"} 1\n"), std::string::npos)
      << stats.out;
}

TEST(CachedProgramTest, ErrorsAndExitCodesAreThoseOfCachectl) {
  CachedProgram cached;
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), CAIRN_BIN_DIR "/cached");
    return cached.run(std::move(arguments));
  };
  const Ended second = run({"--root", cached.root().str(), "--http", "127.0.0.1:0"});
  EXPECT_EQ(second.code, 5);
  EXPECT_NE(
      second.err.find("cached: store " + cached.root().str() + " is in use by process " + std::to_string(cached.pid())),
      std::string::npos)
      << second.err;
  EXPECT_NE(second.err.find("\nhint: "), std::string::npos) << second.err;
  const std::string other = cached.work("other").str();
  EXPECT_EQ(run({"--root", other, "--http", cached.address()}).code, 5) << "somebody listens there";
  EXPECT_EQ(run({"--root", other, "--http", "nonsense"}).code, 2);
  EXPECT_EQ(run({"--root", other, "--http", "0.0.0.0:0"}).code, 2) << "nobody is asked who he is";
  EXPECT_EQ(run({"--nonsense"}).code, 2);
  EXPECT_EQ(run({"--max-bytes", "many"}).code, 2);
  const Ended help = run({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_LT(help.out.find("Examples:"), help.out.find("Options:"));
  for (const char c : help.out) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f)) << static_cast<int>(c);
  EXPECT_EQ(run({"--version"}).out.substr(0, 7), "cached ");
}

TEST(CachedProgramTest, TellsSystemdWhenItIsReadyAndWhenItEnds) {
  const TempDir dir;
  const base::HostPath path = dir / "notify";
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.str().copy(name.sun_path, sizeof name.sun_path - 1);
  const base::Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  ASSERT_EQ(::setenv("NOTIFY_SOCKET", path.c_str(), 1), 0);
  const auto told = [&] {
    std::string text(64, '\0');
    const ssize_t count = ::recv(socket.get(), text.data(), text.size(), MSG_DONTWAIT);
    return count > 0 ? text.substr(0, static_cast<std::size_t>(count)) : std::string();
  };
  CachedProgram cached;
  ::unsetenv("NOTIFY_SOCKET");
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::string text(64, '\0');
  const ssize_t count = ::recv(socket.get(), text.data(), text.size(), 0);
  EXPECT_EQ(text.substr(0, static_cast<std::size_t>(std::max<ssize_t>(count, 0))), "READY=1");
  EXPECT_EQ(cached.stop(SIGTERM).code, 0);
  EXPECT_EQ(told(), "STOPPING=1");
}

// As systemd does it: the sockets are there before, and stay when it has ended.
TEST(CachedProgramTest, TakesOverSocketsThatWereMadeForIt) {
  const TempDir dir;
  const std::string path = (dir / "resp.sock").str(), root = (dir / "store").str();
  const std::string pass =
      "import os, socket, sys\n"
      "http = socket.socket(); http.bind((sys.argv[1], 0)); http.listen()\n"
      "resp = socket.socket(socket.AF_UNIX); resp.bind(sys.argv[2]); resp.listen()\n"
      "print('port', http.getsockname()[1], flush=True)\n"
      "os.dup2(os.dup(http.fileno()), 3); os.dup2(os.dup(resp.fileno()), 4)\n"
      "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='web:redis')\n"
      "os.execv(sys.argv[3], sys.argv[3:])\n";
  const auto words = [&](const std::string& host, std::vector<std::string> more) {
    std::vector<std::string> all = {"python3", "-c", pass, host, path, CAIRN_BIN_DIR "/cached", "--root", root};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  {
    Program cached(dir.path(), words("127.0.0.1", {"--http", "systemd:web", "--resp", "systemd:redis"}));
    ASSERT_TRUE(eventually([&] { return cached.out_so_far().find("cached: serves") != std::string::npos; })) << cached.err_so_far();
    const std::string out = cached.out_so_far();
    const std::string port = out.substr(5, out.find('\n') - 5);
    EXPECT_NE(out.find("http://127.0.0.1:" + port + " "), std::string::npos) << out;
    EXPECT_NE(out.find("redis+unix:" + path), std::string::npos) << out;
    EXPECT_EQ(run_program(dir.path(), {"curl", "--silent", "--noproxy", "*", "--output", "/dev/null", "--write-out", "%{http_code}",
                                       "http://127.0.0.1:" + port + "/health"})
                  .out,
              "200");
    EXPECT_EQ(run_program(dir.path(), {"redis-cli", "-s", path, "ping"}).out, "PONG\n");
    cached.signal(SIGTERM);
    EXPECT_EQ(cached.wait().code, 0);
  }
  EXPECT_EQ(::access(path.c_str(), F_OK), 0) << "it is not cached's to take away";
  const auto refused = [&](const std::string& host, const std::string& name) {
    ::unlink(path.c_str());
    return run_program(dir.path(), words(host, {"--http", "systemd:" + name}));
  };
  EXPECT_EQ(refused("127.0.0.1", "other").code, 2);
  EXPECT_EQ(refused("0.0.0.0", "web").code, 2) << "nobody is asked who he is";
  EXPECT_EQ(run_program(dir.path(), {CAIRN_BIN_DIR "/cached", "--root", root, "--http", "fd:77"}).code, 2);
}

TEST(CachedProgramTest, ASocketFileIsForItsUserAlone) {
  const TempDir dir;
  const std::string path = (dir / "http.sock").str();
  const base::HostPath root = dir / "store";
  Program cached(dir.path(), {CAIRN_BIN_DIR "/cached", "--root", root.str(), "--http", path});
  Ended got;
  for (int look = 0; look < 500 && got.out != "200"; ++look) {
    got = run_program(dir.path(), {"curl", "--silent", "--unix-socket", path, "--write-out", "%{http_code}", "--output",
                                   "/dev/null", "http://cached/health"});
    ::usleep(20'000);
  }
  EXPECT_EQ(got.out, "200") << cached.err_so_far();
  struct ::stat found {};
  ASSERT_EQ(::stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700u);
  cached.signal(SIGTERM);
  EXPECT_EQ(cached.wait().code, 0);
}

TEST(CurlClient, PutsAndGetsWhatIsLargeInPartsAndPacked) {
  CachedProgram cached;
  const base::HostPath file = cached.work("large");
  std::string bytes;
  for (int i = 0; bytes.size() < 5'000'000; ++i) bytes += std::to_string(i * 7);
  write_text(file, bytes);
  const std::string url = cached.url("/cas/" + base::digest_of<BlobDigest>(bytes).hex());
  EXPECT_EQ(cached.curl({"--upload-file", file.str(), "--header", "Expect: 100-continue", url}).out, "200");
  const base::HostPath got = cached.work("got");
  EXPECT_EQ(cached.curl({"--output", got.str(), url}).out, "200");
  EXPECT_EQ(base::read_file(got, 10'000'000).value(), bytes);
  EXPECT_EQ(cached.curl({"--output", got.str(), "--range", "1000000-1000999", url}).out, "206");
  EXPECT_EQ(base::read_file(got, 10'000'000).value(), bytes.substr(1'000'000, 1000));
  EXPECT_EQ(cached.curl({"--output", got.str(), "--header", "Accept-Encoding: zstd", url}).out, "200");
  const Ended unpacked = cached.run({"zstd", "--decompress", "--stdout", "--quiet", got.str()});
  EXPECT_EQ(unpacked.out, bytes);
  EXPECT_EQ(cached.curl({"--head", url}).out, "200");
  EXPECT_EQ(cached.curl({"--upload-file", file.str(), cached.url("/cas/" + std::string(64, '0'))}).out, "422");
  EXPECT_EQ(cached.curl({"--path-as-is", cached.url("/../../etc/passwd")}).out, "400");
  EXPECT_EQ(cached.stop(SIGTERM).code, 0);
  EXPECT_EQ(cached.cachectl({"fsck"}).code, 0);
}

TEST(RedisCli, TalksAndIsAnsweredDurably) {
  CachedProgram cached({"--resp", "127.0.0.1:0"});
  const auto redis = [&](std::vector<std::string> words, const std::string& input = "") {
    const std::string address = cached.resp_address();
    std::vector<std::string> argv = {"redis-cli", "-h", "127.0.0.1", "-p", address.substr(address.rfind(':') + 1)};
    argv.insert(argv.end(), words.begin(), words.end());
    const Ended ended = cached.run(std::move(argv), input);
    EXPECT_EQ(ended.code, 0) << ended.err;
    return ended.out;
  };
  std::string large;
  for (int i = 0; i < 200'000; ++i) large += std::to_string(i) + "\n";
  EXPECT_EQ(redis({"PING"}), "PONG\n");
  EXPECT_EQ(redis({"SET", "k", "value", "EX", "1000"}), "OK\n");
  EXPECT_EQ(redis({"-x", "SET", "large"}, large), "OK\n");
  EXPECT_TRUE(redis({"--raw", "GET", "large"}) == large + "\n");
  EXPECT_EQ(redis({"-n", "3", "EXISTS", "k"}), "0\n");
  EXPECT_EQ(redis({"SETNX", "k", "other"}), "0\n");
  EXPECT_NE(redis({"INFO"}).find("redis_mode:standalone"), std::string::npos);
  cached.stop(SIGKILL);
  cached.start();
  EXPECT_EQ(redis({"GET", "k"}), "value\n");
  EXPECT_EQ(redis({"DEL", "k", "large"}), "2\n");
  EXPECT_EQ(redis({"GET", "k"}), "\n");
  EXPECT_EQ(cached.stop(SIGTERM).code, 0);
  EXPECT_EQ(cached.cachectl({"fsck"}).code, 0);
}

}  // namespace
}  // namespace cairn::test

// SPDX-License-Identifier: Apache-2.0
// Two machines, in effect: what one cached has been given, another with an empty store serves, from a tier that both
// know.
#include <gmock/gmock.h>
#include <signal.h>
#include <stdlib.h>

#include <thread>

#include "libbase/fs/fd.h"
#include "libbase/hash/sha256.h"
#include "tests/e2e_cached/cached_program.h"
#include "tests/libremote/started_server.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::test {
namespace {

using testing::HasSubstr;

// The real redis-server on a socket of its own.
class Redis {
 public:
  Redis() {
    const std::string dir = dir_.path().str();
    server_ = std::make_unique<Program>(
        dir_.path(), std::vector<std::string>{"redis-server", "--unixsocket", dir + "/redis.sock", "--port", "0",
                                              "--dir", dir, "--save", "", "--appendonly", "no"});
    while (server_->out_so_far().find("eady to accept connections") == std::string::npos)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  // A file that makes it the tier of a cached.
  std::string config(const std::string& use) {
    const base::HostPath file = dir_ / (use + ".toml");
    write_text(file, "[[tier]]\nkind = \"redis\"\nuse = \"" + use + "\"\nunix_socket = \"" + dir_.path().str() +
                         "/redis.sock\"\n");
    return file.str();
  }
  void signal(int number) { server_->signal(number); }

 private:
  TempDir dir_;
  std::unique_ptr<Program> server_;
};

std::string ccache_statistics(const CachedProgram& cached, const std::string& dir) {
  return cached.run({"env", "CCACHE_DIR=" + dir, "ccache", "--print-stats"}).out;
}

void compile(CachedProgram& cached, const base::HostPath& source, const std::string& local, const std::string& object) {
  const Ended ended = cached.run({"env", "CCACHE_DIR=" + local, "CCACHE_REMOTE_STORAGE=" + cached.url("/ccache"),
                                  "ccache", "gcc", "-c", source.str(), "-o", cached.work(object).str()});
  ASSERT_EQ(ended.code, 0) << ended.err;
}

TEST(CachedTiers, WhatOneHasBeenGivenAnotherServes) {
  Redis redis;
  const TempDir sources;
  const base::HostPath source = sources.path() / "f.c";
  write_text(source, "int f(int x) { return x * 3; }\n");
  CachedProgram first({"--config", redis.config("both")});
  const std::string cold = first.work("cold").str();
  compile(first, source, cold, "f.o");
  EXPECT_THAT(ccache_statistics(first, cold), HasSubstr("cache_miss\t1\n"));
  const std::string object = base::read_file(first.work("f.o"), 1 << 20).value();
  EXPECT_EQ(first.stop(SIGTERM).code, 0) << "what is still to be sent is sent at the end";

  CachedProgram second({"--config", redis.config("read")});
  const std::string clean = second.work("clean").str();
  compile(second, source, clean, "f.o");
  const std::string statistics = ccache_statistics(second, clean);
  EXPECT_THAT(statistics, HasSubstr("cache_miss\t0\n"));
  EXPECT_THAT(statistics, HasSubstr("direct_cache_hit\t1\n"));
  EXPECT_THAT(statistics, HasSubstr("remote_storage_read_hit\t2\n"));
  EXPECT_THAT(statistics, HasSubstr("remote_storage_error\t0\n"));
  EXPECT_EQ(base::read_file(second.work("f.o"), 1 << 20).value(), object);
  EXPECT_THAT(second.metrics(), HasSubstr("cairn_tier_hits_total{tier=\"redis"));

  // Once here, it needs the tier no more.
  redis.signal(SIGKILL);
  const std::string again = second.work("again").str();
  compile(second, source, again, "f.o");
  EXPECT_THAT(ccache_statistics(second, again), HasSubstr("direct_cache_hit\t1\n"));
  // And one that is gone is a miss.
  write_text(source, "int f(int x) { return x * 4; }\n");
  compile(second, source, again, "f.o");
  EXPECT_THAT(ccache_statistics(second, again), HasSubstr("remote_storage_error\t0\n"));
  EXPECT_EQ(second.stop(SIGTERM).code, 0);
  EXPECT_EQ(second.cachectl({"fsck"}).code, 0);
}

// tests/support/s3_double.py, which counts what it is asked.
class S3 {
 public:
  S3() {
    ::setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
    ::setenv("AWS_SECRET_ACCESS_KEY", "secret/+key", 1);
    ::setenv("no_proxy", "*", 1);
    write_text(file_, "[[tier]]\nkind = \"s3\"\nbucket = \"cache\"\nendpoint = \"" + url("") + "\"\n");
  }
  std::string config() const { return file_.str(); }
  std::size_t count(const std::string& method) const {
    const Ended log = run_program(server_.dir(), {"curl", "--noproxy", "*", "--silent", url("/-/log")});
    const std::string mark = "\"method\": \"" + method + "\"";
    std::size_t n = 0;
    for (std::size_t at = log.out.find(mark); at != std::string::npos; at = log.out.find(mark, at + 1)) ++n;
    return n;
  }

 private:
  std::string url(const std::string& path) const { return "http://127.0.0.1:" + server_.said() + path; }
  StartedServer server_{{"python3", CAIRN_SOURCE_DIR "/tests/support/s3_double.py", "--access-key", "AKIDEXAMPLE",
                         "--secret", "secret/+key"},
                        "port "};
  TempDir dir_;
  base::HostPath file_ = dir_.path() / "s3.toml";
};

// An ActionResult with one output file, of fewer than 128 bytes.
std::string result_of(const std::string& bytes) {
  const auto field = [](char tag, const std::string& value) {
    return std::string{tag, static_cast<char>(value.size())} + value;
  };
  const std::string digest =
      field('\x0a', base::to_hex(base::sha256(bytes))) + std::string{'\x10', static_cast<char>(bytes.size())};
  return field('\x12', field('\x0a', "out") + field('\x12', digest));
}

TEST(CachedTiers, AThousandResultsCostABucketFewPutsAndAnotherMachineHasThemAll) {
  S3 s3;
  CachedProgram first({"--config", s3.config()});
  const std::string output = "an output", keys = first.url("/ac/" + std::string(61, '0') + "[000-999]");
  write_text(first.work("output"), output);
  write_text(first.work("result"), result_of(output));
  const std::string hash = base::to_hex(base::sha256(output));
  EXPECT_EQ(first.curl({"--upload-file", first.work("output").str(), first.url("/cas/" + hash)}).out, "200");
  const Ended put = first.curl({"--upload-file", first.work("result").str(), keys});
  EXPECT_EQ(put.out.find("4"), std::string::npos) << put.out.substr(0, 300);
  EXPECT_EQ(first.stop(SIGTERM).code, 0) << "what is still to be sent is sent at the end";
  EXPECT_LE(s3.count("PUT"), 30u);

  CachedProgram second({"--config", s3.config()});
  const std::size_t before = s3.count("GET");
  EXPECT_EQ(second.curl({second.url("/ac/" + std::string(61, '0') + "500")}).out, "200");
  EXPECT_EQ(second.curl({"--output", "-", second.url("/cas/" + hash)}).out, output + "200");
  EXPECT_LE(s3.count("GET") - before, 3 + s3.count("PUT")) << "a listing, indexes, the entry, its blob";
  const std::size_t one_more = s3.count("GET");
  EXPECT_EQ(second.curl({second.url("/ac/" + std::string(61, '0') + "007")}).out, "200");
  EXPECT_LE(s3.count("GET") - one_more, 3u);
  for (int i = 0; i < 1'000; i += 50)
    EXPECT_EQ(second.curl({second.url(fmt::format("/ac/{:064}", i))}).out, "200") << i;
  EXPECT_EQ(second.curl({second.url("/ac/" + std::string(61, '1') + "000")}).out, "404");
  EXPECT_THAT(second.metrics(), HasSubstr("cairn_tier_known_objects{tier=\"s3://cache\"} 1001\n"))
      << "all entries, and their blob";
  EXPECT_EQ(second.stop(SIGTERM).code, 0);
  EXPECT_EQ(second.cachectl({"fsck"}).code, 0);
}

TEST(CachedTiers, EachFieldIsKnownAndEachFaultIsSaid) {
  const TempDir dir;
  const base::HostPath file = dir.path() / "cached.toml";
  const auto check = [&](const std::string& text) {
    write_text(file, text);
    return run_program(dir.path(), {CAIRN_BIN_DIR "/cached", "--config", file.str(), "--check-config"});
  };
  const Ended good = check(R"([tiers]
lookup_ms = 500
[[tier]]
kind = "redis"
host = "127.0.0.1"
port = 6379
database = 3
tls = true
user = "cairn"
secret_file = "/etc/cairn/redis.secret"
prefix = "team"
[[tier]]
kind = "http"
use = "read"
url = "https://cache.example/team"
secret_file = "/etc/cairn/http.secret"
[[tier]]
kind = "reapi"
peers = ["grpcs://cache-1.example:8980", "grpcs://cache-2.example:8980"]
weights = [1, 2]
mirrors = 2
shard_by = "entry"
instance = "team"
user = "cairn"
secret_file = "/etc/cairn/peers.secret"
ca = "/etc/cairn/ca.pem"
client_certificate = "/etc/cairn/client.pem"
client_key = "/etc/cairn/client.key"
[[tier]]
kind = "s3"
use = "both"
bucket = "builds"
prefix = "cairn"
endpoint = "https://s3.example"
region = "eu-central-1"
addressing = "virtual-host"
pack_below = "64KB"
pack_bytes = "4MB"
known_objects = 100000
)");
  EXPECT_EQ(good.out, "ok\n");
  EXPECT_EQ(good.err, "");
  for (const auto& [text, why] :
       {std::pair{"[[tier]]\nkind = \"ftp\"\n", "want \"s3\", \"redis\", \"http\" or \"reapi\""},
        {"[[tier]]\nkind = \"s3\"\n", "bucket"},
        {"[[tier]]\nkind = \"http\"\nurl = \"http://x\"\nuse = \"all\"\n", "use"},
        {"[[tier]]\nkind = \"http\"\nurl = \"http://x\"\nbucket = \"b\"\n", "bucket"},
        {"[[tier]]\nkind = \"s3\"\nbucket = \"builds\"\npack_bytes = 1\n", "pack_bytes"},
        {"[[tier]]\nkind = \"s3\"\nbucket = \"builds\"\npack_below = \"9MB\"\n", "pack_below"},
        {"[[tier]]\nkind = \"s3\"\nbucket = \"builds\"\nknown_objects = 0\n", "known_objects"},
        {"[[tier]]\nkind = \"redis\"\n", "host"},
        {"[[tier]]\nkind = \"reapi\"\n", "peers"},
        {"[[tier]]\nkind = \"reapi\"\npeers = [\"http://a:1\"]\n", "is not grpc://HOST:PORT"},
        {"[[tier]]\nkind = \"reapi\"\npeers = [\"grpc://a:1\"]\nmirrors = 2\n", "mirrors"},
        {"[[tier]]\nkind = \"reapi\"\npeers = [\"grpc://a:1\"]\nweights = [1, 1]\n", "weights"},
        {"[[tier]]\nkind = \"reapi\"\npeers = [\"grpc://a:1\"]\nshard_by = \"luck\"\n", "shard_by"},
        {"[tiers]\nlookup_ms = 0\n", "lookup_ms"}}) {
    const Ended ended = check(text);
    EXPECT_EQ(ended.code, 2) << text;
    EXPECT_THAT(ended.err, HasSubstr(why)) << text;
  }
}

}  // namespace
}  // namespace cairn::test

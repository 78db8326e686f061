// SPDX-License-Identifier: Apache-2.0
// Clients that Debian 12 does not have, out of the tree that scripts/e2e --newer makes (CAIRN_NEWER_TREE): a first run fills
// the store, a clean one is served from it, and they say so themselves.
#include <gmock/gmock.h>
#include <signal.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "libbase/fs/host_tree.h"
#include "tests/e2e_cached/cached_program.h"
#include "tests/support/host_state.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/random_bytes.h"

namespace cairn::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Newer : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(std::getenv("CAIRN_NEWER_TREE"), nullptr) << "scripts/e2e --newer runs this";
    ASSERT_TRUE(base::make_host_dirs(work_ / "home"));
  }
  void TearDown() override {
    EXPECT_EQ(cached_.stop(SIGTERM).code, 0);
    EXPECT_EQ(cached_.cachectl({"fsck"}).code, 0);
  }

  // In the tree, where work_ lies at the same path and this machine's root below /host.
  Ended run(const std::string& command) {
    const std::string tree = std::getenv("CAIRN_NEWER_TREE"), work = work_.str();
    const std::string inside = "mkdir -p " + tree + work + " " + tree + "/host && mount --bind " + work + " " + tree + work +
                               " && mount -t proc proc " + tree + "/proc && mount --rbind /dev " + tree +
                               "/dev && mount --rbind / " + tree + "/host && exec chroot " + tree +
                               " env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 HOME=" + work +
                               "/home sh -c 'cd " + work + " && " + command + "'";
    return cached_.run({"unshare", "--mount", "--propagation", "private", "sh", "-c", inside});
  }
  Ended run_well(const std::string& command) {
    Ended ended = run(command);
    EXPECT_EQ(ended.code, 0) << command << '\n' << ended.out << ended.err;
    return ended;
  }
  std::uint64_t hits_of(const std::string& project) {
    const std::string metrics = cached_.metrics(), name = "cairn_hits_total{project=\"" + project + "\"} ";
    const std::size_t at = metrics.find(name);
    return at == std::string::npos ? 0 : std::strtoull(metrics.c_str() + at + name.size(), nullptr, 10);
  }
  void write_sources() {
    for (int i = 0; i < 3; ++i)
      write_text(work_ / ("f" + std::to_string(i) + ".c"), "int f" + std::to_string(i) + "(int x) { return x * " + std::to_string(i + 3) + "; }\n");
  }

  CachedProgram cached_{{"--grpc", "127.0.0.1:0", "--resp", "127.0.0.1:0"}};
  const base::HostPath work_ = cached_.work("client");
};

class NewerBazel : public Newer {
 protected:
  void expect_served(const std::string& remote_cache) {
    write_text(work_ / "WORKSPACE", "");
    write_text(work_ / "in.txt", "b\na\n");
    write_text(work_ / "BUILD.bazel", "genrule(name = \"one\", srcs = [\"in.txt\"], outs = [\"one.txt\"], cmd = \"sort $< > $@\")\n"
                                      "genrule(name = \"two\", srcs = [\":one\"], outs = [\"two.txt\"], cmd = \"cat $< $< > $@\")\n");
    std::string rc = "startup --install_base=/usr/share/bazel\nstartup --trust_install_base\ncommon --noenable_bzlmod --enable_workspace\n";
    const std::pair<const char*, const char*> repositories[] = {
        {"rules_cc", "rules/cc"}, {"rules_java", "rules/java"}, {"rules_java_builtin", "rules/java"}, {"bazel_skylib", "tools/skylib"},
        {"bazel_features", "tools/features"}, {"rules_license", "rules/license"}, {"rules_python", "rules/python"},
        {"rules_proto", "rules/proto"}, {"platforms", "tools/platforms"}};
    for (const auto& [name, where] : repositories)
      rc += "common --override_repository=" + std::string(name) + "=/usr/share/bazel/" + where + "\n";
    write_text(work_ / "rc", rc);
    const std::string bazel = "bazel --nosystem_rc --nohome_rc --noworkspace_rc --bazelrc=" + (work_ / "rc").str() + " --output_user_root=" +
                              (work_ / "out").str() + " --max_idle_secs=60 --host_jvm_args=-Xmx1g " +
                              "--host_jvm_args=-DZstdNativePath=/usr/lib/x86_64-linux-gnu/libzstd-jni.so.1 ";
    const std::string build = "build //:two --noshow_progress --spawn_strategy=local --remote_cache=" + remote_cache;
    // One namespace of mounts for all of it: Bazel's server stays.
    const Ended ended = run_well(bazel + build + " 2> first && " + bazel + "clean && " + bazel + build + " 2> clean; " + bazel + "shutdown");
    EXPECT_THAT(read_text((work_ / "first").str()), HasSubstr("2 local")) << ended.err;
    EXPECT_THAT(read_text((work_ / "clean").str()), HasSubstr("2 remote cache hit")) << ended.err;
    EXPECT_THAT(read_text((work_ / "clean").str()), Not(HasSubstr("local")));
  }
};

TEST_F(NewerBazel, IsServedOverGrpc) {
  expect_served("grpc://" + cached_.grpc_address());
  EXPECT_EQ(hits_of("bazel"), 2u);
}

TEST_F(NewerBazel, IsServedOverGrpcCompressed) {
  expect_served("grpc://" + cached_.grpc_address() + " --remote_cache_compression");
  EXPECT_EQ(hits_of("bazel"), 2u);
}

TEST_F(NewerBazel, IsServedOverHttp) {
  expect_served(cached_.url(""));
  EXPECT_EQ(hits_of("bazel"), 2u);
}

TEST_F(Newer, ReccIsServed) {
  write_sources();
  const std::string recc = "RECC_SERVER=http://" + cached_.grpc_address() +
                           " RECC_CACHE_ONLY=1 RECC_CACHE_UPLOAD_LOCAL_BUILD=1 RECC_PROJECT_ROOT=$PWD RECC_DEPS_GLOBAL_PATHS=1 "
                           "RECC_VERBOSE=1 recc /usr/bin/gcc -c f0.c -o f0.o";
  EXPECT_THAT(run_well(recc).err, Not(HasSubstr("Action Cache hit")));
  const std::string first = read_text((work_ / "f0.o").str());
  ASSERT_TRUE(base::remove_host_tree(work_ / "f0.o"));
  EXPECT_THAT(run_well(recc).err, HasSubstr("Action Cache hit"));
  EXPECT_NE(first, "");
  EXPECT_EQ(read_text((work_ / "f0.o").str()), first);
}

// Chunks are uploaded and spliced; of a file that has grown in the middle only the chunk there is sent.
TEST_F(Newer, BuildboxSendsChunksOfWhatHasChanged) {
  const std::string bytes = random_bytes(7, 12 << 20), address = "http://" + cached_.grpc_address();
  ASSERT_TRUE(base::make_host_dirs(work_ / "d"));
  write_text(work_ / "d/big", bytes);
  const auto upload = [&](const std::string& folder) {
    run_well("rm -rf casd back; buildbox-casd --bind=unix:casd.sock --cas-remote=" + address + " --ac-remote=" + address +
             " --proxy-instance=px: --enable-chunking-for-instance=px --cache-blob-chunks --log-level=error $PWD/casd & casd=$!; "
             "for i in $(seq 100); do test -S casd.sock && break; sleep 0.1; done; "
             "casupload --use-localcas --remote=unix:casd.sock --instance=px --output-digest-file=digest " + folder +
             "; code=$?; kill $casd; wait $casd; rm -f casd.sock; test $code = 0 && casdownload --remote=" + address +
             " --root-digest=$(cat digest) --destination-dir=back && cmp " + folder + "/big back/big");
  };
  const auto blobs = [&] { return nlohmann::json::parse(cached_.cachectl({"du", "--json"}).out, nullptr, false).value("blobs", 0); };
  upload("d");
  const int before = blobs();
  EXPECT_GT(before, 10) << "chunks, what they were spliced to, and a directory";
  write_text(work_ / "d/big", bytes.substr(0, 6 << 20) + "7 bytes" + bytes.substr(6 << 20));
  upload("d");
  EXPECT_LE(blobs() - before, 5) << "a chunk or two, the whole, and a directory";
}

TEST_F(Newer, CcacheIsServed) {
  write_sources();
  int number = 0;
  for (const std::string& storage : {"http://" + cached_.address() + "/ccache", "http://" + cached_.address() + "/team layout=bazel",
                                     "redis://" + cached_.resp_address()}) {
    SCOPED_TRACE(storage);
    ++number;  // doors of one store give out what the others were given
    const auto compile = [&](const std::string& dir) {
      return run_well("export CCACHE_DIR=$PWD/" + dir + " CCACHE_REMOTE_STORAGE=\"" + storage +
                      "\"; for i in 0 1 2; do ccache gcc -DN=" + std::to_string(number) + " -c f$i.c -o f$i.o || exit 1; done; ccache --print-stats")
          .out;
    };
    EXPECT_THAT(compile("cold"), HasSubstr("cache_miss\t3\n"));
    const std::string clean = compile("clean");
    EXPECT_THAT(clean, HasSubstr("cache_miss\t0\n"));
    EXPECT_THAT(clean, HasSubstr("remote_storage_hit\t3\n"));
    EXPECT_THAT(clean, HasSubstr("remote_storage_error\t0\n"));
    run_well("rm -rf cold clean");
  }
}

TEST_F(Newer, SccacheIsServed) {
  write_sources();
  int number = 0;
  for (const std::string& backend : {"SCCACHE_WEBDAV_ENDPOINT=" + cached_.url("/") + " SCCACHE_WEBDAV_KEY_PREFIX=sccache",
                                     "SCCACHE_REDIS_ENDPOINT=tcp://" + cached_.resp_address()}) {
    SCOPED_TRACE(backend);
    ++number;
    const auto compile = [&] {
      const Ended ended = run_well("export SCCACHE_SERVER_PORT=14301 " + backend +
                                   "; sccache --start-server >/dev/null; for i in 0 1 2; do sccache gcc -DN=" + std::to_string(number) + " -c f$i.c -o f$i.o || exit 1; done; "
                                   "sccache --show-stats --stats-format=json; sccache --stop-server >/dev/null");
      const auto stats = nlohmann::json::parse(ended.out, nullptr, false);
      EXPECT_FALSE(stats.is_discarded()) << ended.out;
      return stats.is_object() ? stats.value("stats", nlohmann::json::object()) : nlohmann::json::object();
    };
    const auto counts = [](const nlohmann::json& stats, const char* what) {
      return stats.value(nlohmann::json::json_pointer("/" + std::string(what) + "/counts/C~1C++"), 0);
    };
    const nlohmann::json first = compile();
    EXPECT_EQ(counts(first, "cache_misses"), 3) << first.dump(1);
    const nlohmann::json clean = compile();
    EXPECT_EQ(counts(clean, "cache_hits"), 3) << clean.dump(1);
    EXPECT_EQ(clean.value("cache_write_errors", -1), 0);
  }
  EXPECT_GE(hits_of("sccache"), 6u) << "and what it asks for at its start";
}

// It is given a store of its own, and runs outside of the tree.
TEST_F(Newer, GoIsServedByTheHelperThatItStarts) {
  write_text(work_ / "go.mod", "module hello\n\ngo 1.24\n");
  write_text(work_ / "main.go", "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n");
  const std::string go = "GOCACHEPROG=\"chroot /host " CAIRN_BIN_DIR "/cachectl gocacheprog --root " + (work_ / "store").str() +
                         "\" GOFLAGS= GOTOOLCHAIN=local GOPROXY=off go build -o hello . && ./hello";
  const Ended first = run_well(go);
  EXPECT_EQ(first.out, "hello\n");
  EXPECT_THAT(first.err, HasSubstr("gocacheprog: hits 0 "));
  const Ended again = run_well("rm hello && " + go);
  EXPECT_EQ(again.out, "hello\n");
  EXPECT_THAT(again.err, Not(HasSubstr("gocacheprog: hits 0 ")));
  EXPECT_THAT(again.err, HasSubstr("errors 0"));
}

}  // namespace
}  // namespace cairn::test

// SPDX-License-Identifier: Apache-2.0
// The whole way on the loopback: a C program is compiled and its image pushed with its cache; another store has it from there
// without running a step, and without the compiler; skopeo, umoci and buildah agree about the image. Real parts all the
// way: a C compiler, a registry, containers.
#include <stdlib.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "tests/e2e/world.h"
#include "tests/support/busybox_root.h"
#include "tests/support/must.h"
#include "tests/support/registry_server.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

// What programs of the C library need to run, and what tcc needs to make some.
constexpr const char* runtime_files =
    "lib64/ld-linux-x86-64.so.2 usr/lib/x86_64-linux-gnu/libc.so.6 usr/lib/x86_64-linux-gnu/libm.so.6 "
    "usr/lib/x86_64-linux-gnu/libdl.so.2 usr/lib/x86_64-linux-gnu/libpthread.so.0";
constexpr const char* compiler_files =
    "usr/bin/tcc usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 usr/lib/x86_64-linux-gnu/tcc usr/lib/x86_64-linux-gnu/crt1.o usr/lib/x86_64-linux-gnu/crti.o "
    "usr/lib/x86_64-linux-gnu/crtn.o usr/lib/x86_64-linux-gnu/libc.so usr/lib/x86_64-linux-gnu/libc.a "
    "usr/lib/x86_64-linux-gnu/libc_nonshared.a usr/include/stdio.h usr/include/features.h usr/include/features-time64.h "
    "usr/include/stdc-predef.h usr/include/x86_64-linux-gnu/bits usr/include/x86_64-linux-gnu/sys usr/include/x86_64-linux-gnu/gnu";

class Image : public World {
 protected:
  Image() {
    ::setenv("no_proxy", "*", 1);
    ::setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
    ::setenv("DOCKER_CONFIG", make_dir("docker").c_str(), 1);
    put(temp_ / "docker", "config.json", "{}");
    put_image("runtime", runtime_files);
    put_image("toolchain", std::string(runtime_files) + " " + compiler_files);
    put(make_dir("context"), "hello.c", "#include <stdio.h>\nint main(void) { return puts(\"built of a Dockerfile\") < 0; }\n");
    put(temp_ / "context", "Dockerfile",
        "FROM " + name("toolchain:v1") + " AS build\n"
        "COPY hello.c /src/\n"
        "RUN tcc -o /src/hello /src/hello.c && /src/hello > /src/said\n"
        "FROM " + name("runtime:v1") + "\n"
        "COPY --from=build /src/hello /usr/bin/hello\n"
        "ENV GREETING=yes\n"
        "LABEL org.example.made=here\n"
        "ENTRYPOINT [\"/usr/bin/hello\"]\n");
  }
  ~Image() override {
    for (const char* variable : {"SOURCE_DATE_EPOCH", "DOCKER_CONFIG"}) ::unsetenv(variable);
  }

  std::string name(const std::string& rest) const { return registry_.host() + "/team/" + rest; }
  std::string path(const std::string& rest) const { return (temp_ / rest).str(); }

  // busybox and these files of this machine, in the registry.
  void put_image(const std::string& image, const std::string& files) {
    const base::HostPath root = temp_ / (image + "-root");
    ASSERT_TRUE(make_busybox_root(root));
    run({"sh", "-c", "cd / && mkdir -p " + root.str() + "/usr/lib && ln -s usr/lib " + root.str() + "/lib && tar -ch " + files + " | tar -x -C " + root.str()});
    ImageSpec spec;
    spec.layer_tars = {tar_of(root)};
    spec.made_by = "files of this machine";
    sizes_[image] = spec.layer_tars.front().size();
    write_layout(temp_ / (image + "-layout"), spec, "v1");
    registry_.push(temp_ / (image + "-layout"), "team/" + image);
  }

  std::string run(Words words) {
    const Ended ended = run_program(temp_.path(), words);
    EXPECT_EQ(ended.code, 0) << words[0] << ": " << ended.out << ended.err;
    return ended.out;
  }

  Solved build(Words more) {
    Words words{"--root", root_.str(), "build", "--json", "--progress", "plain"};
    words.insert(words.end(), more.begin(), more.end());
    words.push_back(path("context"));
    return parse_solved(cachectl(words));
  }

  RegistryServer registry_;
  std::map<std::string, std::size_t> sizes_;  // of layers, uncompressed
};

TEST_F(Image, IsBuiltPushedAndHadElsewhereWithoutRunningAStep) {
  const std::string cache = "type=registry,ref=" + name("cache:main");
  const Solved first = build({"-t", name("app:v1"), "--push", "--cache-to", cache + ",mode=max"});
  ASSERT_EQ(first.code, 0) << first.err;
  const std::string digest = json::parse(first.out).at("outputs")[0].at("digest");

  // Others agree about it.
  const json inspected = json::parse(run({"skopeo", "inspect", "--tls-verify=false", "docker://" + name("app:v1")}));
  EXPECT_EQ(inspected.at("Digest"), digest);
  EXPECT_EQ(inspected.at("Labels").at("org.example.made"), "here");
  EXPECT_EQ(inspected.at("Created"), "2023-11-14T22:13:20Z");
  EXPECT_EQ(inspected.at("Layers").size(), 2u);
  run({"skopeo", "copy", "--src-tls-verify=false", "docker://" + name("app:v1"), "oci:" + path("copied") + ":v1"});
  run({"umoci", "unpack", "--image", path("copied") + ":v1", path("bundle")});
  EXPECT_EQ(run({"chroot", path("bundle/rootfs"), "/usr/bin/hello"}), "built of a Dockerfile\n");
  const Words buildah{"buildah", "--storage-driver", "vfs", "--root", path("buildah"), "--runroot", path("buildah-run")};
  const auto with = [&](Words more) {
    Words words = buildah;
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  };
  std::string container = with({"from", "--tls-verify=false", name("app:v1")});
  container.resize(container.find_last_not_of('\n') + 1);
  EXPECT_THAT(with({"run", "--isolation", "chroot", container, "--", "/usr/bin/hello"}), HasSubstr("built of a Dockerfile"));
  with({"rm", container});

  // Elsewhere: nothing runs, the image is the same, and the compiler is not transferred.
  fs::remove_all(root_.str());
  const Solved second = build({"-t", name("app:v2"), "-o", "type=oci,dest=" + path("app.tar"), "-o", "type=local,dest=" + path("out"), "--cache-from", cache});
  ASSERT_EQ(second.code, 0) << second.err;
  for (const auto& step : second.in_state("executed")) EXPECT_THAT(step, Not(HasSubstr("RUN"))) << second.out;
  for (const auto& step : second.in_state("executed")) EXPECT_THAT(step, Not(HasSubstr("COPY"))) << second.out;
  const auto config_of = [](const Solved& solved) { return json::parse(solved.out).at("outputs")[0].at("images")[0].at("config"); };
  EXPECT_EQ(config_of(second), config_of(first));
  EXPECT_EQ(run({"chroot", path("out"), "/usr/bin/hello"}), "built of a Dockerfile\n");
  std::uint64_t bytes = 0;
  const json list = json::parse(cachectl({"--root", root_.str(), "ls", "--json"}).out);
  for (const auto& record : list.at("records")) bytes += record.at("bytes").get<std::uint64_t>();
  EXPECT_GT(bytes, sizes_.at("runtime") / 2);
  EXPECT_LT(bytes, sizes_.at("toolchain") - sizes_.at("runtime") / 2) << "the toolchain stays where it is";
}

TEST_F(Image, TheSameBuildGivesTheSameImage) {
  const Solved first = build({"-o", "type=oci,dest=" + path("one.tar")});
  ASSERT_EQ(first.code, 0) << first.err;
  const Solved again = build({"-o", "type=oci,dest=" + path("two.tar")});
  EXPECT_EQ(run({"cmp", path("one.tar"), path("two.tar")}), "");
  // From nothing, in another store: times of what RUN made are those of the epoch, too.
  fs::remove_all(root_.str());
  const Solved rewritten = build({"-o", "type=oci,rewrite-timestamp=true,dest=" + path("three.tar")});
  ASSERT_EQ(rewritten.code, 0) << rewritten.err;
  fs::remove_all(root_.str());
  ASSERT_EQ(build({"-o", "type=oci,rewrite-timestamp=true,dest=" + path("four.tar")}).code, 0);
  EXPECT_EQ(run({"cmp", path("three.tar"), path("four.tar")}), "");
}

TEST_F(Image, CarriesItsOwnCacheIfItIsToldTo) {
  const Solved first = build({"-t", name("app:v1"), "--push", "--cache-to", "type=inline"});
  ASSERT_EQ(first.code, 0) << first.err;
  fs::remove_all(root_.str());
  const Solved second = build({"-o", path("out"), "--cache-from", name("app:v1")});
  ASSERT_EQ(second.code, 0) << second.err;
  for (const auto& step : second.in_state("executed")) EXPECT_THAT(step, Not(HasSubstr("COPY --from"))) << second.out;
  EXPECT_EQ(run({"chroot", path("out"), "/usr/bin/hello"}), "built of a Dockerfile\n");
  const Solved without = build({"--cache-to", "type=inline"});
  EXPECT_THAT(without.err, HasSubstr("none is exported"));
}

TEST_F(Image, ArchivesGoToStandardOutputWhoeverOwnsTheStore) {
  const std::string command = CAIRN_BIN_DIR "/cachectl --root " + root_.str() + " build --progress none -o type=oci " + path("context");
  run({"sh", "-c", command + " > " + path("one.tar")});
  // With an owner that is another process.
  const auto owner = start_solve(output("slow", "sleep 30"));
  while (owner->err_so_far().find("slow") == std::string::npos) ::usleep(20'000);
  run({"sh", "-c", command + " > " + path("two.tar")});
  EXPECT_EQ(run({"cmp", path("one.tar"), path("two.tar")}), "");
  owner->signal(SIGINT);
  EXPECT_EQ(owner->wait().code, 130);
}

}  // namespace
}  // namespace cairn::test

// SPDX-License-Identifier: Apache-2.0
// Graphs written with llb::State are, byte for byte, what BuildKit's own client wrote for the same graphs: the vectors
// of tests/golden/llb, and V1-V5 of spec/solver 0.1.
#include "libsolver/llb.h"

#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libsolver/definition.h"
#include "libsolver/wire/codec.h"

namespace cairn::solver::llb {
namespace {

using testing::HasSubstr;

Platform platform_of(std::string os, std::string architecture, std::string variant = "") {
  Platform platform;
  platform.os = std::move(os);
  platform.architecture = std::move(architecture);
  platform.variant = std::move(variant);
  return platform;
}
const Platform amd64 = platform_of("linux", "amd64");
const Platform arm_v7 = platform_of("linux", "arm", "v7");

MarshalOptions as_recorded() { return {.platform = amd64, .local_unique_id = "fixed-local-unique-id"}; }

struct Recorded {
  const char* vector;
  State state;
};

void PrintTo(const Recorded& recorded, std::ostream* out) { *out << recorded.vector; }

State busybox() { return image("busybox"); }
State alpine() { return image("alpine"); }
State with_mount(const Mount& mount) { return busybox().run({"x"}, {.mounts = {mount}}).root(); }

FileActions mkfile(std::string_view path, std::string_view data) { return FileActions().mkfile(path, 0644, data); }

std::vector<Recorded> sources() {
  const std::string sha = "sha256:f5bd9ed67b88418704586cc92956cce6cee3cc8b7dcb9f3a07d5bd8934521360";
  const std::string layout = "foo/bar@sha256:d5bcdce442904a145bef1d9335d65a01dfba52fa9049714e0a9d480e42477bfc";
  const std::string checksum = "sha256:31cce432502451f22bb868ae8443cca4586314fdd2cf2210283b2a555f0abbcc";
  return {
      {"000-source-image-basic", busybox()},
      {"002-source-image-arm", image("busybox", {.platform = arm_v7})},
      {"010-source-image-tag-digest", image("busybox:1.36@" + sha)},
      {"012-source-image-local", image("alpine", {.resolve_mode = "local"})},
      {"014-source-image-layerlimit", image("registry.example.com:5000/team/app:v1", {.layer_limit = 2})},
      {"016-source-image-checksum-ok", image("docker.io/library/alpine:3.20", {.checksum = checksum})},
      {"024-source-image-customname", image("alpine", {.name = "[internal] my alpine"})},
      {"030-source-oci-layout-nosession", oci_layout(layout, {.store_id = "store2"})},
      {"034-source-local-basic", local("context")},
      {"036-source-local-session-prefix", local("context", {.session_id = "pre:sess1"})},
      {"042-source-local-uniqueid", local("ctx", {.unique_id = "other-unique"})},
  };
}

std::vector<Recorded> remote_sources() {
  const auto commit = [](char digit) { return std::string(40, digit); };
  const GitOptions everything{.ref = "main", .subdir = "sub", .keep_git_dir = true, .skip_submodules = true, .mtime = "commit",
                              .auth_token_secret = "TOK", .auth_header_secret = "HDR"};
  const GitOptions of_directory{.ref = "abcdefabcdefabcdefabcdefabcdefabcdefabcd", .subdir = "/a/b/", .skip_submodules = true, .mtime = "commit"};
  const HttpOptions full{.checksum = "sha256:db4b4d0d1cb480bf9aeea253771c00febe627f236765fa37d6a5614f079a3aa0",
                         .filename = "renamed.tgz", .mode = 0640, .uid = 7, .gid = 8, .auth_header_secret = "sec",
                         .accept = "application/json", .user_agent = "vec/1"};
  const std::string one = "example.com/blobs/one@sha256:7dc96f776c8423e57a2785489a3f9c43fb6e756876d6ad9a9cac4aa4e72ec193";
  const std::string other = "example.com/store@sha256:4814d92093ac8a0f4a2163ab87dee509ba306a58f5888be0edcb2fcd0712028b";
  return {
      {"026-source-blob-image", image_blob(one)},
      {"028-source-blob-oci", oci_layout_blob(other, {.file = {.filename = "x"}, .session_id = "fixed-session-id-0001", .store_id = "store2"})},
      {"038-source-local-shared-differ",
       local("ctx", {.shared_key_hint = "hint", .differ = LocalDiffer::none, .differ_required = true, .name = "load ctx"})},
      {"040-source-local-metadata-noexc", local("ctx", {.differ = LocalDiffer::metadata, .metadata_only = true})},
      {"044-source-git-sha-keepgit", git("github.com/moby/buildkit.git", {.ref = commit('1'), .keep_git_dir = true})},
      {"046-source-git-branch", git("https://github.com/moby/buildkit.git", {.ref = "master"})},
      {"048-source-git-tag-annotated", git("https://github.com/moby/buildkit.git", {.ref = "v1.0"})},
      {"050-source-git-default-branch", git("https://example.com/r.git")},
      {"052-source-git-checksum-bad", git("https://example.com/r.git", {.ref = commit('1'), .checksum = "zz"})},
      {"054-source-git-skip-submodules", git("https://example.com/r.git", of_directory)},
      {"056-source-git-all-flags", git("https://example.com/r.git", everything)},
      {"058-source-git-fetch-by-commit-noref", git("https://example.com/r.git", {.checksum = commit('1'), .fetch_by_commit = true})},
      {"060-source-git-sha256", git("https://example.com/r.git", {.ref = std::string(64, '2')})},
      {"062-source-git-ssh-url-port", git("ssh://git@example.com:2222/a/b.git", {.ref = commit('1'), .known_ssh_hosts = "k"})},
      {"064-source-git-checkout-bundle-conflict",
       git("https://example.com/r.git", {.ref = commit('1'), .keep_git_dir = true, .checkout_bundle = true})},
      {"066-source-git-invalid-url", git("https://user:pw@example.com/r.git", {.ref = commit('1')})},
      {"068-source-http-full", http("https://example.com/a/file.tar.gz", full)},
      {"070-source-http-plain", http("http://example.com/plain")},
      {"072-source-http-disposition-evil", http("https://example.com/disp-evil")},
      {"074-source-http-query", http("https://example.com/q?file=x.txt&y=1")},
      {"076-source-http-dir", http("https://example.com/redirected/dir/", {.gid = 5})},
      {"078-source-http-404", http("https://example.com/none")},
  };
}

std::vector<Recorded> execs() {
  const auto arm = image("busybox", {.platform = arm_v7}).platform(arm_v7);
  const Secret both{.id = "idb", .dest = "/run/s1b", .uid = 1, .gid = 2, .mode = 0440, .optional = true};
  const RunOptions secrets{.secrets = {{.id = "/run/s1", .dest = "/run/s1"},
                                       both,
                                       {.id = "sid", .dest = "/s2"},
                                       {.id = "e1", .env = "ENVNAME"},
                                       {.id = "e2", .env = "E2", .optional = true}}};
  const RunOptions caches{.mounts = {{.dest = "/c1", .cache_id = "id1"},
                                     {.dest = "/c2", .cache_id = "id2", .cache_sharing = wire::CacheSharing::exclusive},
                                     {.dest = "/c3", .cache_id = "id3", .cache_sharing = wire::CacheSharing::locked}}};
  const auto deep = [] {
    State state = busybox();
    for (int i = 0; i < 60; ++i) state = state.run({"s" + std::to_string(i)}).root();
    return state;
  }();
  return {
      {"080-exec-basic", busybox().run({"echo", "hello"}).root()},
      {"082-exec-env-cwd-user",
       busybox().env("PATH", "/bin").env("B", "").env("A", "2").dir("/work").dir("x").user("1000:1000").run({"id"}).root()},
      {"084-exec-ulimits-cgroup",
       busybox()
           .run({"x"}, {.ulimits = {{.name = "nofile", .soft = 10, .hard = 20, .unknown = {}}, {.name = "core", .soft = -1, .hard = 0, .unknown = {}}},
                        .cgroup_parent = "/a/b"})
           .root()},
      {"088-exec-network-none", busybox().run({"x"}, {.network = wire::NetMode::none}).root()},
      {"090-exec-readonly-root",
       busybox().run({"x"}, {.mounts = {{.dest = "/out"}}, .read_only_root = true}).mount_output("/out")},
      {"094-exec-cache-mounts", busybox().run({"x"}, caches).root()},
      {"098-exec-cache-mount-based",
       with_mount({.dest = "/c", .source = alpine(), .selector = "/var", .cache_id = "id"})},
      {"092-exec-cdi", busybox().run({"x"}, {.devices = {{.name = "vendor1.com/device=foo", .optional = false, .unknown = {}},
                                                         {.name = "v2/d=*", .optional = true, .unknown = {}}}}).root()},
      {"100-exec-secrets", busybox().run({"x"}, secrets).root()},
      {"102-exec-ssh-existing-env", busybox().run({"x"}, {.env = {{"SSH_AUTH_SOCK", "/mine"}}, .ssh = {{.dest = "/t"}}}).root()},
      {"104-exec-mount-ro-selector",
       with_mount({.dest = "/m", .source = alpine(), .selector = "etc/apk/", .read_only = true})},
      {"106-exec-mount-rw-root", with_mount({.dest = "/m", .source = alpine()})},
      {"108-exec-mount-contentcache-off",
       with_mount({.dest = "/m", .source = alpine(), .read_only = true, .content_cache = wire::ContentCache::off})},
      {"114-exec-mount-root-as-input-too", with_mount({.dest = "/self", .source = busybox(), .read_only = true})},
      {"116-exec-outputs-multiple",
       busybox().run({"x"}, {.mounts = {{.dest = "/zz"}, {.dest = "/aa", .source = alpine()}}}).mount_output("/aa")},
      {"118-exec-platform-arm", arm.run({"x"}).root()},
      {"186-dag-deep", deep},
  };
}

State passed() {
  const auto file = [](const char* path, const char* text) { return scratch().file(FileActions().mkfile(path, 0644, text)); };
  const auto states = passthrough({file("/a", "a"), file("/b", "b"), busybox()}, {1, 2}, "pp");
  return merge({states[1], states[0]});
}

std::vector<Recorded> others() {
  const State same = busybox().run({"same"}).root();
  const State again = busybox().run({"same"}).root();
  const State ctx = local("ctx", {.session_id = "s"});
  constexpr std::int64_t nanoseconds = 1'234'567'890'123'456'789;
  const CopyOptions all{.mode = 0755,
                        .follow_symlink = true,
                        .dir_copy_contents = true,
                        .unpack = true,
                        .create_dest_path = true,
                        .allow_wildcard = true,
                        .allow_empty_wildcard = true,
                        .include_patterns = {"**/*.c", "a"},
                        .exclude_patterns = {"**/x.c"},
                        .always_replace_existing = true};
  const auto step = [](const char* name) { return diff(busybox(), busybox().run({name}).root()); };
  return {
      {"134-file-mkdir-user-name", busybox().file(FileActions().mkdir("/h", 0700).owner({.user = "app", .group = "staff"}))},
      {"180-passthrough-outputs", passed()},
      {"182-build-llb-filename", build(scratch().file(FileActions().mkfile("/x", 0644, "x")), "other.llb")},
      {"136-file-mkfile-binary",
       scratch().file(FileActions().mkfile("/f", 0600, std::string_view("\0\1\2\xff\xfe<&", 7)).owner({.user = "0"}).created(nanoseconds))},
      {"144-file-copy-dot", busybox().file(FileActions().copy(ctx, "/", "/w/"))},
      {"146-file-copy-all", busybox().file(FileActions().copy(ctx, "/src/*.c", "/dst/", all).owner({.user = "5", .group = "6"}).created(nanoseconds))},
      {"148-file-copy-wildcard-flag-nowild", busybox().file(FileActions().copy(ctx, "/src/plain", "/dst/", {.allow_wildcard = true}))},
      {"150-file-copy-include", busybox().file(FileActions().copy(ctx, "/", "/dst", {.include_patterns = {"a/*", "b"}}))},
      {"152-file-copy-required",
       busybox().file(FileActions().copy(ctx, "/d", "/dst", {.include_patterns = {"x"}, .required_paths = {"/d/x"}}))},
      {"154-file-copy-mode-sticky", busybox().file(FileActions().copy(ctx, "/d", "/dst", {.mode = 2541}))},
      {"156-file-copy-chown-name-scratch", scratch().file(FileActions().copy(ctx, "/d", "/dst").owner({.user = "1", .group = "2"}))},
      {"132-file-mkdir", scratch().file(FileActions().mkdir("/foo", 0755))},
      {"140-file-rm-plain", busybox().file(FileActions().rm("/d/x"))},
      {"142-file-copy", busybox().file(FileActions().copy(local("ctx", {.session_id = "s"}), "foo", "bar"))},
      {"158-file-copy-two-sources",
       busybox().file(FileActions().copy(local("ctx", {.session_id = "s"}), "a", "/x").copy(alpine(), "/etc/passwd", "/y"))},
      {"164-file-copy-unicode", busybox().file(FileActions().copy(local("ctx", {.session_id = "s"}), "ü <b>&", "日本\u2028"))},
      {"168-merge-three-names",
       merge({busybox(), scratch().file(mkfile("/a", "a")), image("alpine", {.name = "alp"})}, "my merge")},
      {"170-merge-scratch", merge({scratch().file(mkfile("/a", "a")), scratch(), scratch().file(mkfile("/b", "b"))})},
      {"172-diff-basic", diff(busybox(), busybox().run({"touch", "/x"}).root())},
      {"174-diff-scratch-lower", diff(scratch(), scratch().file(mkfile("/a", "a")))},
      {"178-merge-of-diffs", merge({busybox(), step("one"), step("two")})},
      {"184-dag-dup-vertices", merge({same, again})},
  };
}

class SameBytesAsBuildKit : public testing::TestWithParam<Recorded> {};

TEST_P(SameBytesAsBuildKit, WritesTheVector) {
  std::ifstream in(std::string(CAIRN_SOURCE_DIR) + "/tests/golden/llb/" + GetParam().vector + ".pb", std::ios::binary);
  ASSERT_TRUE(in) << "no such vector";
  std::ostringstream recorded;
  recorded << in.rdbuf();
  const auto written = marshal(GetParam().state, as_recorded());
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(testing::PrintToString(*written), testing::PrintToString(recorded.str()));
}

INSTANTIATE_TEST_SUITE_P(Sources, SameBytesAsBuildKit, testing::ValuesIn(sources()));
INSTANTIATE_TEST_SUITE_P(RemoteSources, SameBytesAsBuildKit, testing::ValuesIn(remote_sources()));
INSTANTIATE_TEST_SUITE_P(Execs, SameBytesAsBuildKit, testing::ValuesIn(execs()));
INSTANTIATE_TEST_SUITE_P(Others, SameBytesAsBuildKit, testing::ValuesIn(others()));

std::string result_digest(const State& state) {
  const auto bytes = marshal(state, as_recorded());
  const auto loaded = load_definition(*bytes);
  return loaded->vertices[loaded->result->vertex]->digest.str();
}

TEST(LlbVertexDigests, V1ToV5OfTheSpecification) {
  const std::string path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const State base = alpine().env("PATH", path);
  const State echo = base.shell("echo hi").root();
  const State context =
      local("context", {.session_id = "sess1", .follow_paths = {"foo"}, .shared_key_hint = "context"});
  const CopyOptions as_dockerfile{.follow_symlink = true,
                                  .dir_copy_contents = true,
                                  .create_dest_path = true,
                                  .allow_wildcard = true,
                                  .allow_empty_wildcard = true};
  EXPECT_EQ(result_digest(base), "sha256:a7f9733e307dd352c82d43053b783dd17bb2ec2c36214908ce393e41545c8b51");
  EXPECT_EQ(result_digest(echo), "sha256:12ba4d28f951f080d9f5aa5807bf6053293b49b8c2e9184ead27de6580795f6f");
  EXPECT_EQ(result_digest(context), "sha256:7f66615949d866fd82413310f965d2e79747ac38409abf211ed7bb1141fdaeff");
  EXPECT_EQ(result_digest(echo.file(FileActions().copy(context, "foo", "/bar", as_dockerfile))),
            "sha256:9d77c11636b2823e9d68fa12a4281237a25a85798f8bfde16a0d790cad68ccd6");
  // V3: the head over V2.
  wire::DecodeBudget budget;
  const auto message = wire::decode_definition(*marshal(echo, as_recorded()), budget);
  EXPECT_EQ(message->metadata.count("sha256:bb404e43326b76d2ef7dbb371f03ac1f4d0cca2151233be4aaeafc981f6e8d93"), 1u);
}

TEST(Llb, ScratchHasNoOps) { EXPECT_EQ(marshal(scratch()).value(), ""); }

TEST(Llb, LocalWithoutSessionGetsADifferentIdInEachMarshal) {
  EXPECT_NE(marshal(local("context")).value(), marshal(local("context")).value());
}

TEST(Llb, LaterEnvOfTheSameKeyReplaces) {
  EXPECT_EQ(result_digest(busybox().env("A", "1").env("B", "2").env("A", "3").run({"x"}).root()),
            result_digest(busybox().env("B", "2").env("A", "3").run({"x"}).root()));
}

TEST(Llb, OptionsOfOneRunDoNotStick) {
  const State after = busybox().run({"x"}, {.env = {{"A", "1"}}, .cwd = "/w", .user = "u"}).root();
  const auto bytes = marshal(after.run({"y"}).root(), as_recorded());
  const auto loaded = load_definition(*bytes);
  const auto& meta = *std::get<wire::ExecOp>(loaded->vertices.back()->op.op).meta;
  EXPECT_TRUE(meta.env.empty());
  EXPECT_EQ(meta.cwd, "/");
  EXPECT_EQ(meta.user, "");
}

TEST(Llb, IgnoreCacheAndNameReachTheVertex) {
  const auto bytes = marshal(busybox().run({"x"}, {.notes = {.ignore_cache = true}, .name = "again"}).root(), as_recorded());
  const auto loaded = load_definition(*bytes);
  EXPECT_TRUE(loaded->vertices.back()->ignore_cache);
  EXPECT_EQ(loaded->vertices.back()->name, "again");
}

TEST(Llb, TmpfsHasNoInputAndNoOutput) {
  const auto bytes = marshal(busybox().run({"x"}, {.mounts = {{.dest = "/t", .tmpfs = true, .tmpfs_size = 4096}}}).root());
  const auto loaded = load_definition(*bytes);
  const auto& mount = std::get<wire::ExecOp>(loaded->vertices.back()->op.op).mounts.at(1);
  EXPECT_EQ(mount.type, wire::MountType::tmpfs);
  EXPECT_EQ(mount.tmpfs->size, 4096);
  EXPECT_EQ(mount.input, wire::no_input);
  EXPECT_EQ(mount.output, wire::no_output);
}

TEST(Llb, MistakesAreReportedByMarshal) {
  const auto message = [](const State& state) {
    const auto bytes = marshal(state);
    return bytes ? std::string("no error") : bytes.error().message;
  };
  EXPECT_THAT(message(image("Not A Reference")), HasSubstr("Not A Reference"));
  EXPECT_THAT(message(image("busybox@sha256:12")), HasSubstr("digest"));
  EXPECT_THAT(message(oci_layout("foo/bar:latest")), HasSubstr("no digest"));
  EXPECT_THAT(message(image_blob("example.com/a")), HasSubstr("no digest"));
  EXPECT_THAT(message(image_blob("example.com/a:1@sha256:" + std::string(64, 'a'))), HasSubstr("has a tag"));
  EXPECT_THAT(message(git("file:///srv/repo.git")), HasSubstr("none of https, http, ssh and git"));
  EXPECT_THAT(message(git("https:///repo.git")), HasSubstr("no host"));
  EXPECT_THAT(message(git("https://example.com/r.git#main")), HasSubstr("fragment"));
  EXPECT_THAT(message(http("ftp://example.com/x")), HasSubstr("ftp://example.com/x"));
  EXPECT_THAT(message(busybox().run({}).root()), HasSubstr("without arguments"));
  EXPECT_THAT(message(busybox().run({"x"}).mount_output("/none")), HasSubstr("no output at /none"));
  EXPECT_THAT(message(busybox().run({"x"}, {.read_only_root = true}).root()), HasSubstr("no output at /"));
  EXPECT_THAT(message(with_mount({.dest = "/"})), HasSubstr("two mounts at /"));
  EXPECT_THAT(message(busybox().file(FileActions())), HasSubstr("without actions"));
  EXPECT_THAT(message(image("BAD REF").run({"x"}).root()), HasSubstr("BAD REF"));
}

TEST(Llb, OneRepositoryHasOneNameWhateverLeadsToIt) {
  const auto source = [](const State& state) {
    const auto bytes = marshal(state, as_recorded());
    return std::get<wire::SourceOp>(load_definition(*bytes)->vertices.front()->op.op);
  };
  EXPECT_EQ(source(git("git@example.com:team/r.git", {.ref = "v1"})).identifier, "git://example.com/team/r.git#v1");
  EXPECT_EQ(source(git("https://example.com/team/./r.git?x=1", {.ref = "v1"})).identifier, "git://example.com/team/r.git#v1");
  EXPECT_EQ(source(git("https://example.com/a%20b%2", {.subdir = "d"})).identifier, "git://example.com/a b%2#:d");
  const auto ssh = source(git("git@example.com:team/r.git", {.ssh_socket = "mine"}));
  EXPECT_EQ(ssh.attrs.at("git.fullurl"), "git@example.com:team/r.git");
  EXPECT_EQ(ssh.attrs.at("git.mountsshsock"), "mine");
  EXPECT_EQ(ssh.attrs.count("git.knownsshhosts"), 0u);
  const auto bare = source(git("git://example.com/r", {.auth_token_secret = "", .auth_header_secret = ""}));
  EXPECT_EQ(bare.attrs.count("git.authtokensecret") + bare.attrs.count("git.authheadersecret") + bare.attrs.count("git.mountsshsock"), 0u);
}

TEST(Llb, BundlesOfGitAreNamedByTheirBlob) {
  const std::string bundle = "oci-layout+blob://b@sha256:" + std::string(64, 'b');
  const auto bytes = marshal(git("https://example.com/r.git", {.checksum = std::string(40, '1'), .bundle = bundle, .bundle_session_id = "s", .bundle_store_id = "layout"}));
  const auto loaded = load_definition(*bytes);
  const auto& attrs = std::get<wire::SourceOp>(loaded->vertices.front()->op.op).attrs;
  EXPECT_EQ(attrs.at("git.bundle"), bundle);
  EXPECT_EQ(attrs.at("oci.session"), "s");
  EXPECT_EQ(attrs.at("oci.store"), "layout");
}

// 200,000 steps deep: neither writing, loading nor letting go may recurse.
TEST(Llb, DepthCostsNoStack) {
  State state = busybox();
  for (int i = 0; i < 199'998; ++i) state = state.run({"x"}).root();
  const auto bytes = marshal(state, as_recorded());
  ASSERT_TRUE(bytes) << bytes.error().message;
  const auto loaded = load_definition(*bytes);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->vertices.size(), 199'999u);
}

}  // namespace
}  // namespace cairn::solver::llb

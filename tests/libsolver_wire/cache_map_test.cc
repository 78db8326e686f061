// SPDX-License-Identifier: Apache-2.0
// CacheMaps of graphs that golden.llb has not, the published digests of spec/solver 0.1, and what inspecting shows.
#include "libsolver/cache_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libbase/hash/sha256.h"
#include "libsolver/identifier.h"
#include "libsolver/inspect.h"
#include "libsolver/llb.h"
#include "libsolver/ops/cache_maps.h"
#include "tests/libsolver_wire/support.h"

namespace cairn::solver {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace test;

const char* const path_value = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string bytes_of(const llb::State& state) {
  llb::Platform amd64;
  amd64.os = "linux";
  amd64.architecture = "amd64";
  return llb::marshal(state, {.platform = amd64, .local_unique_id = "u"}).value();
}

base::Result<CacheMap> map_of(const llb::State& state) {
  const auto loaded = load_definition(bytes_of(state)).value();
  auto maps = pure_cache_maps(*loaded.vertices[loaded.result->vertex], "session");
  if (!maps) return tl::unexpected(maps.error());
  return maps->at(0);
}
std::string digest_of_map(const llb::State& state) { return map_of(state).value().digest.str(); }

llb::State base_image() { return llb::image("alpine").env("PATH", path_value); }
std::string error_of_source(wire::SourceOp source) {
  wire::Op op;
  op.op = std::move(source);
  const auto loaded = load_definition(definition_with(op)).value();
  const auto maps = pure_cache_maps(*loaded.vertices[0], "");
  return maps ? "no error" : maps.error().message;
}

TEST(CacheMaps, PublishedExecDigests) {
  const llb::Mount cache{.dest = "/root/.cache", .cache_id = "//root/.cache"};
  EXPECT_EQ(digest_of_map(base_image().shell("echo hi").root()),
            "sha256:c05fad748a0f082e241255d2becc8afbe482abefbd6bec68e15355f18490465c");  // D1
  EXPECT_EQ(digest_of_map(base_image().shell("echo \"a && b\" > /x").root()),
            "sha256:bc94127ecd28952fcfdfccf5bdaabdbfbcab6d9ff621ff147f4eb9009ee91420");  // D2
  EXPECT_EQ(digest_of_map(base_image().shell("echo hi", {.mounts = {cache}}).root()),
            "sha256:d6804190d3f9e4ab6cac1c2b0dbbd71be763cfee08aebde225154f2d4362c9bc");  // D3
}

TEST(CacheMaps, PublishedFileMergeAndDiffDigests) {
  const llb::CopyOptions as_dockerfile{.follow_symlink = true,
                                       .dir_copy_contents = true,
                                       .create_dest_path = true,
                                       .allow_wildcard = true,
                                       .allow_empty_wildcard = true};
  const auto context = llb::local("context");
  EXPECT_EQ(digest_of_map(base_image().file(llb::FileActions().copy(context, "foo", "/bar", as_dockerfile))),
            "sha256:9641dee0e959049309cc9ccbb158861ca6529b45bc7f551eb4a77c384c3579bd");  // D4
  EXPECT_EQ(digest_of_map(llb::merge({base_image(), context})),
            "sha256:436287a2dc2ce494f564331be9ea3a9f27ebec398567877043da2f618f33d6c8");  // D5
  EXPECT_EQ(digest_of_map(llb::diff(base_image(), context)),
            "sha256:164ae6dac10aea8de6cb7cda35914a10011485523f807ea840bca3e0ab19d8ff");  // D6
}

TEST(CacheMaps, PublishedSourceDigests) {
  EXPECT_EQ(image_chain_cache_map("sha256:7eaa7e5de62b70adb0d0c875f6a90ddd20b18fe9f215c3a9172f1011fffb7cc4").digest.str(),
            "sha256:f389a15b0192e0db58e05ed42287a61d8f77e21841256be23e0e8f2939652f16");  // G6
  EXPECT_EQ(selector_digest({"/"}).str(), "sha256:8a5edab282632443219e051e4ade2d1d5bbc671c781051bf1437897cbdfea0f1");
  EXPECT_EQ(selector_digest({"/buildx"}).str(), "sha256:2d1ed546f6ffdbe227aeec6641669ca0b942cb61a097da529ff6b4c08523041f");
}

TEST(CacheMaps, WhatDoesNotBelongToAnExecIsNotInItsKey) {
  wire::Op op = exec_op("");
  op.inputs.clear();
  std::get<wire::ExecOp>(op.op).mounts[0].input = wire::no_input;
  const auto map_text = [&] {
    const auto loaded = load_definition(definition_with(op)).value();
    return pure_cache_maps(*loaded.vertices[0], "").value().at(0).hashed;
  };
  auto& meta = *std::get<wire::ExecOp>(op.op).meta;
  meta.extra_hosts.push_back({"h", "1.2.3.4", {}});
  const std::string before = map_text();
  EXPECT_THAT(before, HasSubstr(R"("extraHosts":[{"Host":"h"}])"));
  meta.extra_hosts[0].ip = "5.6.7.8";
  meta.proxy_env.emplace().http_proxy = "proxy";
  EXPECT_EQ(map_text(), before);
}

TEST(CacheMaps, SeveralMountsOfOneInputSelectTheirPaths) {
  const llb::State deps = llb::local("deps");
  const auto map = map_of(base_image()
                              .run({"x"}, {.mounts = {{.dest = "/a", .source = deps, .selector = "b/c", .read_only = true},
                                                      {.dest = "/b", .source = deps, .selector = "/b", .read_only = true},
                                                      {.dest = "/c", .source = deps, .selector = "/a/../b0", .read_only = true}}})
                              .root()).value();
  ASSERT_EQ(map.deps.size(), 2u);
  EXPECT_THAT(map.deps[1].selectors, ElementsAre("/b/c", "/b", "/b0"));
  ASSERT_TRUE(map.deps[1].content);
  ASSERT_EQ(map.deps[1].content->size(), 2u);
  EXPECT_EQ(map.deps[1].content->at(0).path, "/b");
  EXPECT_EQ(map.deps[1].content->at(1).path, "/b0");
  EXPECT_FALSE(map.deps[0].content);
}

TEST(CacheMaps, MountsOfInputsThatAreNotThereAreErrors) {
  wire::Op op = exec_op("");
  op.inputs.clear();
  std::get<wire::ExecOp>(op.op).mounts[0].input = 7;
  const auto loaded = load_definition(definition_with(op)).value();
  const auto maps = pure_cache_maps(*loaded.vertices[0], "");
  ASSERT_FALSE(maps);
  EXPECT_THAT(maps.error().message, HasSubstr("input 7, but there are 0"));
}

TEST(CacheMaps, OwnersOfInputsThatAreNotThereAreErrors) {
  wire::FileActionMkDir directory;
  directory.owner.emplace().user.emplace().user = wire::NamedUserOpt{"app", 3, {}};
  wire::FileOp file;
  file.actions.emplace_back().action = directory;
  wire::Op op;
  op.op = file;
  const auto loaded = load_definition(definition_with(op)).value();
  const auto maps = pure_cache_maps(*loaded.vertices[0], "");
  ASSERT_FALSE(maps);
  EXPECT_THAT(maps.error().message, HasSubstr("input 3, but there are 0"));
}

TEST(CacheMaps, BadSourceAttributesAreErrors) {
  EXPECT_THAT(error_of_source({"local://x", {{"local.followpaths", "not json"}}, {}}), HasSubstr("local.followpaths"));
  EXPECT_THAT(error_of_source({"local://x", {{"local.followpaths", "[1]"}}, {}}), HasSubstr("JSON list of strings"));
  EXPECT_THAT(error_of_source({"local://x", {{"local.metadatatransfer", "maybe"}}, {}}), HasSubstr("not a boolean"));
  EXPECT_THAT(error_of_source({"no scheme", {}, {}}), HasSubstr("has no scheme"));
  EXPECT_THAT(error_of_source({"foo://bar", {}, {}}), HasSubstr("unknown scheme"));
  EXPECT_THAT(error_of_source({"docker-image+blob://x", {}, {}}), HasSubstr("@sha256"));
  const std::string blob = "docker-image+blob://x@sha256:" + std::string(64, 'a');
  EXPECT_THAT(error_of_source({blob, {{"http.perm", "0x"}}, {}}), HasSubstr("not a number"));
  EXPECT_EQ(error_of_source({blob, {{"http.perm", "0644"}, {"http.uid", "5"}}, {}}), "no error");
}

TEST(CacheMaps, RemoteSourcesAreUnavailable) {
  for (const char* remote : {"docker-image://a", "oci-layout://a", "git://a", "http://a", "https://a"}) {
    const auto loaded = load_definition(definition_with(source_op(remote))).value();
    const auto maps = pure_cache_maps(*loaded.vertices[0], "");
    ASSERT_FALSE(maps);
    EXPECT_EQ(maps.error().code, base::ErrorCode::unavailable) << remote;
  }
}

TEST(Selectors, PathsAsInGo) {
  EXPECT_EQ(rooted_path(""), "/");
  EXPECT_EQ(rooted_path("a//b/./c/"), "/a/b/c");
  EXPECT_EQ(rooted_path("../../a/../b"), "/b");
  EXPECT_EQ(path_base(""), ".");
  EXPECT_EQ(path_base("///"), "/");
  EXPECT_EQ(path_base("/a/b//"), "b");
  EXPECT_EQ(path_base("a"), "a");
  EXPECT_TRUE(has_wildcard("a*"));
  EXPECT_FALSE(has_wildcard("a\\*b\\?\\["));
  EXPECT_THAT(dedupe_paths({"/b/c", "/a", "/b", "/a", "/bc"}), ElementsAre("/a", "/b", "/bc"));
}

TEST(Identifiers, ImageReferencesAreCompleted) {
  const std::string digest = "sha256:" + std::string(64, 'a');
  EXPECT_EQ(normalize_image_reference("busybox").value(), "docker.io/library/busybox:latest");
  EXPECT_EQ(normalize_image_reference("user/app:1").value(), "docker.io/user/app:1");
  EXPECT_EQ(normalize_image_reference("localhost/app").value(), "localhost/app:latest");
  EXPECT_EQ(normalize_image_reference("r.io:5000/a/b@" + digest).value(), "r.io:5000/a/b@" + digest);
  EXPECT_EQ(normalize_image_reference("index.docker.io/busybox").value(), "docker.io/library/busybox:latest");
  for (const char* bad : {"", "UPPER", "a b", "a//b", "a:", "a:.x", "-a", "a___b", "a@sha256:12", "r.io:x/a", ":tag", "a..b"}) {
    EXPECT_FALSE(normalize_image_reference(bad)) << bad;
  }
}

TEST(Inspect, ShowsEveryOpInTheOrderOfTheWire) {
  const auto state = base_image().run({"x"}, {.mounts = {{.dest = "/s", .source = llb::local("ctx"), .read_only = true}}}).root();
  const auto shown = nlohmann::json::parse(inspect_json(bytes_of(state)).value());
  EXPECT_EQ(shown.at("format"), 1);
  const auto& ops = shown.at("ops");
  ASSERT_EQ(ops.size(), 4u);
  EXPECT_EQ(ops[0].at("kind"), "source");
  EXPECT_TRUE(ops[0].at("cache_maps").empty());  // an image: it takes a registry to know
  EXPECT_EQ(ops[1].at("name"), "local://ctx");
  EXPECT_THAT(ops[1].at("cache_maps").at(0).at("digest").get<std::string>(), HasSubstr("random:"));
  const auto& deps = ops[2].at("cache_maps").at(0).at("deps");
  EXPECT_EQ(deps.at(0).at("content"), false);
  EXPECT_EQ(deps.at(1).at("content"), true);
  EXPECT_EQ(deps.at(1).at("selectors"), nlohmann::json::array({"/"}));
  EXPECT_EQ(deps.at(1).at("selector"), selector_digest({"/"}).str());
  EXPECT_EQ(ops[3].at("kind"), "return");
  EXPECT_EQ(ops[3].at("name"), "");
  EXPECT_EQ(ops[3].at("inputs").at(0).at("digest"), ops[2].at("vertex_digest"));
  EXPECT_EQ(ops[3].at("index"), 3);
}

TEST(Inspect, TextHasOneLineForEachOpAndNoControlCharacters) {
  const std::string text = inspect_text(bytes_of(base_image().run({"a\x1b[31m", "b\n"}).root())).value();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
  EXPECT_THAT(text, HasSubstr("a\\x1b[31m b\\x0a"));
}

TEST(Inspect, PassesLoadErrorsOn) {
  EXPECT_FALSE(inspect_json("\x0a"));
  EXPECT_FALSE(inspect_text("\x0a"));
  EXPECT_EQ(inspect_json("").value(), R"({"format":1,"ops":[]})");
}

}  // namespace
}  // namespace cairn::solver

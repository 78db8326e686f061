// SPDX-License-Identifier: Apache-2.0
// docker-image:// and the blob sources against a real registry on the loopback: what is fetched, and when.
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "libsolver/llb.h"
#include "libsolver/sources/oci_layout.h"
#include "tests/libsolver_sources/remote_fixture.h"
#include "tests/support/http_server.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/registry_server.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using testing::HasSubstr;

class ImageSourceTest : public RemoteSourceTest {
 protected:
  static wire::Platform linux(const std::string& architecture) {
    wire::Platform platform;
    platform.os = "linux";
    platform.architecture = architecture;
    return platform;
  }
  static test::ImageSpec spec(std::vector<std::string> layer_tars, const std::string& architecture = "amd64") {
    test::ImageSpec image;
    image.layer_tars = std::move(layer_tars);
    image.architecture = architecture;
    return image;
  }
  // A layer with one file.
  static std::string layer(const std::string& name, const std::string& bytes) {
    const test::TempDir dir;
    test::write_text(dir / name, bytes);
    return test::tar_of(dir.path());
  }
  SolveRequest request_of(const llb::State& state) {
    SolveRequest made;
    made.definition = must(load_definition(must(llb::marshal(state, {.platform = linux("amd64")}))));
    return made;
  }
  SolveRequest image(const std::string& reference, llb::ImageOptions options = {}) {
    return request_of(llb::image(reference, options));
  }
  std::string app(const std::string& tag = "v1") const { return registry.host() + "/team/app:" + tag; }
  // Of the blobs that are layers of the first image.
  std::size_t layers_fetched() { return recorder.count("GET", "/blobs/") - documents_fetched; }

  test::RegistryServer registry;
  test::TempDir images;
  std::string low = layer("low", "lower bytes"), high = layer("high", "upper bytes");
  BlobDigest manifest = test::write_layout(images / "one", spec({low, high}), "v1");
  std::size_t documents_fetched = 1;  // a config is a blob, too
  void SetUp() override {
    fetcher = remote::make_http_fetcher({});  // a real registry may take its time
    registry.push(images / "one", "team/app");
  }
};

TEST_F(ImageSourceTest, ATagIsAskedForAndItsLayersWaitUntilSomebodyNeedsThem) {
  EXPECT_TRUE(executes(image(app())));
  EXPECT_TRUE(result->is_lazy());
  EXPECT_EQ(layers_fetched(), 0u);
  EXPECT_EQ(recorder.count("HEAD", "/manifests/v1"), 1u);
  EXPECT_EQ(recorder.count("GET", "/manifests/"), 1u);
  EXPECT_EQ(content("low"), "lower bytes");
  EXPECT_EQ(content("high"), "upper bytes");
  EXPECT_EQ(layers_fetched(), 2u);
  EXPECT_EQ(result->info().facts.type, cache::RecordType::source_image);

  EXPECT_FALSE(executes(image(app())));
  EXPECT_EQ(recorder.count("HEAD", "/manifests/v1"), 2u);
  EXPECT_EQ(recorder.count("GET", ""), 4u);
}

// A registry of one image, by its layout, that first asks somebody about each blob.
class LayoutServer {
 public:
  using Judge = std::function<void(const std::string& digest, test::HttpReply&)>;
  LayoutServer(const base::HostPath& layout, const BlobDigest& manifest, Judge judge)
      : server_([layout, manifest, judge = std::move(judge)](const test::HttpRequest& request, test::HttpReply& reply) {
          std::string digest = request.target.substr(request.target.rfind('/') + 1);
          const bool is_manifest = request.target.find("/manifests/") != std::string::npos;
          if (is_manifest) digest = manifest.str();
          else judge(digest, reply);
          if (reply.is_closed()) return;
          const std::string bytes = must(base::read_file(layout / ("blobs/sha256/" + digest.substr(7)), 64 << 20));
          test::HttpReply::Headers headers{{"Docker-Content-Digest", digest}};
          if (is_manifest) headers.emplace_back("Content-Type", "application/vnd.oci.image.manifest.v1+json");
          reply.send(200, headers, bytes);
        }) {}
  std::string reference() const { return server_.host() + "/team/app:v1"; }
  std::size_t count(const BlobDigest& blob) const { return server_.count("GET", "/v2/team/app/blobs/" + blob.str()); }

 private:
  test::HttpServer server_;
};

TEST_F(ImageSourceTest, LayersOfOneImageAreFetchedBesideEachOther) {
  const auto layers = must(must(OciLayout::open(images / "one")).resolve(manifest, linux("amd64"))).layers;
  std::atomic<int> begun{0};
  // Each layer comes when the other has been asked for, too.
  const LayoutServer server(images / "one", manifest, [&](const std::string& digest, test::HttpReply& reply) {
    if (digest != layers[0].digest.str() && digest != layers[1].digest.str()) return;
    ++begun;
    for (int i = 0; i < 60'000 && begun < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (begun < 2) reply.close();
  });
  EXPECT_TRUE(executes(image(server.reference())));
  EXPECT_EQ(content("low"), "lower bytes");
  EXPECT_EQ(content("high"), "upper bytes");
  EXPECT_EQ(server.count(layers[0].digest), 1u);
  EXPECT_EQ(server.count(layers[1].digest), 1u);
}

TEST_F(ImageSourceTest, ALayerThatFailsEndsTheOthers) {
  const auto layers = must(must(OciLayout::open(images / "one")).resolve(manifest, linux("amd64"))).layers;
  std::atomic<bool> asked_for_low{false};
  const LayoutServer server(images / "one", manifest, [&](const std::string& digest, test::HttpReply& reply) {
    if (digest == layers[0].digest.str()) {
      asked_for_low = true;
      reply.hang();  // for longer than any test lasts
    }
    if (digest != layers[1].digest.str()) return;
    for (int i = 0; i < 60'000 && !asked_for_low; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    reply.send(404, {}, "gone");
    reply.close();
  });
  EXPECT_TRUE(executes(image(server.reference())));
  const base::Status fetched = solver->fetch(*result);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code, ErrorCode::not_found) << fetched.error().message;
  EXPECT_THAT(fetched.error().message, HasSubstr(layers[1].digest.str()));
}

// How many bytes a step waits for is that of all layers together, and in the end all of them have come.
TEST_F(ImageSourceTest, ProgressCountsAllLayers) {
  const auto layers = must(must(OciLayout::open(images / "one")).resolve(manifest, linux("amd64"))).layers;
  const auto step = llb::image(app()).file(llb::FileActions().mkfile("/new", 0644, "new"));
  const SolveOutcome outcome = solve(request_of(step));
  ASSERT_TRUE(outcome.status) << outcome.status.error().message;
  EXPECT_EQ(sink.done_max, layers[0].size + layers[1].size);
  EXPECT_EQ(sink.total_max, layers[0].size + layers[1].size);
}

// The tag may move between two questions; one solve sees one state of it.
TEST_F(ImageSourceTest, TwoSourcesOfOneSolveAskForATagOnce) {
  const auto both = [&] { return request_of(llb::merge({llb::image(app()), llb::image(app(), {.layer_limit = 1})})); };
  EXPECT_EQ(solve(both()).count(StepState::executed), 3u);
  EXPECT_EQ(recorder.count("HEAD", "/manifests/v1"), 1u);
  EXPECT_EQ(solve(both()).count(StepState::executed), 0u);
  EXPECT_EQ(recorder.count("HEAD", "/manifests/v1"), 2u);  // another solve asks anew
}

TEST_F(ImageSourceTest, ALayerIsFetchedAfterARestartFromWhereItWasSeen) {
  EXPECT_TRUE(executes(image(app())));
  const cache::RecordId id = result->id();
  result.reset();
  reopen();
  result = must(store.cache->find(id));  // no source has run since
  EXPECT_EQ(content("high"), "upper bytes");
}

TEST_F(ImageSourceTest, AStepThatLooksIntoAnImageFetchesIt) {
  const auto step = llb::image(app()).file(llb::FileActions().mkfile("/new", 0644, "new"));
  SolveOutcome outcome = solve(request_of(step));
  ASSERT_TRUE(outcome.status) << outcome.status.error().message;
  result = std::move(outcome.result);
  EXPECT_EQ(content("low"), "lower bytes");
  EXPECT_EQ(layers_fetched(), 2u);
  outcome = solve(request_of(step));
  EXPECT_EQ(outcome.count(StepState::cached), 2u);
}

TEST_F(ImageSourceTest, ADigestIsKnownWithoutAsking) {
  EXPECT_TRUE(executes(image(registry.host() + "/team/app@" + manifest.str())));
  EXPECT_EQ(content("low"), "lower bytes");
  EXPECT_EQ(recorder.count("HEAD", ""), 0u);
  const std::size_t asked = recorder.count("", "");
  EXPECT_FALSE(executes(image(registry.host() + "/team/app@" + manifest.str())));
  result.reset();
  reopen();
  EXPECT_FALSE(executes(image(registry.host() + "/team/app@" + manifest.str())));
  EXPECT_EQ(recorder.count("", ""), asked);
  EXPECT_FALSE(executes(image(app(), {.checksum = manifest.str()})));
  const std::string other = "sha256:" + std::string(64, '1');
  expect_error(image(app(), {.checksum = other}), ErrorCode::corrupt, "is " + manifest.str() + ", but the source is pinned to " + other);
}

TEST_F(ImageSourceTest, AMovedTagIsAnotherImageThatSharesItsLowerLayer) {
  EXPECT_TRUE(executes(image(app())));
  EXPECT_EQ(content("high"), "upper bytes");
  test::write_layout(images / "two", spec({low, layer("high", "later bytes")}), "v1");
  registry.push(images / "two", "team/app");
  EXPECT_TRUE(executes(image(app())));
  EXPECT_EQ(content("high"), "later bytes");
  documents_fetched = 2;
  EXPECT_EQ(layers_fetched(), 3u);
}

TEST_F(ImageSourceTest, ThePlatformChoosesAmongTheManifestsOfAnIndex) {
  test::begin_layout(images / "many");
  std::vector<test::Described> entries;
  for (const std::string arch : {"amd64", "arm64"}) {
    entries.push_back(test::put_image(images / "many", spec({layer("arch", arch)}, arch)));
    entries.back().os = "linux";
    entries.back().architecture = arch;
  }
  test::Described index = test::put_index(images / "many", entries);
  index.tag = "multi";
  test::write_index_json(images / "many", {index});
  registry.push(images / "many", "team/app");
  EXPECT_TRUE(executes(image(app("multi"))));
  EXPECT_EQ(content("arch"), "amd64");
  EXPECT_TRUE(executes(image(app("multi"), {.platform = linux("arm64")})));
  EXPECT_EQ(content("arch"), "arm64");
  expect_error(image(app("multi"), {.platform = linux("s390x")}), ErrorCode::not_found,
               "has nothing for linux/s390x");
}

TEST_F(ImageSourceTest, CredentialsAreGivenWhenTheRegistryAsksForThem) {
  const test::RegistryServer closed(test::RegistryServer::Access::basic);
  closed.push(images / "one", "team/app");
  const std::string reference = closed.host() + "/team/app:v1";
  expect_error(image(reference), ErrorCode::unavailable, "the registry refuses who gives no credentials (status 401)");
  SolveRequest known = image(reference);
  known.secrets["REGISTRY_AUTH_" + closed.host()] = "cairn:wrong";
  expect_error(known, ErrorCode::unavailable, "the registry refuses the credentials of the secret REGISTRY_AUTH_");
  known.secrets["REGISTRY_AUTH_" + closed.host()] = test::RegistryServer::credentials + std::string("\n");
  EXPECT_TRUE(executes(known));
  EXPECT_EQ(content("low"), "lower bytes");
}

TEST_F(ImageSourceTest, OfflineTakesWhatIsKnownAndAsksNobody) {
  SolveRequest offline = image(app());
  offline.remote.ask = RemoteUse::Ask::never;
  expect_error(offline, ErrorCode::unavailable, "no registry may be asked");
  EXPECT_EQ(recorder.count("", ""), 0u);
  EXPECT_TRUE(executes(image(app())));
  result.reset();
  reopen();
  const std::size_t asked = recorder.count("", "");
  EXPECT_FALSE(executes(offline));
  EXPECT_EQ(recorder.count("", ""), asked);
  SolveRequest other = image(registry.host() + "/team/app@sha256:" + std::string(64, '1'));
  other.remote.ask = RemoteUse::Ask::never;
  expect_error(other, ErrorCode::unavailable, "is not known from before");
}

TEST_F(ImageSourceTest, WhatIsYoungEnoughIsBelievedUnlessItIsToBePulled) {
  SolveRequest lazy = image(app());
  lazy.remote.believed_for = std::chrono::hours(1);
  EXPECT_TRUE(executes(lazy));
  EXPECT_FALSE(executes(lazy));
  EXPECT_EQ(recorder.count("HEAD", ""), 1u);
  SolveRequest pulled = image(app(), {.resolve_mode = "pull"});
  pulled.remote.believed_for = std::chrono::hours(1);
  EXPECT_FALSE(executes(pulled));
  EXPECT_EQ(recorder.count("HEAD", ""), 2u);
  EXPECT_FALSE(executes(image(app(), {.resolve_mode = "local"})));
  EXPECT_EQ(recorder.count("HEAD", ""), 2u);
}

TEST_F(ImageSourceTest, ARegistryThatIsGoneDoesNotStopWhatIsHere) {
  std::string reference;
  {
    const test::RegistryServer short_lived;
    short_lived.push(images / "one", "team/app");
    reference = short_lived.host() + "/team/app:v1";
    EXPECT_TRUE(executes(image(reference)));
  }
  EXPECT_FALSE(executes(image(reference)));
  EXPECT_THAT(sink.output, HasSubstr("warning: "));
  EXPECT_THAT(sink.output, HasSubstr("it is taken as it was: " + manifest.str()));
  expect_error(image(reference, {.resolve_mode = "pull"}), ErrorCode::io, "resolve " + reference);
}

TEST_F(ImageSourceTest, ALimitTakesTheLowestLayers) {
  EXPECT_TRUE(executes(image(app(), {.layer_limit = 1})));
  EXPECT_EQ(content("low"), "lower bytes");
  EXPECT_FALSE(stat("high"));
  EXPECT_TRUE(executes(image(app())));
  EXPECT_TRUE(stat("high"));
}

TEST_F(ImageSourceTest, AnImageWithoutLayersIsScratch) {
  test::write_layout(images / "none", spec({}), "none");
  registry.push(images / "none", "team/app");
  const SolveOutcome outcome = solve(image(app("none")));
  ASSERT_TRUE(outcome.status) << outcome.status.error().message;
  EXPECT_FALSE(outcome.result);
}

TEST_F(ImageSourceTest, ALayoutGivesTheLayersThatARegistryHasNotGivenYet) {
  EXPECT_TRUE(executes(image(app())));
  EXPECT_TRUE(result->is_lazy());
  SolveRequest layout = request_of(llb::oci_layout("one@" + manifest.str(), {.store_id = "one"}));
  layout.oci_layouts.emplace("one", images / "one");
  SolveOutcome outcome = solve(layout);
  ASSERT_TRUE(outcome.status) << outcome.status.error().message;
  EXPECT_EQ(layers_fetched(), 0u);
}

TEST_F(ImageSourceTest, WhatIsNotThereIsSaidSo) {
  expect_error(image(app("none")), ErrorCode::not_found, "the registry has no manifests/none");
  expect_error(image(registry.host() + "/nobody/nothing:v1"), ErrorCode::not_found, "/nobody/nothing");
}

TEST_F(ImageSourceTest, ABlobIsAFile) {
  const BlobDigest blob = test::put_blob(images / "one", "the blob");
  // A config of an image is a blob of its own.
  const auto config = must(must(OciLayout::open(images / "one")).resolve(manifest, linux("amd64"))).config;
  const std::string reference = registry.host() + "/team/app@" + config.str();
  EXPECT_TRUE(executes(request("docker-image+blob://" + reference, {{"http.filename", "config.json"}, {"http.perm", "0640"}})));
  EXPECT_EQ(digest_text(content("config.json")), config.str());
  EXPECT_EQ(stat("config.json")->st_mode, S_IFREG | 0640u);
  EXPECT_EQ(stat("config.json")->st_mtime, 0);
  const std::size_t asked = recorder.count("", "");
  EXPECT_FALSE(executes(request("docker-image+blob://" + reference, {{"http.filename", "config.json"}, {"http.perm", "0640"}})));
  EXPECT_EQ(recorder.count("", ""), asked);

  SolveRequest layout = request("oci-layout+blob://one@" + blob.str(), {{"oci.store", "one"}});
  layout.oci_layouts.emplace("one", images / "one");
  EXPECT_TRUE(executes(layout));
  EXPECT_EQ(content(blob.hex()), "the blob");
  test::write_text(images / "one" / ("blobs/sha256/" + blob.hex()), "other bytes");
  layout.use_cache = UseCache::no;
  expect_error(layout, ErrorCode::corrupt, "its bytes have digest");
  SolveRequest offline = request("docker-image+blob://" + registry.host() + "/team/app@sha256:" + std::string(64, '1'));
  offline.remote.ask = RemoteUse::Ask::never;
  expect_error(offline, ErrorCode::unavailable, "no registry may be asked");
}

}  // namespace
}  // namespace cairn::solver

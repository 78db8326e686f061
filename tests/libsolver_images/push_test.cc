// SPDX-License-Identifier: Apache-2.0
// Images in a real registry: what is sent, what is not, and what others find there.
#include "tests/libsolver_images/image_fixture.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::solver {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ImagePush : public ImageTest {
 protected:
  std::string name(const std::string& rest) const { return registry.host() + "/" + rest; }
  Json inspect(const std::string& rest, const std::string& how) {
    return run_json({"skopeo", "inspect", how, "--tls-verify=false", "docker://" + name(rest)});
  }

  test::RegistryServer registry;
  std::unique_ptr<cache::Fetcher> fetcher = remote::make_http_fetcher({});
  RecordingFetcher recorder{fetcher};
  std::unique_ptr<cache::Registries> registries = remote::make_registries(recorder, {});
};

TEST_F(ImagePush, EveryTagStandsForTheImageAndAgainSendsNothing) {
  Machine machine(registries.get());
  solve(machine);
  const OutputAttributes attributes = {
      {"type", "registry"}, {"name", name("team/app:v1") + "," + name("team/app") + "," + name("other/app:v1")}};
  const ImagesExported first = exported(machine, attributes);
  EXPECT_THAT(first.names, testing::UnorderedElementsAre(name("team/app:v1"), name("team/app:latest"), name("other/app:v1")));
  for (const std::string tag : {"team/app:v1", "team/app:latest", "other/app:v1"})
    EXPECT_EQ(inspect(tag, "--no-tags")["Digest"], first.root->digest.str());
  EXPECT_EQ(recorder.count("POST", "mount="), 4u) << "the second repository takes over from the first";
  EXPECT_EQ(inspect("team/app:v1", "--config")["rootfs"]["diff_ids"].size(), 3u);

  const std::size_t uploads = recorder.count("POST", "/blobs/uploads/");
  const ImagesExported second = exported(machine, attributes);
  EXPECT_EQ(second.root->digest, first.root->digest);
  EXPECT_EQ(second.bytes, 0u);
  EXPECT_EQ(recorder.count("POST", "/blobs/uploads/"), uploads);
}

TEST_F(ImagePush, WhatIsPushedRunsElsewhere) {
  Machine machine(registries.get());
  solve(machine);
  exported(machine, {{"type", "registry"}, {"name", name("team/app:v1")}, {"oci-mediatypes", "true"}});
  run({"skopeo", "copy", "--src-tls-verify=false", "docker://" + name("team/app:v1"), "oci:" + path("l") + ":v1"});
  run({"umoci", "unpack", "--image", path("l") + ":v1", path("bundle")});
  EXPECT_EQ(bytes_of(path("bundle/rootfs/etc/motto")), "nothing is lost\n");
}

TEST_F(ImagePush, AnIndexIsPushedWithItsManifests) {
  Machine machine(registries.get());
  solve(machine);
  ImageExport both = order(machine, {{"type", "registry"}, {"name", name("team/multi:v1")}});
  both.images.push_back(both.images.front());
  both.images[1].platform = platform("arm64");
  both.images[1].config = "";
  const ImagesExported pushed = must(machine.solver().export_images(both, {}));
  EXPECT_EQ(pushed.root->media_type, "application/vnd.docker.distribution.manifest.list.v2+json");
  EXPECT_EQ(inspect("team/multi:v1", "--raw")["manifests"].size(), 2u);
  run({"skopeo", "copy", "--override-arch", "arm64", "--src-tls-verify=false", "docker://" + name("team/multi:v1"),
       "dir:" + path("arm")});
}

TEST_F(ImagePush, ByDigestNoTagIsSet) {
  Machine machine(registries.get());
  solve(machine);
  const ImagesExported pushed =
      exported(machine, {{"type", "image"}, {"name", name("team/app")}, {"push-by-digest", "true"}});
  EXPECT_THAT(pushed.names, ElementsAre(name("team/app@" + pushed.root->digest.str())));
  inspect("team/app@" + pushed.root->digest.str(), "--no-tags");
  EXPECT_NE(test::run_program(dir_.path(), {"skopeo", "inspect", "--tls-verify=false", "docker://" + name("team/app")}).code, 0);
}

TEST_F(ImagePush, LayersOfABaseImageNeverComeHere) {
  test::ImageSpec base;
  base.layer_tars = {test::tar_of(root())};
  test::write_layout(dir_ / "base", base, "v1");
  registry.push(dir_ / "base", "team/base");
  Machine machine(registries.get());
  machine.solve(must(load_definition(must(llb::marshal(llb::image(name("team/base:v1")))))));
  const ImagesExported pushed = exported(machine, {{"type", "registry"}, {"name", name("team/derived:v1")}});
  EXPECT_EQ(pushed.images.at(0).layers, 1u);
  EXPECT_EQ(recorder.count("POST", "mount="), 1u);
  const Json layers = inspect("team/derived:v1", "--no-tags")["Layers"];
  ASSERT_EQ(layers.size(), 1u);
  EXPECT_EQ(recorder.count("GET", layers[0].get<std::string>()), 0u);
}

TEST_F(ImagePush, OnlyNewLayersAreRewritten) {
  test::ImageSpec base;
  base.layer_tars = {test::tar_of(root())};
  test::write_layout(dir_ / "base", base, "v1");
  registry.push(dir_ / "base", "team/base");
  const std::string base_config =
      run({"skopeo", "inspect", "--config", "--raw", "--tls-verify=false", "docker://" + name("team/base:v1")});
  const llb::State state =
      llb::image(name("team/base:v1")).file(llb::FileActions().mkfile("/new", 0644, "new"));
  std::vector<Json> manifests;
  for (int i = 0; i < 2; ++i) {
    Machine machine(registries.get());
    machine.solve(must(load_definition(must(llb::marshal(state)))));
    ImageExport one = order(machine, {{"type", "registry"},
                                      {"name", name("team/derived:v1")},
                                      {"oci-mediatypes", "true"},
                                      {"rewrite-timestamp", "true"}});
    one.images[0].base_config = base_config;
    one.images[0].config = base_config;
    must(machine.solver().export_images(one, {}));
    manifests.push_back(inspect("team/derived:v1", "--raw"));
  }
  EXPECT_EQ(manifests[0], manifests[1]);
  const Json base_manifest = inspect("team/base:v1", "--raw");
  EXPECT_EQ(manifests[0]["layers"][0]["digest"], base_manifest["layers"][0]["digest"]);
  EXPECT_FALSE(manifests[0]["layers"][0].contains("annotations"));
  EXPECT_EQ(manifests[0]["layers"][1]["annotations"]["buildkit/rewritten-timestamp"], std::to_string(epoch));
}

TEST_F(ImagePush, ARegistryThatIsNotThereIsNamed) {
  Machine machine(registries.get()), alone(nullptr);
  solve(machine);
  solve(alone);
  const auto refused = [&](Machine& from, const std::string& where) {
    return from.solver().export_images(order(from, {{"type", "registry"}, {"name", where}}), {}).error().message;
  };
  EXPECT_THAT(refused(machine, "127.0.0.1:1/team/app"), HasSubstr("127.0.0.1:1/team/app"));
  EXPECT_THAT(refused(alone, name("team/app")), HasSubstr("reaches no registry"));
  EXPECT_THAT(exported(machine, {{"type", "image"}, {"name", "app"}}).warnings, ElementsAre(HasSubstr("kept nowhere")));
}

}  // namespace
}  // namespace cairn::solver

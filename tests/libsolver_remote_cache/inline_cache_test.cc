// SPDX-License-Identifier: Apache-2.0
// Caches within images: how BuildKit writes them, and an image in a real registry that another store finds results by.
#include <nlohmann/json.hpp>

#include "libbase/base64.h"
#include "libsolver/remote_cache/inline_cache.h"
#include "tests/libsolver_remote_cache/remote_cache_fixture.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/registry_server.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using nlohmann::json;
using testing::HasSubstr;

std::string digest(const std::string& of) { return base::digest_of<BlobDigest>(of).str(); }
CacheLayer layer(const std::string& name) {
  return {base::digest_of<BlobDigest>(name), 10, base::Compression::gzip, base::digest_of<DiffId>("diff of " + name)};
}

// A source, and a step on it with these layers.
WrittenCache cache_of(const std::vector<std::string>& layers) {
  WrittenCache cache;
  CacheChains chains;
  const auto source = *chains.add(digest("source"), {}, {});
  ChainResult result{.layers = {}, .created = base::from_unix_ns(0)};
  for (const std::string& name : layers) {
    result.layers.push_back(digest(name));
    cache.layers.emplace(digest(name), layer(name));
  }
  must(chains.add(digest("step"), {{{*source, digest("selector")}}}, {result}));
  cache.config = chains.config();
  return cache;
}
std::string step_json(const std::string& result) {
  const std::string source = fmt::format(R"({{"digest":"{}"}})", digest("source"));
  const bool source_is_first = digest("source") < digest("step");
  const std::string step = fmt::format(R"({{{}"digest":"{}","inputs":[[{{"selector":"{}","link":{}}}]]}})", result,
                                       digest("step"), digest("selector"), source_is_first ? 0 : 1);
  return source_is_first ? "[" + source + "," + step + "]" : "[" + step + "," + source + "]";
}

TEST(InlineCache, LayersAreNumberedAsTheImagesAre) {
  EXPECT_EQ(inline_cache_json(cache_of({"a", "b"}), {layer("a"), layer("b"), layer("c")}),
            step_json(R"("layers":[{"layer":1,"createdAt":"1970-01-01T00:00:00Z"}],)"));
  EXPECT_EQ(inline_cache_json(cache_of({"b"}), {layer("a"), layer("b")}),
            step_json(R"("chains":[{"layers":[1],"createdAt":"0001-01-01T00:00:00Z"}],)"));
}

TEST(InlineCache, LayersAreTheSameHoweverTheyAreCompressed) {
  CacheLayer other = layer("a");
  other.blob = base::digest_of<BlobDigest>("compressed in another way");
  EXPECT_THAT(inline_cache_json(cache_of({"a"}), {other}), HasSubstr(R"("layer":0)"));
}

TEST(InlineCache, WithoutAResultThereIsNone) {
  EXPECT_EQ(inline_cache_json(cache_of({"a", "b"}), {layer("a")}), "");
  EXPECT_EQ(inline_cache_json({}, {layer("a")}), "");
}

TEST(InlineCache, IsReadAsItWasWritten) {
  const std::vector<CacheLayer> image = {layer("a"), layer("b"), layer("a"), layer("c")};
  for (const auto& layers : {std::vector<std::string>{"a", "b", "a"}, {"b", "c"}, {"a"}}) {
    const WrittenCache cache = cache_of(layers);
    const auto read = parse_inline_cache(inline_cache_json(cache, image), image);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(inline_cache_json(*read, image), inline_cache_json(cache, image));
    EXPECT_EQ(read->layers.size(), 3u);
  }
}

TEST(InlineCache, WhatCannotBeIsRefused) {
  const std::vector<CacheLayer> image = {layer("a")};
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("{}"), std::string("null,"), std::string("[1]"),
        std::string(R"([],"layers":[])"), std::string("[]}{\"records\":[]"),
        step_json(R"("layers":[{"layer":1,"createdAt":"1970-01-01T00:00:00Z"}],)"),
        step_json(R"("layers":[{"layer":-1,"createdAt":"1970-01-01T00:00:00Z"}],)"),
        step_json(R"("chains":[{"layers":[0,4],"createdAt":"0001-01-01T00:00:00Z"}],)"),
        fmt::format(R"([{{"digest":"{}","inputs":[[{{"link":0}}]]}}])", digest("x")),
        fmt::format(R"([{{"digest":"{}","inputs":[[{{"link":9}}]]}}])", digest("x"))}) {
    EXPECT_FALSE(parse_inline_cache(text, image)) << text;
  }
}

class InlineImageTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("no_proxy", "*", 1); }

  // The layers of the machine's result, which are in the layout then.
  std::vector<CacheLayer> layers_of(Machine& machine) {
    const CacheAddress local{.type = CacheAddress::Type::local,
                             .place = layout_.path().str(),
                             .tag = fmt::format("cache-{}", ++caches_),
                             .digest = {}};
    const CacheExported exported = must(machine.export_to(local, ExportOptions::Mode::min));
    const json manifest = json::parse(blob(exported.manifest.str()));
    const WrittenCache cache{must(parse_cache_config(blob(manifest.at("config").at("digest")))), {}};
    std::map<std::string, CacheLayer> described;
    for (const json& each : manifest.at("layers")) {
      const std::string name = each.at("digest");
      described.emplace(
          name, CacheLayer{*BlobDigest::parse(name), each.at("size"), base::Compression::gzip,
                           *DiffId::parse(std::string(each.at("annotations").at("containerd.io/uncompressed")))});
    }
    // Each stands on another; the topmost is the one on which none does.
    std::vector<CacheLayer> layers;
    std::int64_t below = -1;
    for (std::size_t i = 0; i < cache.config.layers.size(); ++i) {
      for (std::size_t at = 0; at < cache.config.layers.size(); ++at) {
        if (cache.config.layers[at].parent != below) continue;
        layers.push_back(described.at(cache.config.layers[at].blob));
        below = static_cast<std::int64_t>(at);
        break;
      }
    }
    EXPECT_EQ(layers.size(), cache.config.layers.size());
    return layers;
  }
  std::string blob(const std::string& name) const {
    return must(base::read_file(layout_.path() / ("blobs/sha256/" + name.substr(7)), 1 << 20));
  }
  std::string put(const std::string& text) { return test::put_blob(layout_.path(), text).str(); }
  // The descriptor of an image of these layers.
  json image(const std::vector<CacheLayer>& layers, const json& inline_cache, const std::string& architecture) {
    json config = {
        {"architecture", architecture}, {"os", "linux"}, {"rootfs", {{"type", "layers"}, {"diff_ids", json::array()}}}};
    json manifest = {
        {"schemaVersion", 2}, {"mediaType", "application/vnd.oci.image.manifest.v1+json"}, {"layers", json::array()}};
    for (const CacheLayer& each : layers) {
      config["rootfs"]["diff_ids"].push_back(each.diff.str());
      manifest["layers"].push_back({{"mediaType", "application/vnd.oci.image.layer.v1.tar+gzip"},
                                    {"digest", each.blob.str()},
                                    {"size", each.size}});
    }
    if (!inline_cache.is_null()) config["moby.buildkit.cache.v0"] = inline_cache;
    manifest["config"] = {{"mediaType", "application/vnd.oci.image.config.v1+json"},
                          {"digest", put(config.dump())},
                          {"size", config.dump().size()}};
    return {{"mediaType", manifest["mediaType"]},
            {"digest", put(manifest.dump())},
            {"size", manifest.dump().size()},
            {"platform", {{"architecture", architecture}, {"os", "linux"}}}};
  }
  void tag(json descriptor) {
    descriptor["annotations"] = {{"org.opencontainers.image.ref.name", "v1"}};
    const json index = {{"schemaVersion", 2}, {"manifests", {descriptor}}};
    test::write_text(layout_.path() / "index.json", index.dump());
  }
  CacheAddress in_layout() const {
    return {.type = CacheAddress::Type::local, .place = layout_.path().str(), .tag = "v1", .digest = {}};
  }
  json made_by(Machine& machine, const std::string& name, const std::string& architecture) {
    machine.solve(Machine::chain(name, 2));
    const std::vector<CacheLayer> layers = layers_of(machine);
    return image(layers, base::base64(must(machine.solver().inline_cache(*machine.outcome.keys, layers, {}))),
                 architecture);
  }

  test::TempDir layout_;
  int caches_ = 0;  // that were exported there
  std::unique_ptr<cache::Fetcher> fetcher_ = remote::make_http_fetcher({});
  std::unique_ptr<cache::Registries> registries_ = remote::make_registries(*fetcher_, {});
};

TEST_F(InlineImageTest, ResultsAreFoundByAnImageInARegistry) {
  const test::RegistryServer registry;
  Machine here(nullptr), there(registries_.get());
  tag(made_by(here, "a", "amd64"));
  registry.push(layout_.path(), "team/app");
  const CacheAddress from{
      .type = CacheAddress::Type::registry, .place = registry.host() + "/team/app", .tag = "v1", .digest = {}};
  EXPECT_EQ(there.solve(Machine::chain("a", 2), {from}), 0) << there.import_error;
  EXPECT_TRUE(there.outcome.result->is_lazy());
  EXPECT_EQ(must(there.content("a/1")), "a 1");
  // What is below, too: keys travel, and the layers of the image are there.
  Machine third(registries_.get());
  EXPECT_EQ(third.solve(Machine::chain("a", 3), {from}), 1);
  // An image is not written over by a cache.
  const auto exported = there.export_to(from);
  ASSERT_FALSE(exported);
  EXPECT_THAT(exported.error().message, HasSubstr("it is an image"));
}

TEST_F(InlineImageTest, AllPlatformsOfAnIndexAreOneCache) {
  Machine one(nullptr), two(nullptr), there(nullptr);
  const json first = made_by(one, "a", "amd64"), second = made_by(two, "b", "arm64");
  const json index = {{"schemaVersion", 2},
                      {"mediaType", "application/vnd.oci.image.index.v1+json"},
                      {"manifests", {first, second, image({}, nullptr, "riscv64")}}};
  tag({{"mediaType", index["mediaType"]}, {"digest", put(index.dump())}, {"size", index.dump().size()}});
  EXPECT_EQ(there.solve(Machine::chain("a", 2), {in_layout()}), 0) << there.import_error;
  EXPECT_EQ(there.solve(Machine::chain("b", 2), {in_layout()}), 0) << there.import_error;
  EXPECT_EQ(must(there.content("b/1")), "b 1");
}

TEST_F(InlineImageTest, AnImageWithoutACacheOrWithADamagedOneIsAnErrorThatSaysSo) {
  Machine here(nullptr);
  here.solve(Machine::chain("a", 1));
  const std::vector<CacheLayer> layers = layers_of(here);
  const std::vector<std::pair<json, std::string>> images = {{nullptr, "no cache is in its config"},
                                                            {"?", "no base64"},
                                                            {5, "no base64"},
                                                            {base::base64("nothing"), "not JSON"},
                                                            {base::base64("[{}]"), "a record"}};
  for (const auto& [cache, part] : images) {
    tag(image(layers, cache, "amd64"));
    Machine there(nullptr);
    EXPECT_EQ(there.solve(Machine::chain("a", 1), {in_layout()}), 2) << part;
    EXPECT_THAT(there.import_error, HasSubstr(part));
  }
}

}  // namespace
}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// What an OCI layout that is damaged, or made to do harm, gives: an error that names what is wrong and where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "libbase/hash/sha256.h"
#include "libsolver/sources/oci_layout.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using base::Error;
using base::ErrorCode;
using nlohmann::json;
using test::Described;
using test::ImageSpec;
using testing::HasSubstr;

struct OciHostileTest : testing::Test {
  OciHostileTest() { spec.layer_tars = {"a tar"}; }

  base::Result<OciImage> resolve(const BlobDigest& root) {
    wire::Platform platform;
    platform.os = "linux";
    platform.architecture = "amd64";
    auto layout = OciLayout::open(dir);
    if (!layout) return tl::unexpected(layout.error());
    return layout->resolve(root, platform);
  }
  void expect_error(const base::Result<OciImage>& result, ErrorCode code, const std::string& part) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << result.error().message;
    EXPECT_THAT(result.error().message, HasSubstr(part));
    EXPECT_THAT(result.error().message, HasSubstr(dir.str()));
  }
  base::HostPath blob(const BlobDigest& digest) { return dir / ("blobs/sha256/" + digest.hex()); }
  json read_json(const BlobDigest& digest) { return json::parse(base::read_file(blob(digest), 1 << 20).value()); }
  BlobDigest put(const json& document) { return test::put_blob(dir, document.dump()); }
  // The manifest of the image, changed by f.
  template <class F>
  BlobDigest changed_manifest(F&& f) {
    json manifest = read_json(test::write_layout(dir, spec));
    f(manifest);
    return put(manifest);
  }

  ImageSpec spec;
  test::TempDir temporary;
  base::HostPath dir = temporary / "layout";
};

TEST_F(OciHostileTest, NotALayout) {
  EXPECT_EQ(OciLayout::open(dir).error().code, ErrorCode::not_found);
  ::mkdir(dir.c_str(), 0755);
  const auto empty = OciLayout::open(dir);
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, ErrorCode::not_found);
  EXPECT_THAT(empty.error().message, HasSubstr("is not an OCI layout"));
  test::write_text(dir / "oci-layout", R"({"imageLayoutVersion":"2.0.0"})");
  EXPECT_EQ(OciLayout::open(dir).error().code, ErrorCode::unavailable);
  test::write_text(dir / "oci-layout", "{}");
  EXPECT_EQ(OciLayout::open(dir).error().code, ErrorCode::corrupt);
  test::write_text(dir / "oci-layout", "nonsense");
  EXPECT_EQ(OciLayout::open(dir).error().code, ErrorCode::corrupt);
}

TEST_F(OciHostileTest, MissingBlobsAreNamed) {
  const BlobDigest manifest = test::write_layout(dir, spec);
  const auto nothing = base::digest_of<BlobDigest>("nothing");
  expect_error(resolve(nothing), ErrorCode::not_found, nothing.str());

  const auto image = resolve(manifest);
  ASSERT_TRUE(image);
  ::unlink(blob(image->layers[0].digest).c_str());
  const auto layer = OciLayout::open(dir)->open_layer(image->layers[0]);
  ASSERT_FALSE(layer);
  EXPECT_EQ(layer.error().code, ErrorCode::not_found);
  EXPECT_THAT(layer.error().message, HasSubstr(image->layers[0].digest.str()));
  ::unlink(blob(image->config).c_str());
  expect_error(resolve(manifest), ErrorCode::not_found, image->config.str());
}

TEST_F(OciHostileTest, ChangedBytesAreCorrupt) {
  const BlobDigest manifest = test::write_layout(dir, spec);
  const BlobDigest config = resolve(manifest)->config;
  std::string bytes = base::read_file(blob(config), 1 << 20).value();
  bytes[bytes.size() / 2] ^= 1;
  test::write_text(blob(config), bytes);
  expect_error(resolve(manifest), ErrorCode::corrupt, config.str());
}

TEST_F(OciHostileTest, WrongSizesAreCorrupt) {
  expect_error(resolve(changed_manifest([](json& m) { m["config"]["size"] = 1; })), ErrorCode::corrupt, "announced");
  expect_error(resolve(changed_manifest([](json& m) { m["config"]["size"] = -1; })), ErrorCode::corrupt, "size");
  expect_error(resolve(changed_manifest([](json& m) { m["config"]["size"] = "5"; })), ErrorCode::corrupt, "size");

  const auto image = resolve(changed_manifest([](json& m) { m["layers"][0]["size"] = 1; }));
  ASSERT_TRUE(image);
  const auto layer = OciLayout::open(dir)->open_layer(image->layers[0]);
  ASSERT_FALSE(layer);
  EXPECT_EQ(layer.error().code, ErrorCode::corrupt);
}

TEST_F(OciHostileTest, ALayerThatShrinksOrGrowsWhileReadFailsTheStream) {
  const auto image = resolve(test::write_layout(dir, spec));
  ASSERT_TRUE(image);
  const base::HostPath file = blob(image->layers[0].digest);
  const std::string bytes = base::read_file(file, 1 << 20).value();
  for (const std::string& other : {bytes.substr(0, bytes.size() - 1), bytes + "x"}) {
    test::write_text(file, bytes);
    auto stream = OciLayout::open(dir)->open_layer(image->layers[0]);
    ASSERT_TRUE(stream);
    test::write_text(file, other);
    std::vector<std::byte> buffer(bytes.size() + 10);
    base::Result<std::size_t> count = 1;
    while (count && *count > 0) count = (*stream)->read(buffer);
    ASSERT_FALSE(count);
    EXPECT_EQ(count.error().code, ErrorCode::corrupt);
    EXPECT_THAT(count.error().message, HasSubstr(image->layers[0].digest.str()));
  }
}

TEST_F(OciHostileTest, NoLinkLeadsOutOfTheLayout) {
  const BlobDigest manifest = test::write_layout(dir, spec);
  const std::string bytes = base::read_file(blob(manifest), 1 << 20).value();
  const base::HostPath outside = temporary / "outside";
  test::write_text(outside, bytes);
  for (const std::string& target : {outside.str(), std::string("../../../outside")}) {
    ::unlink(blob(manifest).c_str());
    ASSERT_EQ(::symlink(target.c_str(), blob(manifest).c_str()), 0);
    expect_error(resolve(manifest), ErrorCode::not_found, "out of the layout");
  }
  // One that stays inside is as good as a file.
  ::unlink(blob(manifest).c_str());
  test::write_text(dir / "kept", bytes);
  ASSERT_EQ(::symlink("../../kept", blob(manifest).c_str()), 0);
  EXPECT_TRUE(resolve(manifest));
}

TEST_F(OciHostileTest, AFifoOrDirectoryInPlaceOfABlobDoesNotHang) {
  const BlobDigest manifest = test::write_layout(dir, spec);
  ::unlink(blob(manifest).c_str());
  ASSERT_EQ(::mkfifo(blob(manifest).c_str(), 0600), 0);
  expect_error(resolve(manifest), ErrorCode::corrupt, "not a regular file");
  ::unlink(blob(manifest).c_str());
  ASSERT_EQ(::mkdir(blob(manifest).c_str(), 0755), 0);
  expect_error(resolve(manifest), ErrorCode::corrupt, "not a regular file");
}

TEST_F(OciHostileTest, DigestsThatArePathsAreRefused) {
  for (const char* digest : {"sha256:../../../etc/passwd", "sha256:", "", "../x", "sha256:ABCDEF"}) {
    expect_error(resolve(changed_manifest([&](json& m) { m["config"]["digest"] = digest; })), ErrorCode::corrupt,
                 "digest");
  }
  expect_error(resolve(changed_manifest([](json& m) { m["config"]["digest"] = "sha512:" + std::string(128, 'a'); })),
               ErrorCode::unavailable, "sha512");
  expect_error(resolve(changed_manifest([](json& m) { m["config"]["digest"] = 7; })), ErrorCode::corrupt, "digest");
}

TEST_F(OciHostileTest, DocumentsThatAreNotWhatTheyShouldBe) {
  test::begin_layout(dir);
  for (const char* text :
       {"", "not json", "[]", "17", "{", "{}", R"({"schemaVersion":2})", "\"\xff\"",
        R"({"schemaVersion":2,"manifests":7})", R"({"schemaVersion":2,"manifests":[7]})",
        R"({"schemaVersion":2,"layers":[]})", R"({"schemaVersion":2,"config":7})",
        R"({"schemaVersion":2,"manifests":[],"layers":[],"config":{}})",
        R"({"schemaVersion":2,"manifests":[],"mediaType":"application/vnd.oci.image.manifest.v1+json"})"}) {
    const BlobDigest digest = test::put_blob(dir, text);
    expect_error(resolve(digest), ErrorCode::corrupt, digest.str());
  }
  expect_error(resolve(test::put_blob(dir, R"({"schemaVersion":1,"fsLayers":[]})")), ErrorCode::unavailable,
               "schemaVersion 1");
  expect_error(resolve(test::put_blob(dir, R"({"schemaVersion":2,"layers":[],"mediaType":"text/html"})")),
               ErrorCode::unavailable, "text/html");
}

TEST_F(OciHostileTest, LayersAndDiffIdsMustAgree) {
  json config = read_json(resolve(test::write_layout(dir, spec))->config);
  const auto with_config = [&](const json& changed) {
    const std::string text = changed.dump();
    const BlobDigest digest = test::put_blob(dir, text);
    return changed_manifest([&](json& m) { m["config"]["digest"] = digest.str(), m["config"]["size"] = text.size(); });
  };
  json more = config, none = config, wrong = config, other = config;
  more["rootfs"]["diff_ids"].push_back(more["rootfs"]["diff_ids"][0]);
  none.erase("rootfs");
  wrong["rootfs"]["diff_ids"][0] = "sha256:nonsense";
  other["rootfs"]["type"] = "blocks";
  expect_error(resolve(with_config(more)), ErrorCode::corrupt, "1 layers, but its config has 2 diff_ids");
  expect_error(resolve(with_config(none)), ErrorCode::corrupt, "1 layers, but its config has 0 diff_ids");
  expect_error(resolve(with_config(wrong)), ErrorCode::corrupt, "diff_ids");
  expect_error(resolve(with_config(other)), ErrorCode::unavailable, "rootfs.type");
}

TEST_F(OciHostileTest, LayersOfOtherKindsAreNotSupported) {
  for (const char* type : {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                           "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}) {
    expect_error(resolve(changed_manifest([&](json& m) { m["layers"][0]["mediaType"] = type; })),
                 ErrorCode::unavailable, "not distributed");
  }
  expect_error(resolve(changed_manifest([&](json& m) { m["layers"][0]["mediaType"] = "application/wasm"; })),
               ErrorCode::unavailable, "application/wasm");
}

TEST_F(OciHostileTest, HugeDeepAndNumerousAreRefused) {
  test::begin_layout(dir);
  const BlobDigest huge = test::put_blob(dir, R"({"schemaVersion":2,"x":")" + std::string(5u << 20, 'x') + "\"}");
  expect_error(resolve(huge), ErrorCode::invalid_argument, huge.str());

  const std::string brackets(1u << 20, '[');
  const BlobDigest deep = test::put_blob(dir, R"({"schemaVersion":2,"manifests":)" + brackets);
  expect_error(resolve(deep), ErrorCode::invalid_argument, "nested");

  const Described entry = test::put_image(dir, spec);
  const BlobDigest many = test::put_index(dir, std::vector<Described>(5'000, entry)).digest;
  expect_error(resolve(many), ErrorCode::invalid_argument, "5000 entries");
}

TEST_F(OciHostileTest, IndexesWithinIndexesEndSomewhere) {
  test::begin_layout(dir);
  Described inner = test::put_index(dir, {test::put_image(dir, spec)});
  for (int level = 2; level <= 8; ++level) inner = test::put_index(dir, {inner});
  EXPECT_TRUE(resolve(inner.digest));
  expect_error(resolve(test::put_index(dir, {inner}).digest), ErrorCode::invalid_argument, "nested");
}

TEST_F(OciHostileTest, AnIndexThatMultipliesIsReadOnce) {
  test::begin_layout(dir);
  // 1,000 times the same index on each of six levels: 10^18 paths, six documents.
  Described inner = test::put_index(dir, {});
  for (int level = 0; level < 6; ++level) inner = test::put_index(dir, std::vector<Described>(1'000, inner));
  expect_error(resolve(inner.digest), ErrorCode::not_found, "has nothing for");

  std::vector<Described> different;
  for (int i = 0; i < 600; ++i) {
    Described nothing;
    nothing.digest = base::digest_of<BlobDigest>(std::to_string(i));
    nothing.media_type = "application/vnd.oci.image.manifest.v1+json";
    nothing.os = "plan9";
    nothing.architecture = "amd64";
    different.push_back(test::put_index(dir, {nothing}));
  }
  expect_error(resolve(test::put_index(dir, different).digest), ErrorCode::invalid_argument, "512 documents");
}

TEST_F(OciHostileTest, AnIndexWhereAManifestIsAnnounced) {
  test::begin_layout(dir);
  Described inner = test::put_index(dir, {});
  inner.media_type = "application/vnd.oci.image.manifest.v1+json";
  inner.os = "linux";
  inner.architecture = "amd64";
  expect_error(resolve(test::put_index(dir, {inner}).digest), ErrorCode::corrupt, "where a manifest is announced");
}

}  // namespace
}  // namespace cairn::solver

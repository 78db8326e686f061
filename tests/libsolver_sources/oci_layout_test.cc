// SPDX-License-Identifier: Apache-2.0
// What a well-made OCI layout gives.
#include "libsolver/sources/oci_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using test::Described;
using test::ImageSpec;
using test::MediaTypes;
using testing::HasSubstr;

wire::Platform platform(std::string os, std::string architecture, std::string variant = {}) {
  wire::Platform out;
  out.os = std::move(os);
  out.architecture = std::move(architecture);
  out.variant = std::move(variant);
  return out;
}
const wire::Platform amd64 = platform("linux", "amd64");

ImageSpec image_for(std::string architecture, std::string variant = {}) {
  ImageSpec image;
  image.layer_tars = {"layer of " + architecture + variant};
  image.architecture = std::move(architecture);
  image.variant = std::move(variant);
  return image;
}

std::string drain(base::ByteSource& source) {
  std::string out;
  std::vector<std::byte> buffer(7);
  while (true) {
    const auto count = source.read(buffer);
    if (!count) {
      ADD_FAILURE() << count.error().message;
      return out;
    }
    if (*count == 0) return out;
    out.append(reinterpret_cast<const char*>(buffer.data()), *count);
  }
}

struct OciLayoutTest : testing::Test {
  OciLayout open() {
    auto layout = OciLayout::open(dir);
    EXPECT_TRUE(layout) << layout.error().message;
    return std::move(*layout);
  }
  test::TempDir temporary;
  base::HostPath dir = temporary / "layout";
};

TEST_F(OciLayoutTest, ResolvesAManifestWithAllItsLayers) {
  ImageSpec spec;
  spec.layer_tars = {"first tar", "second tar", "third tar"};
  spec.env = {"PATH=/bin"};
  const BlobDigest manifest = test::write_layout(dir, spec);

  const auto image = open().resolve(manifest, amd64);
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->root, manifest);
  EXPECT_EQ(image->manifest, manifest);
  EXPECT_EQ(base::digest_of<BlobDigest>(image->manifest_bytes), manifest);
  EXPECT_EQ(base::digest_of<BlobDigest>(image->config_bytes), image->config);
  EXPECT_THAT(image->config_bytes, HasSubstr("PATH=/bin"));
  EXPECT_EQ(image->platform, amd64);
  ASSERT_EQ(image->layers.size(), 3u);
  ASSERT_EQ(image->chain_ids.size(), 3u);
  ChainId chain;
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(image->layers[i].diff, base::digest_of<DiffId>(spec.layer_tars[i]));
    EXPECT_EQ(image->layers[i].media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
    chain = chain_id(chain, image->layers[i].diff);
    EXPECT_EQ(image->chain_ids[i], chain);
  }
  EXPECT_EQ(image->chain_ids[0].bytes(), image->layers[0].diff.bytes());
}

TEST_F(OciLayoutTest, StreamsTheCompressedBytesOfALayer) {
  ImageSpec spec;
  spec.layer_tars = {std::string(100'000, 'x')};
  const BlobDigest manifest = test::write_layout(dir, spec);
  std::optional<OciLayout> layout = open();
  const auto image = layout->resolve(manifest, amd64);
  ASSERT_TRUE(image);
  auto stream = layout->open_layer(image->layers[0]);
  ASSERT_TRUE(stream) << stream.error().message;
  layout.reset();  // the stream does not need it

  const std::string bytes = drain(**stream);
  EXPECT_EQ(bytes.size(), image->layers[0].size);
  EXPECT_EQ(base::digest_of<BlobDigest>(bytes), image->layers[0].digest);
  EXPECT_EQ(base::decompress(base::Compression::gzip, bytes, 1 << 20).value(), spec.layer_tars[0]);
}

TEST_F(OciLayoutTest, ReadsDockerMediaTypesAndEachCompression) {
  for (const auto compression : {base::Compression::none, base::Compression::gzip, base::Compression::zstd}) {
    for (const auto types : {MediaTypes::oci, MediaTypes::docker}) {
      ImageSpec spec;
      spec.layer_tars = {"tar"};
      spec.compression = compression;
      spec.media_types = types;
      const BlobDigest manifest = test::write_layout(dir, spec);
      const auto image = open().resolve(manifest, amd64);
      ASSERT_TRUE(image) << image.error().message;
      EXPECT_EQ(image->layers.size(), 1u);
    }
  }
}

TEST_F(OciLayoutTest, AnImageMayHaveNoLayers) {
  const BlobDigest manifest = test::write_layout(dir, ImageSpec{});
  const auto image = open().resolve(manifest, amd64);
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_TRUE(image->layers.empty());
  EXPECT_TRUE(image->chain_ids.empty());
}

TEST_F(OciLayoutTest, TakesThePlatformAskedForFromAnIndex) {
  test::begin_layout(dir);
  const Described amd = test::put_image(dir, image_for("amd64"));
  const Described arm = test::put_image(dir, image_for("arm64"));
  for (const auto types : {MediaTypes::oci, MediaTypes::docker}) {
    const Described index = test::put_index(dir, {arm, amd}, types);
    const auto image = open().resolve(index.digest, amd64);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(image->root, index.digest);
    EXPECT_EQ(image->manifest, amd.digest);
    EXPECT_EQ(open().resolve(index.digest, platform("linux", "aarch64", "v8"))->manifest, arm.digest);
  }
}

TEST_F(OciLayoutTest, PrefersTheNewestVariantThatServes) {
  test::begin_layout(dir);
  const Described v5 = test::put_image(dir, image_for("arm", "v5"));
  const Described v6 = test::put_image(dir, image_for("arm", "v6"));
  const Described v8 = test::put_image(dir, image_for("arm", "v8"));
  const Described index = test::put_index(dir, {v8, v5, v6});
  EXPECT_EQ(open().resolve(index.digest, platform("linux", "arm", "v7"))->manifest, v6.digest);
  EXPECT_EQ(open().resolve(index.digest, platform("linux", "arm64"))->manifest, v8.digest);
}

TEST_F(OciLayoutTest, TheFirstOfEqualManifestsWins) {
  test::begin_layout(dir);
  ImageSpec other = image_for("amd64");
  other.env = {"OTHER=1"};
  const Described first = test::put_image(dir, image_for("amd64"));
  const Described second = test::put_image(dir, other);
  EXPECT_EQ(open().resolve(test::put_index(dir, {first, second}).digest, amd64)->manifest, first.digest);
  EXPECT_EQ(open().resolve(test::put_index(dir, {second, first}).digest, amd64)->manifest, second.digest);
}

TEST_F(OciLayoutTest, PassesOverAttestations) {
  test::begin_layout(dir);
  const Described real = test::put_image(dir, image_for("amd64"));
  ImageSpec fake = image_for("amd64");
  fake.env = {"ATTESTATION=1"};
  Described unknown = test::put_image(dir, fake);
  unknown.os = unknown.architecture = "unknown";
  Described annotated = test::put_image(dir, fake);
  annotated.attestation = true;
  const Described index = test::put_index(dir, {unknown, annotated, real});
  EXPECT_EQ(open().resolve(index.digest, amd64)->manifest, real.digest);
}

TEST_F(OciLayoutTest, SearchesNestedIndexes) {
  test::begin_layout(dir);
  const Described amd = test::put_image(dir, image_for("amd64"));
  const Described arm = test::put_image(dir, image_for("arm64"));
  const Described inner = test::put_index(dir, {amd});
  const Described other = test::put_index(dir, {arm});
  const Described outer = test::put_index(dir, {other, inner});
  const auto image = open().resolve(outer.digest, amd64);
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->root, outer.digest);
  EXPECT_EQ(image->manifest, amd.digest);
}

TEST_F(OciLayoutTest, AsksTheConfigWhereTheIndexNamesNoPlatform) {
  test::begin_layout(dir);
  Described amd = test::put_image(dir, image_for("amd64"));
  Described arm = test::put_image(dir, image_for("arm64"));
  for (Described* entry : {&amd, &arm}) entry->os = entry->architecture = "";
  const Described index = test::put_index(dir, {amd, arm});
  EXPECT_EQ(open().resolve(index.digest, platform("linux", "arm64"))->manifest, arm.digest);
}

TEST_F(OciLayoutTest, ListsWhatThereIsWhenNothingMatches) {
  test::begin_layout(dir);
  const Described index =
      test::put_index(dir, {test::put_image(dir, image_for("arm64")), test::put_image(dir, image_for("s390x"))});
  const auto image = open().resolve(index.digest, amd64);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, ErrorCode::not_found);
  EXPECT_THAT(image.error().message, HasSubstr("linux/amd64"));
  EXPECT_THAT(image.error().hint, HasSubstr("linux/arm64, linux/s390x"));
}

TEST_F(OciLayoutTest, AManifestIsTakenWhateverItsPlatform) {
  const BlobDigest manifest = test::write_layout(dir, image_for("arm64"));
  EXPECT_EQ(open().resolve(manifest, amd64)->platform.architecture, "arm64");
}

TEST_F(OciLayoutTest, FindsTheOnlyImageAndTags) {
  test::begin_layout(dir);
  Described amd = test::put_image(dir, image_for("amd64"));
  Described arm = test::put_image(dir, image_for("arm64"));
  test::write_index_json(dir, {amd});
  EXPECT_EQ(open().find_tag("").value(), amd.digest);
  EXPECT_EQ(open().find_tag("latest").error().code, ErrorCode::not_found);

  amd.tag = "one";
  arm.tag = "two";
  test::write_index_json(dir, {amd, arm});
  EXPECT_EQ(open().find_tag("two").value(), arm.digest);
  const auto several = open().find_tag("");
  ASSERT_FALSE(several);
  EXPECT_EQ(several.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(several.error().hint, HasSubstr("one, two"));
  EXPECT_EQ(open().find_tag("three").error().code, ErrorCode::not_found);

  arm.tag = "one";
  test::write_index_json(dir, {amd, arm});
  EXPECT_EQ(open().find_tag("one").error().code, ErrorCode::invalid_argument);
  test::write_index_json(dir, {amd, amd});
  EXPECT_EQ(open().find_tag("one").value(), amd.digest);
}

}  // namespace
}  // namespace cairn::solver

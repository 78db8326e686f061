// SPDX-License-Identifier: Apache-2.0
// What -o may say, what it means, and what is said of that which it may not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libsolver/images.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Type = ImageOutput::Type;
using Place = ImageAnnotation::Place;

ImageOutput parsed(const OutputAttributes& attributes) {
  const auto output = parse_image_output(attributes);
  EXPECT_TRUE(output.has_value()) << (output ? "" : output.error().message);
  return output ? *output : ImageOutput();
}

std::string refused(const OutputAttributes& attributes, ErrorCode code = ErrorCode::invalid_argument) {
  const auto output = parse_image_output(attributes);
  if (output) return "it was taken";
  EXPECT_EQ(output.error().code, code) << output.error().message;
  return output.error().message;
}

TEST(ParseImageOutput, ARegistryIsAnImageThatIsPushed) {
  const ImageOutput image = parsed({{"type", "image"}, {"name", "app"}, {"push", "true"}});
  const ImageOutput registry = parsed({{"type", "registry"}, {"name", "app"}});
  for (const ImageOutput& output : {image, registry}) {
    EXPECT_EQ(output.type, Type::image);
    EXPECT_EQ(output.push, ImageOutput::Push::by_name);
    EXPECT_THAT(output.names, ElementsAre("docker.io/library/app:latest"));
    EXPECT_EQ(output.media_types, ImageOutput::MediaTypes::docker);
    EXPECT_EQ(output.compression, base::Compression::gzip);
  }
  EXPECT_EQ(parsed({{"type", "image"}, {"name", "app"}}).push, ImageOutput::Push::no);
  EXPECT_EQ(parsed({{"type", "image"}, {"name", "app"}, {"push-by-digest", ""}, {"push", ""}}).push,
            ImageOutput::Push::by_digest);
}

TEST(ParseImageOutput, NamesAreSeparatedByCommasAndTakenOnce) {
  EXPECT_THAT(parsed({{"type", "oci"}, {"name", "a:1,ghcr.io/b/c,a:1,"}}).names,
              ElementsAre("docker.io/library/a:1", "ghcr.io/b/c:latest"));
  EXPECT_THAT(refused({{"type", "oci"}, {"name", "a,B"}}), HasSubstr("name=B"));
  EXPECT_THAT(refused({{"type", "oci"}, {"name", "a@sha256:" + std::string(64, '0')}}), HasSubstr("by a tag"));
  EXPECT_THAT(refused({{"type", "registry"}}), HasSubstr("name is missing"));
}

TEST(ParseImageOutput, LayersAndDocumentsAreAsTheAttributesSay) {
  const ImageOutput output = parsed({{"type", "oci"},
                                     {"dest", "-"},
                                     {"compression", "zstd"},
                                     {"compression-level", "9"},
                                     {"force-compression", ""},
                                     {"rewrite-timestamp", "true"},
                                     {"source-date-epoch", "1700000000"},
                                     {"unpack", "true"}});
  EXPECT_EQ(output.dest, "-");
  EXPECT_EQ(output.compression, base::Compression::zstd);
  EXPECT_EQ(output.compression_level, 9);
  EXPECT_EQ(output.compress, ImageOutput::Compress::all);
  EXPECT_EQ(output.timestamps, ImageOutput::Timestamps::rewrite);
  EXPECT_EQ(output.epoch, 1'700'000'000);
  EXPECT_EQ(output.media_types, ImageOutput::MediaTypes::oci);
  EXPECT_EQ(parsed({{"type", "docker"}}).media_types, ImageOutput::MediaTypes::docker);
  EXPECT_EQ(parsed({{"type", "docker"}, {"oci-mediatypes", "1"}}).media_types, ImageOutput::MediaTypes::oci);
  EXPECT_EQ(parsed({{"type", "oci"}, {"tar", "false"}, {"dest", "out"}}).shape, ImageOutput::Shape::directory);
}

TEST(ParseImageOutput, AnnotationsSayWhereTheyGo) {
  const ImageOutput output = parsed({{"type", "image"},
                                     {"annotation.a.b", "1"},
                                     {"annotation-index.c", "2"},
                                     {"annotation-index-descriptor.d", "3"},
                                     {"annotation-manifest[linux/arm/v7].e", "4"},
                                     {"annotation-manifest-descriptor.f", ""}});
  EXPECT_EQ(output.media_types, ImageOutput::MediaTypes::oci) << "only OCI documents have annotations";
  ASSERT_EQ(output.annotations.size(), 5u);
  const auto has = [&](Place place, const std::string& platform, const std::string& key, const std::string& value) {
    return std::any_of(output.annotations.begin(), output.annotations.end(), [&](const ImageAnnotation& each) {
      return each.place == place && each.platform == platform && each.key == key && each.value == value;
    });
  };
  EXPECT_TRUE(has(Place::manifest, "", "a.b", "1"));
  EXPECT_TRUE(has(Place::index, "", "c", "2"));
  EXPECT_TRUE(has(Place::index_descriptor, "", "d", "3"));
  EXPECT_TRUE(has(Place::manifest, "linux/arm/v7", "e", "4"));
  EXPECT_TRUE(has(Place::manifest_descriptor, "", "f", ""));
  EXPECT_THAT(refused({{"type", "oci"}, {"annotation-index[linux/amd64].a", "1"}}), HasSubstr("no platform"));
  EXPECT_THAT(refused({{"type", "oci"}, {"annotation.", "1"}}), HasSubstr("key is missing"));
  EXPECT_THAT(refused({{"type", "oci"}, {"annotation-other.a", "1"}}), HasSubstr("do not know"));
  EXPECT_THAT(refused({{"type", "oci"}, {"annotation[linux/amd64", "1"}}), HasSubstr("annotation[PLATFORM].KEY"));
  EXPECT_THAT(refused({{"type", "image"}, {"annotation.a", "1"}, {"oci-mediatypes", "false"}}),
              HasSubstr("only OCI documents"));
  EXPECT_THAT(refused({{"type", "local"}, {"dest", "o"}, {"annotation.a", "1"}}), HasSubstr("only images"));
}

TEST(ParseImageOutput, WhatIsNotKnownOrNotToBeHadIsSaid) {
  EXPECT_THAT(refused({}), HasSubstr("type is missing"));
  EXPECT_THAT(refused({{"type", "ocy"}}), HasSubstr("type=ocy: want image, registry, oci, docker, tar or local"));
  EXPECT_THAT(refused({{"type", "oci"}, {"pusch", "true"}}), HasSubstr("do not know \"pusch\""));
  EXPECT_THAT(refused({{"type", "oci"}, {"push", "true"}}), HasSubstr("do not know \"push\""));
  EXPECT_THAT(refused({{"type", "tar"}, {"name", "a"}}), HasSubstr("do not know \"name\""));
  EXPECT_THAT(refused({{"type", "local"}}), HasSubstr("dest is missing"));
  EXPECT_THAT(refused({{"type", "oci"}, {"tar", "false"}}), HasSubstr("dest is missing"));
  EXPECT_THAT(refused({{"type", "oci"}, {"tar", "maybe"}}), HasSubstr("want true or false"));
  EXPECT_THAT(refused({{"type", "oci"}, {"compression", "lz4"}}), HasSubstr("compression=lz4"));
  EXPECT_THAT(refused({{"type", "oci"}, {"compression", "estargz"}}, ErrorCode::unavailable), HasSubstr("estargz"));
  EXPECT_THAT(refused({{"type", "oci"}, {"compression-level", "10"}}), HasSubstr("from 0 to 9"));
  EXPECT_THAT(refused({{"type", "oci"}, {"compression-level", "x"}}), HasSubstr("from 0 to 9"));
  EXPECT_THAT(refused({{"type", "oci"}, {"compression", "uncompressed"}, {"compression-level", "1"}}),
              HasSubstr("nothing is compressed"));
  EXPECT_THAT(refused({{"type", "oci"}, {"source-date-epoch", "-1"}}), HasSubstr("source-date-epoch=-1"));
  EXPECT_THAT(refused({{"type", "registry"}, {"name", "a"}, {"push", "false"}}), HasSubstr("excludes"));
  EXPECT_THAT(refused({{"type", "image"}, {"name", "a"}, {"registry.insecure", "true"}}, ErrorCode::unavailable),
              HasSubstr("registry.insecure"));
  EXPECT_THAT(refused({{"type", "local"}, {"dest", "o"}, {"mode", "delete"}}, ErrorCode::unavailable),
              HasSubstr("mode=delete"));
}

TEST(ParseImageOutput, TreesHaveADirectoryForEachPlatformIfTheyAreToldTo) {
  EXPECT_EQ(parsed({{"type", "local"}, {"dest", "o"}}).split, ImageOutput::Split::by_count);
  EXPECT_EQ(parsed({{"type", "tar"}, {"platform-split", ""}}).split, ImageOutput::Split::yes);
  EXPECT_EQ(parsed({{"type", "tar"}, {"platform-split", "false"}}).split, ImageOutput::Split::no);
  EXPECT_THAT(parsed({{"type", "tar"}}).names, IsEmpty());
}

}  // namespace
}  // namespace cairn::solver

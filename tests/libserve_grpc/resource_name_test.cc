// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/resource_name.h"

#include <gmock/gmock.h>

#include "tests/support/must.h"

namespace cairn::serve {
namespace {

using test::must;

const std::string hash(64, 'a');
const std::string empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(ResourceName, OfReadsHaveInstanceCompressorAndDigest) {
  const ResourceName plain = must(parse_read_name("blobs/" + hash + "/12"));
  EXPECT_EQ(plain.instance, "");
  EXPECT_EQ(plain.blob.digest.hex(), hash);
  EXPECT_EQ(plain.blob.size, 12u);
  EXPECT_EQ(plain.compression, base::Compression::none);
  EXPECT_EQ(must(parse_read_name("a/b c/blobs/" + hash + "/12")).instance, "a/b c");
  EXPECT_EQ(must(parse_read_name("x/compressed-blobs/zstd/" + hash + "/12")).compression, base::Compression::zstd);
  EXPECT_EQ(must(parse_read_name("blobs/sha256/" + hash + "/12")).blob.digest.hex(), hash);
  EXPECT_EQ(must(parse_read_name("blobs/" + empty + "/0")).blob.size, 0u);
}

TEST(ResourceName, OfWritesHaveAnUploadAndMaySayMore) {
  const ResourceName plain = must(parse_write_name("uploads/some-uuid/blobs/" + hash + "/12"));
  EXPECT_EQ(plain.upload, "some-uuid");
  EXPECT_EQ(must(parse_write_name("i/uploads/u/compressed-blobs/zstd/" + hash + "/12/file.o/x")).instance, "i");
}

TEST(ResourceName, OfAnyOtherFormIsRefused) {
  const std::string blob = "blobs/" + hash + "/12";
  for (const std::string& name : {std::string(),
                                  std::string("/"),
                                  std::string("blobs"),
                                  "blobs/" + hash,
                                  blob + "/more",
                                  "/" + blob,
                                  "a//" + blob,
                                  "../" + blob,
                                  "a/./" + blob,
                                  "actions/" + blob,
                                  std::string("x\n/") + blob,
                                  "blobs/" + hash + "/-1",
                                  "blobs/" + hash + "/+1",
                                  "blobs/" + hash + "/1x",
                                  "blobs/" + hash + "/",
                                  "blobs/" + hash + "/99999999999999999999",
                                  "blobs/" + std::string(64, 'A') + "/1",
                                  "blobs/" + std::string(63, 'a') + "/1",
                                  "blobs/blake3/" + hash + "/1",
                                  "compressed-blobs/deflate/" + hash + "/1",
                                  "compressed-blobs/" + hash + "/1",
                                  "blobs/" + hash + "/0",
                                  "blobs/" + empty + "/1",
                                  "uploads/u/" + blob,
                                  std::string(300, 'i') + "/" + blob,
                                  std::string(5000, 'i') + "/" + blob})
    EXPECT_EQ(parse_read_name(name).error().code, base::ErrorCode::invalid_argument) << name;
  for (const std::string& name : {blob, "uploads/" + blob, "uploads//" + blob, "uploads/u/uploads/" + blob,
                                  std::string("uploads"), "a//uploads/u/" + blob})
    EXPECT_EQ(parse_write_name(name).error().code, base::ErrorCode::invalid_argument) << name;
}

}  // namespace
}  // namespace cairn::serve

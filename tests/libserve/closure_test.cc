// SPDX-License-Identifier: Apache-2.0
#include "libserve/reapi/closure.h"

#include <algorithm>

#include "tests/libcache/store_fixture.h"
#include "tests/libserve/action_results.h"

namespace cairn::serve {
namespace {

using base::ErrorCode;
using cache::must;

BlobDigest hash(const std::string& bytes) { return base::digest_of<BlobDigest>(bytes); }

TEST(Closure, OfAnActionResultIsAllThatItNamesAndTheFilesOfItsTrees) {
  cache::OpenStore store;
  auto& blobs = store.cache->blobs();
  const std::string tree = proto::field(1, proto::directory_with("top", "in the root")) + proto::field(2, proto::directory_with("deep", "in a child"));
  const std::string result = proto::output_file("a.o", "object") + proto::output_directory("out", tree) + proto::field(4, 0) +
                             proto::field(6, proto::digest("printed")) + proto::field(8, proto::digest("")) + proto::field(5, std::string("raw"));
  for (const std::string& bytes : {std::string("object"), tree, std::string("in the root"), std::string("in a child")}) must(blobs.put(bytes, {}));
  const auto missing = closure_of(result, blobs);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_NE(missing.error().message.find(hash("printed").hex()), std::string::npos) << missing.error().message;
  must(blobs.put(std::string_view("printed"), {}));
  auto closure = must(closure_of(result, blobs));
  std::vector<BlobDigest> wanted = {hash("object"), hash(tree), hash("in the root"), hash("in a child"), hash("printed")};
  std::sort(closure.begin(), closure.end());
  std::sort(wanted.begin(), wanted.end());
  EXPECT_EQ(closure, wanted);
}

TEST(Closure, TheSizeIsAPartOfADigest) {
  cache::OpenStore store;
  must(store.cache->blobs().put(std::string_view("object"), {}));
  const auto refused = closure_of(proto::field(2, proto::field(2, proto::digest("object", 7))), store.cache->blobs());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_found);
}

TEST(Closure, AFileOfATreeThatIsMissingIsMissing) {
  cache::OpenStore store;
  const std::string tree = proto::field(1, proto::directory_with("f", "nobody has put this"));
  must(store.cache->blobs().put(tree, {}));
  const auto refused = closure_of(proto::output_directory("out", tree), store.cache->blobs());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_found);
}

TEST(Closure, WhatIsNoActionResultIsCorrupt) {
  cache::OpenStore store;
  const std::string good = proto::output_file("a.o", "object");
  for (const std::string& bytes : {std::string("cCrS\x01 a value of ccache"), good.substr(0, good.size() - 1), std::string("\x0b", 1), std::string("\0", 1),
                                   proto::field(2, std::string("x")), proto::field(13, std::string("x")), proto::field(4, std::string("0")),
                                   proto::field(2, proto::field(2, proto::field(1, std::string("nohash"))))}) {
    const auto closure = closure_of(bytes, store.cache->blobs());
    ASSERT_FALSE(closure);
    EXPECT_EQ(closure.error().code, ErrorCode::corrupt);
  }
  EXPECT_TRUE(must(closure_of("", store.cache->blobs())).empty());
}

}  // namespace
}  // namespace cairn::serve

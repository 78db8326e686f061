// SPDX-License-Identifier: Apache-2.0
// ByteStream, method by method and code by code (spec/reapi 1.1, 1.2).
#include "libbase/compress/decoder.h"
#include "tests/libserve_grpc/grpc_client.h"

namespace cairn::serve {
namespace {

using bytestream::WriteResponse;
using grpc::StatusCode;

class ByteStreamConformance : public GrpcTest {
 protected:
  std::string upload(const std::string& bytes, const std::string& kind = "blobs") {
    return instance_ + "/uploads/" + std::to_string(++uploads_) + "/" + kind + "/" + path_of(digest_of(bytes));
  }
  std::string blob(const std::string& bytes, const std::string& kind = "blobs") {
    return instance_ + "/" + kind + "/" + path_of(digest_of(bytes));
  }
  std::string stored(std::size_t size) {
    const std::string bytes = some_bytes(size);
    WriteResponse response;
    const grpc::Status status = write(pieces(upload(bytes), bytes), response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.committed_size(), static_cast<std::int64_t>(size));
    return bytes;
  }
  int uploads_ = 0;
};

TEST_F(ByteStreamConformance, BlobsOfAllSizesComeBackWhole) {
  for (const std::size_t size : {0u, 1u, 65'536u, 65'537u, 1'048'576u, 5'000'001u}) {
    const std::string bytes = stored(size);
    std::string back;
    const grpc::Status status = read(blob(bytes), back);
    EXPECT_TRUE(status.ok()) << size << ": " << status.error_message();
    EXPECT_TRUE(back == bytes) << size;
    EXPECT_FALSE(is_missing(digest_of(bytes)));
  }
}

TEST_F(ByteStreamConformance, PartsAreReadByOffsetAndLimit) {
  for (const std::size_t size : {1000u, 3'000'000u}) {
    const std::string bytes = stored(size);
    const auto end = static_cast<std::int64_t>(size);
    for (const auto& [offset, limit] : std::vector<std::pair<std::int64_t, std::int64_t>>{
             {0, 10}, {7, 0}, {7, 100}, {end - 1, 0}, {end - 1, 50}, {end, 0}, {end, 5}, {end / 2, end}}) {
      std::string part;
      const grpc::Status status = read(blob(bytes), part, offset, limit);
      EXPECT_TRUE(status.ok()) << offset << ", " << limit << ": " << status.error_message();
      EXPECT_TRUE(part == bytes.substr(static_cast<std::size_t>(offset),
                                       limit == 0 ? std::string::npos : static_cast<std::size_t>(limit)))
          << offset << ", " << limit;
    }
    std::string part;
    EXPECT_EQ(code(read(blob(bytes), part, -1, 0)), StatusCode::OUT_OF_RANGE);
    EXPECT_EQ(code(read(blob(bytes), part, end + 1, 0)), StatusCode::OUT_OF_RANGE);
    EXPECT_EQ(code(read(blob(bytes), part, 0, -1)), StatusCode::INVALID_ARGUMENT);
  }
}

TEST_F(ByteStreamConformance, WhatIsNotThereOrHasAnotherNameIsSaidSo) {
  std::string back;
  EXPECT_EQ(code(read(blob(some_bytes(10)), back)), StatusCode::NOT_FOUND);
  for (const std::string& name :
       {std::string(), std::string("blobs"), "blobs/" + std::string(64, 'a'),
        "compressed-blobs/deflate/" + path_of(digest_of("x")), "uploads/u/blobs/" + path_of(digest_of("x"))})
    EXPECT_EQ(code(read(name, back)), StatusCode::INVALID_ARGUMENT) << name;
}

TEST_F(ByteStreamConformance, ZstdGoesBothWays) {
  for (const std::size_t size : {0u, 100u, 2'500'000u}) {
    const std::string bytes = std::string(size / 2, 'z') + some_bytes(size - size / 2);
    const std::string packed = must(base::compress(base::Compression::zstd, bytes));
    WriteResponse response;
    const grpc::Status status = write(pieces(upload(bytes, "compressed-blobs/zstd"), packed), response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    if (size > 0) {
      EXPECT_EQ(response.committed_size(), static_cast<std::int64_t>(packed.size()));
    }
    std::string back;
    ASSERT_TRUE(read(blob(bytes), back).ok());
    EXPECT_TRUE(back == bytes);
    ASSERT_TRUE(read(blob(bytes, "compressed-blobs/zstd"), back).ok());
    EXPECT_TRUE(must(base::decompress(base::Compression::zstd, back, size)) ==
                bytes);  // of the empty one, too, a frame
    if (size == 0) continue;
    ASSERT_TRUE(read(blob(bytes, "compressed-blobs/zstd"), back, 10, 0).ok());
    EXPECT_TRUE(must(base::decompress(base::Compression::zstd, back, size)) ==
                bytes.substr(10));  // the offset is one of what is not compressed
    EXPECT_EQ(code(read(blob(bytes, "compressed-blobs/zstd"), back, 0, 10)), StatusCode::INVALID_ARGUMENT);
    ASSERT_TRUE(write(pieces(upload(bytes, "compressed-blobs/zstd"), packed), response).ok());
    EXPECT_EQ(response.committed_size(), -1);  // it was there
  }
}

TEST_F(ByteStreamConformance, WhatIsThereNeedNotBeSentAgain) {
  const std::string bytes = stored(3'000'000);
  WriteResponse response;
  const grpc::Status status = write({{upload(bytes), 0, bytes.substr(0, 10), false}}, response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.committed_size(), 3'000'000);
}

TEST_F(ByteStreamConformance, AWriteThatLiesIsRefusedAndLeavesNothing) {
  const std::string bytes = some_bytes(200'000), other = some_bytes(200'000);
  const auto refused = [&](const std::vector<Piece>& sent) {
    WriteResponse response;
    const grpc::Status status = write(sent, response);
    EXPECT_EQ(code(status), StatusCode::INVALID_ARGUMENT) << status.error_message();
    EXPECT_TRUE(is_missing(digest_of(bytes)));
  };
  refused(pieces(upload(bytes), other));                       // other bytes
  refused(pieces(upload(bytes), bytes + "x"));                 // too many
  refused(pieces(upload(bytes), bytes.substr(1)));             // too few
  refused({{upload(bytes), 0, bytes.substr(0, 100), false}});  // no end
  refused({{upload(bytes), 5, bytes, true}});                  // it begins somewhere
  refused({{upload(bytes), 0, bytes.substr(0, 100), false}, {"", 99, bytes.substr(100), true}});
  refused({{upload(bytes), 0, bytes.substr(0, 100), false}, {"", 0, bytes.substr(100), true}});
  refused({{upload(bytes), 0, bytes.substr(0, 100), false},
           {upload(bytes), 100, bytes.substr(100), true}});  // another name
  refused({{"", 0, bytes, true}});
  refused({{"uploads/u/blobs/" + digest_of(bytes).hash() + "/x", 0, bytes, true}});
  refused({{"blobs/" + path_of(digest_of(bytes)), 0, bytes, true}});
  refused({{upload(bytes, "compressed-blobs/brotli"), 0, bytes, true}});
  refused(pieces(upload(bytes, "compressed-blobs/zstd"), bytes));  // not packed
  refused(pieces(upload(bytes, "compressed-blobs/zstd"),
                 must(base::compress(base::Compression::zstd, bytes)).substr(0, 150'000)));
  refused(pieces(upload(bytes, "compressed-blobs/zstd"), must(base::compress(base::Compression::zstd, other))));
  refused({});
  if (is_ours()) {
    EXPECT_TRUE(must(store_->cache->check()).empty());
  }
}

TEST_F(ByteStreamConformance, AnUploadThatWasCutOffGoesOnWhereItWas) {
  for (const std::string kind : {"blobs", "compressed-blobs/zstd"}) {
    const std::string bytes = some_bytes(1'000'000);
    const std::string sent = kind == "blobs" ? bytes : must(base::compress(base::Compression::zstd, bytes));
    const std::string name = upload(bytes, kind);
    const auto committed = [&] {
      bytestream::QueryWriteStatusRequest request;
      request.set_resource_name(name);
      bytestream::QueryWriteStatusResponse response;
      EXPECT_TRUE(call(*streams_, &bytestream::ByteStream::Stub::QueryWriteStatus, request, response).ok());
      return std::pair(response.committed_size(), response.complete());
    };
    EXPECT_EQ(committed(), std::pair(std::int64_t{0}, false));
    WriteResponse response;
    EXPECT_FALSE(write({{name, 0, sent.substr(0, 300'000), false}}, response).ok());
    EXPECT_EQ(committed(), std::pair(std::int64_t{300'000}, false));
    EXPECT_FALSE(write({{name, 300'000, sent.substr(300'000, 300'000), false}}, response).ok());
    EXPECT_EQ(committed(), std::pair(std::int64_t{600'000}, false));
    ASSERT_TRUE(write({{name, 600'000, sent.substr(600'000), true}}, response).ok());
    EXPECT_EQ(committed(), std::pair(std::int64_t{1'000'000}, true));
    std::string back;
    ASSERT_TRUE(read(blob(bytes), back).ok());
    EXPECT_TRUE(back == bytes);
  }
  bytestream::QueryWriteStatusRequest request;
  request.set_resource_name("nonsense");
  bytestream::QueryWriteStatusResponse response;
  EXPECT_EQ(code(call(*streams_, &bytestream::ByteStream::Stub::QueryWriteStatus, request, response)),
            StatusCode::INVALID_ARGUMENT);
}

TEST_F(ByteStreamConformance, AClientThatVanishesLeavesNothingBehind) {
  const std::string bytes = some_bytes(3'000'000);
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    WriteResponse response;
    const auto writer = streams_->Write(&context, &response);
    bytestream::WriteRequest request;
    request.set_resource_name(upload(bytes));
    request.set_data(bytes.substr(0, 1'000'000));
    writer->Write(request);
    context.TryCancel();
    EXPECT_FALSE(writer->Finish().ok());
  }
  stored(3'000'000);
  if (is_ours()) {
    server_.reset();
    EXPECT_TRUE(must(store_->cache->check()).empty());
  }
}

}  // namespace
}  // namespace cairn::serve

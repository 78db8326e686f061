// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <thread>

#include "libsnapshot/tar/chunk_writer.h"

namespace cairn::snapshot {
namespace {

TEST(ChunkWriter, GivesWhatWasPutInOrderWithBoundedMemory) {
  base::BytePipe pipe(16, 2);
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i) + ",";
  base::Status written;
  std::jthread writer([&] {
    ChunkWriter out(pipe, {});
    written = out.append(text);
    if (written) written = out.append_zeros(40);
    if (written) written = out.flush();
    EXPECT_EQ(out.bytes(), text.size() + 40);
    pipe.end(written);
  });
  std::string got;
  while (true) {
    auto chunk = pipe.take();
    ASSERT_TRUE(chunk);
    if (!*chunk) break;
    EXPECT_LE((*chunk)->size, 16u);
    got.append((*chunk)->text());
    pipe.give_back(std::move(**chunk));
  }
  writer.join();
  EXPECT_TRUE(written);
  EXPECT_EQ(got, text + std::string(40, '\0'));
}

TEST(ChunkWriter, AnErrorReachesTheOtherSide) {
  base::BytePipe broken(16, 2);
  broken.end(base::fail(base::ErrorCode::io, "the reader failed"));
  const auto taken = broken.take();
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().message, "the reader failed");

  base::BytePipe full(16, 1);
  ASSERT_TRUE(full.put(full.fresh()));
  std::jthread closer([&] { full.close(base::Error{base::ErrorCode::no_space, "the disk is full", {}}); });
  const auto put = full.put(full.fresh());  // would wait for ever
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, base::ErrorCode::no_space);
}

}  // namespace
}  // namespace cairn::snapshot

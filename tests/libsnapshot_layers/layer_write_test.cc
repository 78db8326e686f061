// SPDX-License-Identifier: Apache-2.0
// What write_layer() does beside the bytes of the tar, which tests/golden/layers has: compression, threads, progress,
// stopping, errors; and what a layer leaves out.
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "libbase/hash/sha256.h"
#include "libsnapshot/tar/encoder.h"
#include "libsnapshot/tar/tar_reader.h"
#include "tests/libsnapshot_layers/layers.h"
#include "tests/support/temp_dir.h"

namespace cairn::snapshot {
namespace {

using base::Compression;
using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> members_of(const std::string& tar) {
  std::string_view rest = tar;
  const auto reader = must(TarReader::open([&] { return std::span<const char>(std::exchange(rest, {})); }));
  std::vector<std::string> members;
  while (const auto member = must(reader->next())) {
    members.push_back(member->type == EntryType::hard_link ? member->name + " -> " + member->link : member->name);
  }
  return members;
}

std::string make_bytes(std::size_t size) {
  std::string bytes;
  std::uint32_t x = 1;
  for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>('a' + ((x = x * 1103515245 + 12345) >> 28));
  return bytes;
}

class LayerWrite : public testing::Test {
 protected:
  LayerWrite() {
    lower_.time_all(1'600'000'000);
    upper_.time_all(1'600'000'000);
  }
  base::Result<LayerBytes> write(const WriteOptions& options) {
    const base::Fd lower = lower_.open(), upper = upper_.open();
    return write_bytes(upper.get(), between(lower.get(), upper.get()), options);
  }
  // As a function around the walk, so that a test can say what the walk does not.
  base::Result<LayerBytes> write_with(const std::function<base::Status(const Change&, const ChangeVisitor&)>& forward) {
    const base::Fd lower = lower_.open(), upper = upper_.open();
    const auto source = [&](const ChangeVisitor& visitor) {
      return changes_between(lower.get(), upper.get(),
                             [&](const Change& change) { return forward(change, visitor); }, changes_for_layer());
    };
    return write_bytes(upper.get(), source, plain());
  }

  test::TempDir lower_dir_, upper_dir_;
  TreeAt lower_{lower_dir_.path().str()}, upper_{upper_dir_.path().str()};
};

TEST_F(LayerWrite, EveryCompressionHoldsTheSameTarWhateverTheThreads) {
  upper_.dir("d");
  upper_.file("d/large", make_bytes(11 << 20));
  upper_.file("d/small", "x");
  const auto tar = must(write(plain()));
  EXPECT_EQ(tar.written.blob.str(), tar.written.diff.str());
  EXPECT_EQ(tar.written.diff, base::digest_of<DiffId>(tar.bytes));
  EXPECT_EQ(tar.written.diff_bytes, tar.bytes.size());
  EXPECT_EQ(tar.written.members, 3u);
  for (const auto compression : {Compression::gzip, Compression::zstd}) {
    std::string first;
    for (const unsigned threads : {1u, 2u, 3u}) {
      WriteOptions options;
      options.compression = compression;
      options.threads = threads;
      const auto packed = must(write(options));
      EXPECT_EQ(packed.written.diff, tar.written.diff);
      EXPECT_EQ(packed.written.diff_bytes, tar.bytes.size());
      EXPECT_EQ(packed.written.blob, base::digest_of<BlobDigest>(packed.bytes));
      EXPECT_EQ(packed.written.blob_bytes, packed.bytes.size());
      if (first.empty()) {
        first = packed.bytes;
        EXPECT_EQ(must(base::decompress(compression, packed.bytes, 1 << 30)), tar.bytes);
      }
      EXPECT_EQ(packed.bytes, first) << threads;
    }
  }
}

TEST_F(LayerWrite, SocketsAndUnchangedNamesAreLeftOut) {
  for (const TreeAt* tree : {&lower_, &upper_}) {
    tree->dir("kept");
    tree->file("kept/f", "x");
    tree->time_all(1'600'000'000);
  }
  upper_.dir("run");
  upper_.node("run/socket", S_IFSOCK | 0600);
  const auto layer = must(write(plain()));
  EXPECT_THAT(members_of(layer.bytes), ElementsAre("run/"));
}

// Names that come before a change of their inode was known follow it; their parents come first.
TEST_F(LayerWrite, UnmodifiedNamesAreReplayed) {
  for (const TreeAt* tree : {&lower_, &upper_}) {
    tree->dir("a");
    tree->file("a/first", "x");
    tree->link("b", "a/first");
    tree->link("z", "a/first");
    tree->time_all(1'600'000'000);
  }
  upper_.dir("n");
  upper_.link("n/new", "a/first");
  upper_.time_all(1'600'000'000);
  EXPECT_THAT(members_of(must(write(plain())).bytes),
              ElementsAre("n/", "n/new", "a/", "a/first -> n/new", "b -> n/new", "z -> n/new"));
}

TEST_F(LayerWrite, ProgressGrowsAndStopStops) {
  upper_.file("large", make_bytes(5 << 20));
  WriteOptions options = plain();
  std::vector<std::uint64_t> seen;
  options.progress = [&](std::uint64_t bytes) { seen.push_back(bytes); };
  const auto layer = must(write(options));
  EXPECT_GT(seen.size(), 4u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), layer.bytes.size());
  std::stop_source stopped;
  stopped.request_stop();
  options.stop = stopped.get_token();
  const auto none = write(options);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::cancelled);
}

// A few MiB are under way, however large the layer is.
TEST_F(LayerWrite, IsGivenToTheSinkWhileItIsMade) {
  constexpr std::uint64_t files = 40, size = 1 << 20;
  for (std::uint64_t i = 0; i < files; ++i) upper_.file("f" + std::to_string(i), std::string(size, 'x'));
  const base::Fd lower = lower_.open(), upper = upper_.open();
  std::atomic<std::uint64_t> sunk = 0;
  std::uint64_t told = 0, held_max = 0;
  const auto source = [&](const ChangeVisitor& visitor) {
    return changes_between(lower.get(), upper.get(), [&](const Change& change) {
      held_max = std::max(held_max, told - sunk);
      told += S_ISREG(change.status.st_mode) ? size : 0;
      return visitor(change);
    }, changes_for_layer());
  };
  const auto written = must(write_layer(tree_of(upper.get()), source, [&](std::string_view bytes) -> base::Status {
    sunk += bytes.size();
    return {};
  }, plain()));
  EXPECT_EQ(written.members, files);
  EXPECT_GT(held_max, 0u);
  EXPECT_LE(held_max, std::uint64_t{10} << 20);
}

// Nothing is shared between two layers that are written or applied at the same time.
TEST_F(LayerWrite, SeveralAtOnceAreLikeOneAtATime) {
  for (int i = 0; i < 20; ++i) upper_.file("f" + std::to_string(i), make_bytes(static_cast<std::size_t>(1) << i));
  const auto tar = must(write(plain()));
  std::vector<std::jthread> threads;
  for (const auto compression : {Compression::none, Compression::gzip, Compression::zstd}) {
    threads.emplace_back([&, compression] {
      WriteOptions options;
      options.compression = compression;
      options.threads = 2;
      const auto layer = must(write(options));
      EXPECT_EQ(layer.written.diff, tar.written.diff);
      const test::TempDir target_dir;
      const base::Fd target = TreeAt(target_dir.path().str()).open();
      const auto applied =
          must(apply_layer(tree_of(target.get()), std::make_unique<test::StringSource>(layer.bytes), {}));
      EXPECT_EQ(applied.diff, tar.written.diff);
      EXPECT_EQ(must(write_bytes(target.get(), between(std::nullopt, target.get()), plain())).written.diff, tar.written.diff);
    });
  }
}

TEST_F(LayerWrite, ErrorsOfTheSinkComeBack) {
  upper_.file("large", make_bytes(30 << 20));
  for (const auto compression : {Compression::none, Compression::gzip, Compression::zstd}) {
    std::size_t room = 1 << 20;
    const base::Fd lower = lower_.open(), upper = upper_.open();
    WriteOptions options;
    options.compression = compression;
    options.threads = 2;
    const auto written = write_layer(
        tree_of(upper.get()), between(lower.get(), upper.get()),
        [&](std::string_view bytes) -> base::Status {
          if (bytes.size() > room) return base::fail(ErrorCode::no_space, "the disk is full");
          room -= bytes.size();
          return {};
        },
        options);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, ErrorCode::no_space) << written.error().message;
  }
}

TEST_F(LayerWrite, WhatCannotBeReadIsNamed) {
  upper_.file("f", "four");
  const auto shorter = write_with([](const Change& change, const ChangeVisitor& visitor) {
    Change wrong = change;
    wrong.status.st_size += 1;
    return visitor(wrong);
  });
  ASSERT_FALSE(shorter);
  EXPECT_EQ(shorter.error().code, ErrorCode::io);
  EXPECT_THAT(shorter.error().message, HasSubstr("\"f\""));
  EXPECT_THAT(shorter.error().message, HasSubstr("became shorter"));
  const auto gone = write_with([&](const Change& change, const ChangeVisitor& visitor) {
    if (change.path.str() == "f") upper_.remove("f");
    return visitor(change);
  });
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::not_found);
  EXPECT_THAT(gone.error().message, HasSubstr("\"f\""));
}

TEST_F(LayerWrite, OpaqueDirectoriesHaveToComeAsRemovals) {
  upper_.dir("d");
  const auto layer = write_with([](const Change& change, const ChangeVisitor& visitor) {
    Change opaque = change;
    opaque.kind = ChangeKind::opaque;
    return visitor(opaque);
  });
  ASSERT_FALSE(layer);
  EXPECT_EQ(layer.error().code, ErrorCode::invalid_argument);
}

base::Result<LayerBytes> rewrite_bytes(const std::string& tar, const WriteOptions& options) {
  test::StringSource source(tar, 1000);
  LayerBytes layer;
  const auto sink = [&](std::string_view bytes) -> base::Status {
    layer.bytes += bytes;
    return {};
  };
  layer.written = TRY(rewrite_layer(source, sink, options));
  return layer;
}

TEST_F(LayerWrite, RewrittenALayerHasOtherTimesAndNothingElse) {
  lower_.file("gone", "x");
  upper_.dir("d", 01777);
  upper_.file("d/" + std::string(180, 'n'), make_bytes(3 << 20), 04755);
  upper_.file("d/empty", "");
  upper_.link("d/name", "d/empty");
  upper_.symlink("d/long", std::string(150, 't'));
  upper_.symlink("d/\xc3\xa9", "x");
  upper_.node("d/fifo", S_IFIFO | 0600);
  upper_.node("d/null", S_IFCHR | 0666, 1, 3);
  upper_.owner("d/empty", 3'000'000, 7);
  upper_.xattr("d/empty", "security.capability",
               std::string_view("\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20));
  upper_.time("d/empty", 1'500'000'000);
  const std::string tar = must(write(plain())).bytes;
  const LayerBytes same = must(rewrite_bytes(tar, plain()));
  EXPECT_TRUE(same.bytes == tar);
  EXPECT_EQ(same.written.members, members_of(tar).size());
  WriteOptions clamped = plain();
  clamped.time_max = 1'550'000'000;
  const std::string expected = must(write(clamped)).bytes;
  EXPECT_FALSE(expected == tar);
  EXPECT_TRUE(must(rewrite_bytes(tar, clamped)).bytes == expected);

  EXPECT_EQ(rewrite_bytes(tar.substr(0, 1 << 20), plain()).error().code, ErrorCode::corrupt);
  std::stop_source source;
  source.request_stop();
  clamped.stop = source.get_token();
  EXPECT_EQ(rewrite_bytes(tar, clamped).error().code, ErrorCode::cancelled);
}

// A member of POSIX's extended headers as GNU tar writes sparse files: all of it is one hole.
std::string hole_of(std::uint64_t bytes) {
  std::string records;
  for (const std::string& record : {std::string("GNU.sparse.major=1"), std::string("GNU.sparse.minor=0"),
                                    "GNU.sparse.realsize=" + std::to_string(bytes)}) {
    const std::size_t size = record.size() + 4;  // two digits, a space and a newline
    records += fmt::format("{} {}\n", size, record);
  }
  std::string map = fmt::format("1\n{}\n0\n", bytes);
  map.resize(512);
  std::string tar;
  const auto append = [&](const std::string& name, char type, std::string data) {
    TarEntry entry;
    entry.name = name;
    entry.size = data.size();
    std::string header;
    must(append_header(entry, header));
    header[156] = type;
    header.replace(148, 8, 8, ' ');
    unsigned sum = 0;
    for (const unsigned char c : header) sum += c;
    header.replace(148, 6, fmt::format("{:06o}", sum));
    header[154] = '\0';
    data.resize(data.size() + padding_after(data.size()));
    tar += header + data;
  };
  append("PaxHeaders/f", 'x', records);
  append("f", '0', map);
  return tar + std::string(trailer_bytes, '\0');
}

TEST_F(LayerWrite, AMemberThatAnnouncesAHoleWithoutEndIsRefusedBeforeItIsWritten) {
  EXPECT_EQ(must(rewrite_bytes(hole_of(5 << 20), plain())).bytes.size(), (5u << 20) + 512 + trailer_bytes);
  EXPECT_EQ(rewrite_bytes(hole_of(std::uint64_t{1} << 50), plain()).error().code, ErrorCode::invalid_argument);
}

TEST_F(LayerWrite, UnderAPrefixAllNamesBeginWithItAndMoreMayFollow) {
  upper_.dir("d");
  upper_.file("d/f", "x");
  upper_.link("d/g", "d/f");
  WriteOptions first = plain();
  first.prefix = "a/";
  first.end = WriteOptions::End::left_out;
  std::string both = must(write(first)).bytes;
  first.prefix = "b/";
  first.end = WriteOptions::End::written;
  both += must(write(first)).bytes;
  EXPECT_THAT(members_of(both),
              ElementsAre("a/", "a/d/", "a/d/f", "a/d/g -> a/d/f", "b/", "b/d/", "b/d/f", "b/d/g -> b/d/f"));
}

}  // namespace
}  // namespace cairn::snapshot

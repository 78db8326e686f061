// SPDX-License-Identifier: Apache-2.0
// Blobs in chunks: the same bytes come back, each chunk is there once, goes when nothing has it any more, and every sum
// says so.
#include <thread>

#include "libcache/account/totals.h"
#include "libcache/blobs/chunk_rows.h"
#include "libcache/chunk_rule.h"
#include "libcache/fsck.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/random_bytes.h"
#include "tests/support/string_source.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using test::random_bytes;
using base::lmdb::ReadTxn;

constexpr std::uint32_t average = 16 * 1024;
constexpr std::size_t blob_bytes = 1'500'000;
const std::vector<std::string> none;

BlobDigest name_of(std::string_view bytes) { return base::digest_of<BlobDigest>(bytes); }

// A store with chunks of 16 KiB.
class Chunks : public ::testing::Test {
 protected:
  Chunks() {
    store.cache_options.chunk_bytes = average;
    store.reopen();
  }

  // A record that names a blob with these bytes, under a key.
  RecordId keep(const std::string& bytes, int under) {
    Publication publication;
    const ImmutableRef ref = store.commit(publication, {}, "file", std::to_string(under));
    must(store.cache->blobs().put(bytes));
    publication.add_blob(ref, name_of(bytes));
    publication.add_result(key(under), ref);
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
    return ref.id();
  }
  // What record `under` needs goes with it.
  PruneReport drop(RecordId id) {
    Policy policy;
    policy.rules.push_back(PolicyRule{.name = "one", .filters = {*RecordFilter::parse(fmt::format("id=={}", id))}, .all = true});
    return must(store.cache->prune({.policy = policy}));
  }
  std::string read(const std::string& bytes) { return must(store.cache->blobs().read(name_of(bytes), 1 << 24)); }
  ChunkList list_of(const std::string& bytes) {
    return must(store.env->view([&](ReadTxn& txn) { return txn.get(table::blob_chunks, name_of(bytes)); })).value();
  }
  RecordSpace space_of(RecordId id) {
    RecordSpace space;
    must(store.cache->each_record([&](const RecordInfo& info) -> base::Status {
      if (info.id == id) space = info.space;
      return {};
    }));
    return space;
  }
  std::int64_t bytes_of(std::string_view line) {
    return must(store.env->view([&](ReadTxn& txn) { return total_of(txn, line_total(line)); })).exclusive_bytes;
  }

  OpenStore store;
};

TEST_F(Chunks, TheSameBytesComeBackWholeAndInParts) {
  const std::string bytes = random_bytes(1, blob_bytes);
  test::StringSource source(bytes);
  const auto put = must(store.cache->blobs().put(source, {}));
  EXPECT_EQ(put.info.digest, name_of(bytes));
  EXPECT_EQ(put.info.size, bytes.size());
  EXPECT_EQ(read(bytes), bytes) << "queued";
  ASSERT_OK(store.writer->wait_durable(put.sequence));
  store.reopen();
  EXPECT_EQ(read(bytes), bytes);
  EXPECT_GE(list_of(bytes).chunks.size(), blob_bytes / average / 2);
  EXPECT_NE(::access((store.root() / "blobs/sha256" / name_of(bytes).hex().substr(0, 2)).c_str(), F_OK), 0) << "no file";
  std::mt19937_64 random(2);
  for (int i = 0; i < 200; ++i) {
    const ByteRange range{random() % (blob_bytes + 1), i % 10 == 0 ? ~std::uint64_t{0} : random() % 100'000};
    const auto part = must(store.cache->blobs().open_range(name_of(bytes), range));
    std::string read(blob_bytes, '\0');
    std::size_t count = 0;
    while (const std::size_t more = must(part->read(std::as_writable_bytes(std::span<char>(read)).subspan(count)))) count += more;
    EXPECT_EQ(read.substr(0, count), bytes.substr(range.offset, range.length)) << range.offset << " " << range.length;
  }
  EXPECT_EQ(store.cache->blobs().open_range(name_of(bytes), {blob_bytes + 1, 1}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(store.findings(), none);
}

TEST_F(Chunks, TwoVersionsShareAllButTheChunksAroundTheirDifference) {
  const std::string first = random_bytes(1, blob_bytes);
  std::string second = first;
  second.insert(700'000, "something new");
  const RecordId a = keep(first, 1);
  const std::int64_t alone = bytes_of(line::blobs);
  EXPECT_EQ(space_of(a).blob_exclusive_bytes, alone) << "all of it is its own";
  const RecordId b = keep(second, 2);
  EXPECT_LE(bytes_of(line::blobs) - alone, 3 * 4 * average);
  EXPECT_EQ(bytes_of(line::blobs_unnamed), 0);
  for (const RecordId id : {a, b}) {
    EXPECT_GT(space_of(id).blob_exclusive_bytes, 0);
    EXPECT_LE(space_of(id).blob_exclusive_bytes, 3 * 4 * average);
    EXPECT_EQ(space_of(id).blob_shared_bytes, bytes_of(line::blobs_shared));
  }
  EXPECT_EQ(bytes_of(line::blobs),
            bytes_of(line::blobs_shared) + space_of(a).blob_exclusive_bytes + space_of(b).blob_exclusive_bytes);
  EXPECT_EQ(store.findings(), none);
  store.reopen();
  drop(a);
  EXPECT_EQ(store.cache->blobs().read(name_of(first), 1 << 24).error().code, ErrorCode::not_found);
  EXPECT_EQ(read(second), second);
  EXPECT_EQ(space_of(b).blob_exclusive_bytes, bytes_of(line::blobs));
  EXPECT_EQ(space_of(b).blob_shared_bytes, 0);
  EXPECT_EQ(store.findings(), none);
  drop(b);
  EXPECT_EQ(bytes_of(line::blobs), 0) << "no chunk stays";
  EXPECT_EQ(store.findings(), none);
}

// A chunk that is a blob for somebody stays for him, and is his alone when the rest goes.
TEST_F(Chunks, AChunkThatARecordNamesStaysWithoutTheBlobThatItIsIn) {
  const std::string bytes = random_bytes(1, blob_bytes);
  const RecordId whole = keep(bytes, 1);
  const Chunk first = list_of(bytes).chunks.front();
  const RecordId part = keep(bytes.substr(0, first.size), 2);
  EXPECT_EQ(space_of(part).blob_shared_bytes, bytes_of(line::blobs_shared));
  EXPECT_EQ(store.findings(), none);
  store.reopen();
  drop(whole);
  EXPECT_EQ(read(bytes.substr(0, first.size)), bytes.substr(0, first.size));
  EXPECT_EQ(space_of(part).blob_exclusive_bytes, bytes_of(line::blobs));
  EXPECT_EQ(store.findings(), none);
}

TEST_F(Chunks, ADryRunSaysWhatARealOneFrees) {
  const std::string first = random_bytes(1, blob_bytes), second = first.substr(0, 800'000) + random_bytes(2, 500'000);
  keep(first, 1);
  keep(second, 2);
  store.reopen();
  const PruneReport said = must(store.cache->prune({.all = true, .dry_run = true}));
  const PruneReport done = must(store.cache->prune({.all = true}));
  EXPECT_EQ(said.blobs, done.blobs);
  EXPECT_EQ(said.freed_bytes, done.freed_bytes);
  EXPECT_GE(done.blobs, blob_bytes / average / 2);
  EXPECT_EQ(bytes_of(line::blobs), 0);
  EXPECT_EQ(store.findings(), none);
}

TEST_F(Chunks, WhoReadsABlobKeepsItsChunks) {
  const std::string bytes = random_bytes(1, blob_bytes);
  const RecordId id = keep(bytes, 1);
  store.reopen();
  auto source = must(store.cache->blobs().open(name_of(bytes)));
  std::vector<std::byte> buffer(blob_bytes + 1);
  const std::size_t begun = must(source->read(std::span(buffer).first(1000)));
  EXPECT_EQ(drop(id).blobs, 0u);
  EXPECT_EQ(begun + must(source->read(std::span(buffer).subspan(begun))), blob_bytes);
  EXPECT_EQ(std::memcmp(buffer.data(), bytes.data(), blob_bytes), 0);
  source.reset();
  EXPECT_GE(must(store.cache->prune({.all = true})).blobs, blob_bytes / average / 2);
  EXPECT_EQ(store.findings(), none);
}

TEST_F(Chunks, OtherBytesThanTheNameSaysLeaveNothingThatStays) {
  test::StringSource source(random_bytes(1, blob_bytes));
  EXPECT_EQ(store.cache->blobs().put(source, name_of("another")).error().code, ErrorCode::corrupt);
  EXPECT_FALSE(must(store.cache->blobs().find(name_of("another"))));
  must(store.writer->wait_durable(must(store.cache->blobs().put("later")).sequence));
  store.reopen();
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(bytes_of(line::blobs), 0);
  EXPECT_EQ(store.findings(), none);
}

TEST_F(Chunks, ADamagedChunkCostsTheBlobsThatItIsInAndNoOther) {
  const std::string first = random_bytes(1, blob_bytes), other = random_bytes(3, blob_bytes);
  const std::string second = first.substr(0, 900'000) + random_bytes(2, 500'000);
  keep(first, 1);
  keep(second, 2);
  keep(other, 3);
  const Chunk shared = list_of(first).chunks[3];
  const auto row = must(store.env->view([&](ReadTxn& txn) { return txn.get(table::blobs, shared.digest); })).value();
  ASSERT_EQ(row.place, BlobPlace::pack);
  store.reopen();
  {
    const base::Fd pack = must(base::open_host(store.root() / ("blobs/packs/" + pack_name(row.at.pack)), O_RDWR));
    const auto at = static_cast<off_t>(row.at.offset + entry_header_size + 5);
    char byte = 0;
    ASSERT_EQ(::pread(pack.get(), &byte, 1, at), 1);
    byte ^= 1;
    ASSERT_EQ(::pwrite(pack.get(), &byte, 1, at), 1);
  }
  EXPECT_EQ(store.cache->blobs().read(name_of(second), 1 << 24).error().code, ErrorCode::corrupt);
  must(store.writer->wait_durable(must(store.cache->blobs().put("settle")).sequence));
  EXPECT_EQ(store.cache->blobs().read(name_of(first), 1 << 24).error().code, ErrorCode::not_found);
  EXPECT_TRUE(store.results(key(1)).empty()) << "I5";
  EXPECT_TRUE(store.results(key(2)).empty());
  EXPECT_EQ(read(other), other);
  EXPECT_EQ(store.results(key(3)).size(), 1u);
  EXPECT_EQ(must(store.cache->quarantined()), 3u) << "the chunk, and two blobs";
  EXPECT_EQ(store.findings(), none);
  keep(first, 1);
  EXPECT_EQ(read(first), first) << "put again";
  EXPECT_EQ(store.findings(), none);
}

TEST_F(Chunks, AScrubReadsEachChunkOnceAndFindsTheDamagedOne) {
  const std::string first = random_bytes(1, blob_bytes);
  keep(first, 1);
  keep(first.substr(0, 1'000'000) + "end", 2);
  const ScrubReport clean = must(store.cache->scrub({.from = ScrubOptions::From::beginning}));
  EXPECT_EQ(clean.damaged, 0u);
  EXPECT_LE(clean.bytes, blob_bytes + 2 * 4 * average);
  const Chunk chunk = list_of(first).chunks.back();
  const auto row = must(store.env->view([&](ReadTxn& txn) { return txn.get(table::blobs, chunk.digest); })).value();
  const base::Fd pack = must(base::open_host(store.root() / ("blobs/packs/" + pack_name(row.at.pack)), O_RDWR));
  ASSERT_EQ(::pwrite(pack.get(), "damaged", 7, static_cast<off_t>(row.at.offset + entry_header_size)), 7);
  const std::uint64_t damaged = must(store.cache->scrub({.from = ScrubOptions::From::beginning})).damaged;
  EXPECT_GE(damaged, 1u);
  EXPECT_LE(damaged, 2u) << "the chunk, and the one blob that has it, if that comes after it";
}

TEST_F(Chunks, ARebuildFromTheJournalKnowsThem) {
  const std::string first = random_bytes(1, blob_bytes), second = first.substr(0, 800'000) + random_bytes(2, 500'000);
  keep(first, 1);
  const RecordId gone = keep(second, 2);
  must(store.cache->checkpoint());
  const std::string third = first + "more";
  keep(third, 3);
  store.reopen();
  drop(gone);
  store.close();
  std::vector<const base::lmdb::RawTableSpec*> all(snapshot::tables().begin(), snapshot::tables().end());
  all.insert(all.end(), tables().begin(), tables().end());
  const Rebuild rebuilt = must(rebuild_metadata(store.root(), all));
  EXPECT_EQ(rebuilt.damaged_entries, 0u);
  store.open();
  EXPECT_EQ(read(first), first);
  EXPECT_EQ(read(third), third);
  EXPECT_EQ(store.findings(), none);
}

TEST_F(Chunks, AStoreMayChangeHowItStoresBlobs) {
  store.cache_options.chunk_bytes = 0;
  store.reopen();
  const std::string whole = random_bytes(1, blob_bytes);
  keep(whole, 1);
  store.cache_options.chunk_bytes = average;
  store.reopen();
  keep(whole, 2);
  EXPECT_FALSE(must(store.env->view([&](ReadTxn& txn) { return txn.get(table::blob_chunks, name_of(whole)); }))) << "it is here";
  // What is in chunks of 1 KiB becomes part of a blob with larger ones: its chunks stand in the list of that.
  store.cache_options.chunk_bytes = 4096;
  store.reopen();
  const std::string zeros(1 << 20, '\0');
  const std::string head(256 * 1024, '\0');
  keep(head, 3);
  store.cache_options.chunk_bytes = 64 * 1024;
  store.reopen();
  keep(zeros, 4);
  for (const Chunk& chunk : list_of(zeros).chunks) EXPECT_EQ(chunk.size, 16'384u);
  EXPECT_EQ(read(zeros), zeros);
  EXPECT_EQ(read(head), head);
  EXPECT_EQ(read(whole), whole);
  store.cache_options.chunk_bytes = 0;
  store.reopen();
  EXPECT_EQ(read(zeros), zeros);
  EXPECT_EQ(store.findings(), none);
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(bytes_of(line::blobs), 0);
  EXPECT_EQ(store.findings(), none);
}

TEST_F(Chunks, ABlobThatAChunkMayHoldIsStoredWhole) {
  const std::string bytes = random_bytes(1, 64 * 1024 + 1), small = random_bytes(2, 64 * 1024);
  test::StringSource source(bytes), small_source(small);
  must(store.cache->blobs().put(source, {}));
  must(store.writer->wait_durable(must(store.cache->blobs().put(small_source, {})).sequence));
  EXPECT_EQ(must(store.env->view([&](ReadTxn& txn) { return txn.get(table::blobs, name_of(small)); }))->place, BlobPlace::pack);
  EXPECT_EQ(must(store.env->view([&](ReadTxn& txn) { return txn.get(table::blobs, name_of(bytes)); }))->place, BlobPlace::chunks);
  EXPECT_EQ(read(bytes), bytes);
  EXPECT_EQ(read(small), small);
}

// A block that is cut off again and again: short chunks, so that many are few bytes.
std::string short_chunk(const ChunkRule& rule) {
  for (std::uint64_t seed = 0;; ++seed) {
    const std::string block = random_bytes(seed, 300);
    std::string many;
    while (many.size() < rule.max_bytes()) many += block;
    if (rule.cut(many) == block.size()) return block;
  }
}

TEST_F(Chunks, MoreChunksThanAListHoldsMakeAFile) {
  store.cache_options.chunk_bytes = 1024;
  store.reopen();
  const std::string block = short_chunk(must(ChunkRule::of_average(1024)));
  std::string bytes;
  while (bytes.size() < chunks_max * block.size() + 5 * block.size()) bytes += block;
  bytes += "and an end";
  test::StringSource source(bytes);
  const auto put = must(store.cache->blobs().put(source, name_of(bytes)));
  ASSERT_OK(store.writer->wait_durable(put.sequence));
  EXPECT_EQ(must(store.env->view([&](ReadTxn& txn) { return txn.get(table::blobs, name_of(bytes)); }))->place, BlobPlace::file);
  EXPECT_TRUE(must(store.cache->blobs().read(name_of(bytes), bytes.size())) == bytes);
  if (std::getenv("CAIRN_TEST_FULL") == nullptr) return;
  // A little less than too many is a list, and its rows fit into the journal.
  const std::string fewer = bytes.substr(0, (chunks_max - 2) * block.size()) + "another end";
  must(store.writer->wait_durable(must(store.cache->blobs().put(fewer)).sequence));
  EXPECT_LT(list_of(fewer).chunks.size(), chunks_max);
  EXPECT_GE(list_of(fewer).chunks.size(), chunks_max - 3);
  EXPECT_LE(list_of(fewer).distinct().size(), 3u);
  EXPECT_EQ(store.findings(), none);
}

TEST_F(Chunks, PutsAndReadsOfVersionsGoOnWhileAllThatIsUnnamedIsPruned) {
  const std::string common = random_bytes(1, 600'000);
  std::atomic<bool> stop{false};
  std::atomic<int> rounds{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 12; ++i, ++rounds) {
        // Every second one is another thread's, too.
        const std::string bytes = common + random_bytes(i % 2 == 0 ? i : i * 10 + t, 200'000);
        Publication publication;
        {
          const ImmutableRef ref = store.commit(publication, {}, "file", std::to_string(t * 100 + i));
          const auto put = must(store.cache->blobs().put(bytes));
          EXPECT_TRUE(must(store.cache->blobs().read(put.info.digest, 1 << 24)) == bytes);
          publication.add_blob(ref, put.info.digest);
          EXPECT_OK(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
          EXPECT_TRUE(must(store.cache->blobs().read(put.info.digest, 1 << 24)) == bytes);
        }
      }
    });
  std::jthread pruner([&] {
    while (!stop) must(store.cache->prune({.all = true}));
  });
  threads.clear();
  stop = true;
  pruner.join();
  EXPECT_EQ(rounds, 36);
  EXPECT_EQ(store.findings(), none);
  store.reopen();
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(bytes_of(line::blobs), 0);
  EXPECT_EQ(store.findings(), none);
}

// Whatever names what: sums are checked by adding them up.
TEST_F(Chunks, SumsHoldThroughRandomNamesOfSharedChunks) {
  std::mt19937 random(7);
  std::vector<std::string> blobs;
  const std::string common = random_bytes(1, 400'000);
  for (int i = 0; i < 4; ++i) blobs.push_back(common.substr(static_cast<std::size_t>(i) * 50'000) + random_bytes(10 + i, 100'000));
  blobs.push_back(common.substr(0, 16'000));
  std::map<int, RecordId> records;
  for (int step = 0; step < 40; ++step) {
    const int under = static_cast<int>(random() % 6);
    if (records.contains(under) && random() % 2 == 0) {
      drop(records[under]);
      records.erase(under);
    } else if (!records.contains(under)) {
      Publication publication;
      const ImmutableRef ref = store.commit(publication, {}, "file", std::to_string(step));
      for (const std::string& bytes : blobs)
        if (random() % 2 == 0) publication.add_blob(ref, must(store.cache->blobs().put(bytes)).info.digest);
      publication.add_result(key(under), ref);
      records[under] = ref.id();
      must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
    }
    if (step % 10 == 9) store.reopen();
    ASSERT_EQ(store.findings(), none) << step;
  }
}

TEST(StoreOptions, AreReadOrRefusedWithTheirLine) {
  EXPECT_EQ(must(parse_options("", "store.toml")).chunk_bytes, 0u);
  EXPECT_EQ(must(parse_options("chunk_bytes = 65536\n", "store.toml")).chunk_bytes, 65'536u);
  EXPECT_EQ(must(parse_options("chunk_bytes = 0\n", "store.toml")).chunk_bytes, 0u);
  EXPECT_GT(must(parse_options("", "store.toml")).scrub.bytes_per_second, 0u) << "it is on";
  const BackgroundScrub scrub = must(parse_options("scrub_bytes_per_second = 0\nscrub_every = \"2d\"\n", "store.toml")).scrub;
  EXPECT_EQ(scrub.bytes_per_second, 0u);
  EXPECT_EQ(scrub.every, std::chrono::hours(48));
  for (const char* text : {"chunk_bytes = 1000\n", "chunk_bytes = \"x\"\n", "chunk_bytes = -1\n", "chunk_bytes = 2097152\n", "chunks = 1\n",
                           "scrub_bytes_per_second = -1\n", "scrub_bytes_per_second = \"fast\"\n", "scrub_every = \"often\"\n", "scrub_every = 7\n"}) {
    const auto refused = parse_options(text, "store.toml");
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument) << text;
    EXPECT_NE(refused.error().message.find("store.toml, line 1"), std::string::npos) << refused.error().message;
  }
}

}  // namespace
}  // namespace cairn::cache

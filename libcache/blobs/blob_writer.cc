// SPDX-License-Identifier: Apache-2.0
#include "libcache/blob_writer.h"

#include <algorithm>
#include <semaphore>
#include <thread>

#include "libcache/blobs/blob_files.h"
#include "libcache/blobs/chunked_blob.h"
#include "libcache/blobs/local_blob_store.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using base::Status;

namespace {

// A feed costs a thread and 6 MiB, so it is for what shows that it is large, and for as many at once as there are cores.
constexpr std::uint64_t feed_from = 4u << 20;

std::counting_semaphore<> feed_places(std::max(1u, std::thread::hardware_concurrency()));

struct PlacedFeed {
  explicit PlacedFeed(BlobFile& file) : feed(file) {}

  struct Place {  // taken already; free again when the feed has ended
    Place() = default;
    Place(const Place&) = delete;
    ~Place() { feed_places.release(); }
  } place;
  BlobFileFeed feed;
};

}  // namespace

struct BlobWriter::State {
  State(LocalBlobStore& blobs_in, std::optional<NamespaceId> space_in) : blobs(blobs_in), space(space_in) {}

  Status write(std::string_view bytes);
  Result<BlobStore::Put> finish(std::optional<BlobDigest> expected);
  Status write_large(std::string_view bytes);
  Status write_file(std::string_view bytes);
  Status go_on_as_file();

  LocalBlobStore& blobs;
  const std::optional<NamespaceId> space;
  std::string first;
  std::optional<BlobFile> file;
  std::optional<PlacedFeed> feed;  // of the file
  std::optional<ChunkedBlob> chunks;
  std::uint64_t size = 0;
};

Status BlobWriter::State::write(std::string_view bytes) {
  size += bytes.size();
  if (file || chunks) return write_large(bytes);
  first += bytes;
  if (first.size() <= blobs.whole_max()) return {};
  if (blobs.chunk_rule_)
    chunks.emplace(blobs, *blobs.chunk_rule_);
  else
    file.emplace(TRY(BlobFile::begin(blobs.store_.root)));
  return write_large(std::exchange(first, {}));
}

Status BlobWriter::State::write_large(std::string_view bytes) {
  if (file) return write_file(bytes);
  TRY(chunks->write(bytes));
  return chunks->is_full() ? go_on_as_file() : Status();
}

Status BlobWriter::State::write_file(std::string_view bytes) {
  if (!feed && file->size() >= feed_from && feed_places.try_acquire()) feed.emplace(*file);
  return feed ? feed->feed.write(bytes) : file->write(bytes);
}

Status BlobWriter::State::go_on_as_file() {
  file.emplace(TRY(BlobFile::begin(blobs.store_.root)));
  TRY(chunks->copy_to(*file));
  chunks.reset();
  return {};
}

Result<BlobStore::Put> BlobWriter::State::finish(std::optional<BlobDigest> expected) {
  if (chunks) TRY(chunks->finish());
  if (chunks && chunks->is_full()) TRY(go_on_as_file());
  if (chunks) return blobs.place_chunks(*chunks, expected, nullptr, space);
  if (feed) TRY(feed->feed.finish());
  feed.reset();
  if (file) return blobs.place_file(*file, expected, nullptr, space);
  return blobs.put_for(space, first, expected);
}

BlobWriter::BlobWriter(Cache& cache, std::optional<NamespaceId> space)
    : state_(std::make_unique<State>(local_blobs(cache), space)) {}
BlobWriter::~BlobWriter() = default;
BlobWriter::BlobWriter(BlobWriter&&) noexcept = default;
BlobWriter& BlobWriter::operator=(BlobWriter&&) noexcept = default;

Status BlobWriter::write(std::string_view bytes) {
  TRY(state_->write(bytes), "put blob");
  return {};
}
std::uint64_t BlobWriter::size() const { return state_->size; }
Result<BlobStore::Put> BlobWriter::finish(std::optional<BlobDigest> expected) { return state_->finish(expected); }

base::Status expect_room(Cache& cache, std::int64_t live_bytes_max, std::uint64_t bytes) {
  if (live_bytes_max == 0) return {};
  const std::int64_t live = TRY(cache.disk_usage()).live_bytes();
  const std::int64_t over = live + static_cast<std::int64_t>(bytes) - live_bytes_max;
  if (over <= 0) return {};
  if (TRY(cache.make_room(over)) >= over) return {};
  return base::fail(base::ErrorCode::no_space,
                    "the store holds {} bytes and may hold {}: there is no room for {} more", live, live_bytes_max,
                    bytes);
}

}  // namespace cairn::cache

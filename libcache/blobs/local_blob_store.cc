// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/local_blob_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libbase/read_full.h"
#include "libcache/blobs/blob_files.h"
#include "libcache/blobs/chunk_source.h"
#include "libcache/blobs/chunked_blob.h"
#include "libcache/blobs/piece_source.h"
#include "libcache/blobs/quarantine.h"
#include "libcache/blobs/verified_source.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ByteSource;
using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t stream_bytes = 256 * 1024;
constexpr std::size_t row_bytes_of_chunk = 128;  // in two tables, or in the journal

BlobStore::Put to_put(const BlobDigest& digest, const BlobClaims::Queued& found) {
  return {{digest, found.row.size, found.row.allocated_bytes}, found.sequence};
}

enum class Copy : std::uint8_t { go_on, stop };

// Gives what is left of the source to `take`, piece by piece, until it says stop.
Status copy_rest(ByteSource& source, const std::function<Result<Copy>(std::string_view)>& take) {
  std::string piece(stream_bytes, '\0');
  for (;;) {
    const std::size_t count = TRY(base::read_full(source, std::span<char>(piece)));
    if (TRY(take(std::string_view(piece).substr(0, count))) == Copy::stop || count < piece.size()) return {};
  }
}

Status compare(const BlobDigest& digest, const std::optional<BlobDigest>& expected) {
  if (!expected || *expected == digest) return {};
  return base::fail(ErrorCode::corrupt, "put blob {}: its bytes are those of {}", *expected, digest);
}

}  // namespace

Result<std::optional<LocalBlobStore::Found>> LocalBlobStore::find_any(const BlobDigest& digest) {
  if (auto queued = claims_.queued(digest)) return queued;
  if (claims_.is_going(digest)) return std::optional<Found>();
  const auto row = TRY(store_.keys.in_version([&](base::lmdb::ReadTxn& txn) { return txn.get(table::blobs, digest); }));
  if (!row) return std::optional<Found>();
  return std::optional<Found>(Found{*row, 0});
}

// What is damaged must be gone first: until then its row is in the way of a new one, and what names it loses it yet.
// To a namespace that does not have it a blob is not there: it pays for the whole put. One that is on its way to disk
// pays with the others of its group, and one whose place would be of another kind now (options.h) stays where it is.
Result<std::optional<LocalBlobStore::Found>> LocalBlobStore::find_for_put(const BlobDigest& digest,
                                                                          std::optional<NamespaceId> space) {
  while (claims_.is_damaged(digest)) TRY(await_outcomes(store_));
  auto found = TRY(find_any(digest));
  if (!found || found->sequence != 0 || !space || TRY(is_in(*space, digest))) return found;
  const bool is_small = found->row.size <= packed_blob_max;
  const bool stays = is_small ? found->row.place != BlobPlace::pack : found->row.place == BlobPlace::chunks && !chunk_rule_;
  return stays ? found : std::nullopt;
}

Result<std::optional<BlobInfo>> LocalBlobStore::find(const BlobDigest& digest) {
  const auto found = TRY(find_any(digest));
  if (!found) return std::optional<BlobInfo>();
  return std::optional<BlobInfo>(BlobInfo{digest, found->row.size, found->row.allocated_bytes});
}

Result<BlobStore::Put> LocalBlobStore::put_for(std::optional<NamespaceId> space, std::string_view bytes,
                                               std::optional<BlobDigest> expected) {
  const auto digest = base::digest_of<BlobDigest>(bytes);
  TRY(compare(digest, expected));
  BlobClaims::Claim claim(claims_, digest);
  const BlobClaims::Turn turn(claims_, digest);
  const auto put_bytes = [&]() -> Result<Put> {
    if (const auto found = TRY(find_for_put(digest, space))) return to_put(digest, *found);
    if (bytes.size() <= packed_blob_max) return put_packed(bytes, digest);
    MemorySource rest(std::string(), 0);
    return put_large(bytes, rest, digest, &turn, space);
  };
  const Put put = TRY(given(TRY(put_bytes(), "put blob {}", digest), space));
  claim.keep();
  return put;
}

Result<BlobStore::Put> LocalBlobStore::put(ByteSource& source, std::optional<BlobDigest> expected) {
  std::optional<BlobClaims::Claim> claim;
  std::optional<BlobClaims::Turn> turn;
  if (expected) {
    claim.emplace(claims_, *expected);
    turn.emplace(claims_, *expected);
    if (const auto found = TRY(find_for_put(*expected), "put blob {}", *expected)) {
      claim->keep();
      return to_put(*expected, *found);
    }
  }
  std::string first;
  for (const std::size_t wanted : {packed_blob_max + 1, whole_max() + 1}) {
    const std::size_t before = first.size();
    first.resize(wanted);
    first.resize(before + TRY(base::read_full(source, std::span<char>(first).subspan(before)), "put blob"));
    if (first.size() < wanted) break;
  }
  const Put put = TRY(put_stream(std::move(first), source, expected, turn ? &*turn : nullptr));
  if (claim) claim->keep();
  return put;
}

// With a turn, the caller has the claim and the turn of `expected`, and has looked whether it exists.
Result<BlobStore::Put> LocalBlobStore::put_stream(std::string first, ByteSource& source,
                                                  std::optional<BlobDigest> expected, const BlobClaims::Turn* turn) {
  if (first.size() <= packed_blob_max) {
    if (turn == nullptr) return put(std::string_view(first), {});
    const auto digest = base::digest_of<BlobDigest>(first);
    TRY(compare(digest, expected));
    return put_packed(first, digest).map_error([&](base::Error error) {
      return base::add_context(std::move(error), fmt::format("put blob {}", digest));
    });
  }
  return put_large(first, source, expected, turn);
}

Result<BlobStore::Put> LocalBlobStore::put_large(std::string_view first, ByteSource& source,
                                                 std::optional<BlobDigest> expected, const BlobClaims::Turn* turn,
                                                 std::optional<NamespaceId> space) {
  if (chunk_rule_ && first.size() > whole_max()) return put_in_chunks(first, source, expected, turn, space);
  BlobFile file = TRY(BlobFile::begin(store_.root), "put blob");
  TRY(file.write(first), "put blob");
  return put_as_file(std::move(file), source, expected, turn, space);
}

// A blob whose digest is known now: `place` gives it its row, unless somebody else has.
template <class Place>
Result<BlobStore::Put> LocalBlobStore::place_once(const BlobDigest& digest, std::optional<BlobDigest> expected,
                                                  const BlobClaims::Turn* turn, std::optional<NamespaceId> space,
                                                  Place&& place) {
  TRY(compare(digest, expected));
  if (turn != nullptr) return place();
  BlobClaims::Claim claim(claims_, digest);
  const BlobClaims::Turn own_turn(claims_, digest);
  const auto found = TRY(find_for_put(digest, space), "put blob {}", digest);
  const Put put = TRY(given(found ? to_put(digest, *found) : TRY(place(), "put blob {}", digest), space));
  claim.keep();
  return put;
}

Result<BlobStore::Put> LocalBlobStore::put_as_file(BlobFile file, ByteSource& source, std::optional<BlobDigest> expected,
                                                   const BlobClaims::Turn* turn, std::optional<NamespaceId> space) {
  TRY(file.write_rest(source), "put blob");
  return place_file(file, expected, turn, space);
}

Result<BlobStore::Put> LocalBlobStore::place_file(BlobFile& file, std::optional<BlobDigest> expected,
                                                  const BlobClaims::Turn* turn, std::optional<NamespaceId> space) {
  const BlobDigest digest = file.digest();
  return place_once(digest, expected, turn, space, [&] { return put_file(file, digest, space.has_value()); });
}

Result<BlobStore::Put> LocalBlobStore::place_chunks(ChunkedBlob& blob, std::optional<BlobDigest> expected,
                                                    const BlobClaims::Turn* turn, std::optional<NamespaceId> space) {
  CRASH_POINT("cache.blob.chunks_put");
  const BlobDigest digest = blob.digest();
  return place_once(digest, expected, turn, space, [&] { return enqueue_list(digest, blob); });
}

Result<BlobStore::Put> LocalBlobStore::put_in_chunks(std::string_view first, ByteSource& source,
                                                     std::optional<BlobDigest> expected, const BlobClaims::Turn* turn,
                                                     std::optional<NamespaceId> space) {
  ChunkedBlob blob(*this, *chunk_rule_);
  TRY(blob.write(first), "put blob");
  TRY(copy_rest(source, [&](std::string_view piece) -> Result<Copy> {
        TRY(blob.write(piece));
        return blob.is_full() ? Copy::stop : Copy::go_on;
      }),
      "put blob");
  if (!blob.is_full()) TRY(blob.finish(), "put blob");
  if (blob.is_full()) {
    BlobFile file = TRY(BlobFile::begin(store_.root), "put blob");
    TRY(blob.copy_to(file), "put blob");
    return put_as_file(std::move(file), source, expected, turn, space);
  }
  return place_chunks(blob, expected, turn, space);
}

Result<ChunkList> LocalBlobStore::put_chunk(std::string_view bytes, const BlobDigest& digest) {
  const BlobClaims::Turn turn(claims_, digest);
  const auto found = TRY(find_for_put(digest));
  if (found && found->row.place == BlobPlace::chunks) return *TRY(load_list(digest, found->row));
  if (!found) TRY(put_packed(bytes, digest));
  return ChunkList{{{digest, bytes.size()}}};
}

std::size_t LocalBlobStore::whole_max() const {
  return chunk_rule_ ? std::max<std::size_t>(packed_blob_max, chunk_rule_->max_bytes()) : packed_blob_max;
}

Result<BlobStore::Put> LocalBlobStore::put_packed(std::string_view bytes, const BlobDigest& digest) {
  BlobRow row;
  row.size = bytes.size();
  row.allocated_bytes = static_cast<std::int64_t>(entry_bytes(bytes.size()));
  row.place = BlobPlace::pack;
  const Appended appended = TRY(store_.packs->append({.kind = EntryKind::blob, .digest = digest}, bytes));
  row.at = appended.at();
  return enqueue_row(digest, row);
}

// replaces: what lies there under its name is not looked at, for that would take longer than putting a new one.
Result<BlobStore::Put> LocalBlobStore::put_file(BlobFile& file, const BlobDigest& digest, bool replaces) {
  BlobRow row;
  row.size = file.size();
  row.allocated_bytes = TRY(file.place(digest, replaces));
  const auto sums = store_.packs->append({.kind = EntryKind::checksums, .digest = digest}, file.checksums());
  if (!sums) {
    if (!TRY(find_any(digest))) (void)delete_file(digest);  // on a full disk, what nothing names would be in the way
    return tl::unexpected(sums.error());
  }
  row.at = sums->at();
  return enqueue_row(digest, row);
}

Result<BlobStore::Put> LocalBlobStore::enqueue_row(const BlobDigest& digest, const BlobRow& row) {
  claims_.set_queued(digest, row);
  base::lmdb::GroupWriter::Entry entry;
  entry.data.push_back(Packs::token(row.at.pack));
  entry.bytes = static_cast<std::size_t>(row.size);
  entry.change = [digest, row](base::lmdb::WriteTxn& txn) { return put_blob(txn, digest, row); };
  entry.done = [this, digest, place = row.place](const Status& outcome) {
    claims_.unqueue(digest);
    // Undone as a whole, so that nothing names the file. After another failure the row may have reached the disk.
    if (!outcome && place == BlobPlace::file && outcome.error().code == ErrorCode::no_space) (void)remove_stray(digest);
    if (!outcome) base::log_warning("blob {} is not kept: {}", digest, outcome.error().message);
  };
  const auto number = TRY(enqueue(store_, std::move(entry)));
  claims_.set_sequence(digest, number);
  return to_put(digest, {row, number});
}

// The rows of the chunks are queued before, so they are durable when this one is.
Result<BlobStore::Put> LocalBlobStore::enqueue_list(const BlobDigest& digest, const ChunkedBlob& blob) {
  const auto list = blob.list();
  const BlobRow row{list->size(), 0, BlobPlace::chunks, {}};
  claims_.set_queued(digest, row, list);
  base::lmdb::GroupWriter::Entry entry;
  entry.bytes = list->chunks.size() * row_bytes_of_chunk;
  entry.change = [digest, list](base::lmdb::WriteTxn& txn) { return put_chunked_blob(txn, digest, *list); };
  entry.done = [this, digest, claims = blob.claims()](const Status& outcome) {
    claims_.unqueue(digest);
    claims->clear();
    if (!outcome) base::log_warning("blob {} is not kept: {}", digest, outcome.error().message);
  };
  const auto number = TRY(enqueue(store_, std::move(entry)));
  claims_.set_sequence(digest, number);
  return to_put(digest, {row, number});
}

// Bytes can move or go between the look at the row and the read. The same place twice is what is the matter; so is damage
// that has been reported by then, and with it the row goes.
template <class Open>
auto LocalBlobStore::at_its_place(const BlobDigest& digest, Open&& open) -> std::invoke_result_t<Open, const BlobRow&> {
  std::optional<BlobRow> before;
  std::optional<base::Error> failure;
  for (;;) {
    const auto found = TRY(find_any(digest));
    if (!found && failure && failure->code == ErrorCode::corrupt) return tl::unexpected(std::move(*failure));
    if (!found) return base::fail(ErrorCode::not_found, "no such blob");
    auto opened = open(found->row);
    if (opened) return opened;
    const ErrorCode code = opened.error().code;
    if (code != ErrorCode::not_found && code != ErrorCode::corrupt) return opened;
    if (before == found->row) {
      const bool missing = code == ErrorCode::not_found;
      const std::string reason = (missing ? "its bytes are missing: " : "") + opened.error().message;
      found_damaged(digest, found->row, reason);
      return base::fail(ErrorCode::corrupt, "{}", reason);
    }
    before = found->row;
    failure = std::move(opened).error();
  }
}

Result<std::shared_ptr<const ChunkList>> LocalBlobStore::load_list(const BlobDigest& digest, const BlobRow& row) {
  if (const auto queued = claims_.queued(digest); queued && queued->chunks) return queued->chunks;
  auto list = TRY(store_.env.view([&](base::lmdb::ReadTxn& txn) { return txn.get(table::blob_chunks, digest); }));
  if (!list) return base::fail(ErrorCode::not_found, "it has no list of chunks");
  if (list->size() != row.size) return base::fail(ErrorCode::corrupt, "its chunks have {} bytes", list->size());
  return std::make_shared<const ChunkList>(std::move(*list));
}

// I4: first the claim, then the look. The blob keeps its chunks.
Result<std::unique_ptr<ByteSource>> LocalBlobStore::open_chunks(const BlobDigest& digest, const BlobRow& row,
                                                                ByteRange range, Compare compare) {
  auto claim = std::make_unique<BlobClaims::Claim>(claims_, digest);
  const auto still = TRY(find_any(digest));
  if (!still) return base::fail(ErrorCode::not_found, "it is going");
  auto source = std::make_unique<ChunkSource>(
      std::move(claim), TRY(load_list(digest, row)), [this](const Chunk& chunk) { return read_chunk(chunk); }, range);
  if (compare == Compare::whole) source->compare_with(digest);
  return std::unique_ptr<ByteSource>(std::make_unique<WatchedSource>(
      std::move(source), [this, digest, row](const std::string& why) { found_damaged(digest, row, why); }));
}

Result<std::string> LocalBlobStore::read_chunk(const Chunk& chunk) {
  const auto size = static_cast<std::size_t>(chunk.size);
  auto bytes = read(chunk.digest, size);
  if (bytes && bytes->size() == size) return bytes;
  if (bytes) return base::fail(ErrorCode::corrupt, "chunk {} has {} bytes instead of {}", chunk.digest, bytes->size(), size);
  if (bytes.error().code == ErrorCode::not_found) return base::fail(ErrorCode::corrupt, "chunk {} is missing", chunk.digest);
  return bytes;
}

// What the chunks hold is compared when it is their turn.
Result<std::uint64_t> LocalBlobStore::verify_list(const BlobDigest& digest, const BlobRow& row) {
  const auto list = TRY(load_list(digest, row));
  for (const Chunk& chunk : list->chunks) {
    const auto found = TRY(find_any(chunk.digest));
    if (!found || found->row.size != chunk.size)
      return base::fail(ErrorCode::corrupt, "its chunk {} is missing, or another", chunk.digest);
  }
  return std::uint64_t{0};
}

Result<std::unique_ptr<ByteSource>> LocalBlobStore::open_place(const BlobDigest& digest, const BlobRow& row) {
  if (row.place == BlobPlace::chunks) return open_chunks(digest, row, {0, row.size}, Compare::whole);
  if (row.place == BlobPlace::pack)
    return std::unique_ptr<ByteSource>(
        std::make_unique<MemorySource>(TRY(store_.packs->read(row.at, EntryKind::blob, digest, row.size)), 0));
  auto file = TRY(base::open_host(blob_path(store_.root, digest), O_RDONLY | O_NOFOLLOW));
  return std::unique_ptr<ByteSource>(
      std::make_unique<WatchedSource>(std::make_unique<VerifiedSource>(std::move(file), digest),
                                      [this, digest, row](const std::string& why) { found_damaged(digest, row, why); }));
}

void LocalBlobStore::found_damaged(const BlobDigest& digest, const BlobRow& row, const std::string& reason) {
  const Status queued = quarantine_blob(store_, digest, row, reason, std::make_shared<BlobClaims::Damage>(claims_, digest));
  if (!queued) base::log_warning("blob {} is damaged: {}; {}", digest, reason, queued.error().message);
}

Result<std::uint64_t> LocalBlobStore::verify(const BlobDigest& digest) {
  const auto verify_place = [&](const BlobRow& row) -> Result<std::uint64_t> {
    if (row.place == BlobPlace::chunks) return verify_list(digest, row);
    const auto source = TRY(open_place(digest, row));
    base::Sha256 hash;
    std::vector<std::byte> buffer(stream_bytes);
    for (std::size_t count = buffer.size(); count == buffer.size();) {
      count = TRY(base::read_full(*source, std::span<std::byte>(buffer)));
      hash.update(std::span<const std::byte>(buffer).first(count));
    }
    if (BlobDigest(hash.finish()) != digest) return base::fail(ErrorCode::corrupt, "its bytes are those of another");
    return row.size;
  };
  return TRY(at_its_place(digest, verify_place), "verify blob {}", digest);
}

Result<std::unique_ptr<ByteSource>> LocalBlobStore::open(const BlobDigest& digest) {
  return TRY(at_its_place(digest, [&](const BlobRow& row) { return open_place(digest, row); }), "open blob {}", digest);
}

Result<std::unique_ptr<ByteSource>> LocalBlobStore::open_part(const BlobDigest& digest, const BlobRow& row,
                                                              ByteRange range) {
  if (range.offset > row.size)
    return base::fail(ErrorCode::invalid_argument, "its {} bytes end before {}", row.size, range.offset);
  const std::uint64_t length = std::min(range.length, row.size - range.offset);
  if (row.place == BlobPlace::pack) {
    std::string bytes = TRY(store_.packs->read(row.at, EntryKind::blob, digest, row.size));
    bytes.resize(static_cast<std::size_t>(range.offset + length));
    return std::unique_ptr<ByteSource>(
        std::make_unique<MemorySource>(std::move(bytes), static_cast<std::size_t>(range.offset)));
  }
  if (row.place == BlobPlace::chunks) return open_chunks(digest, row, {range.offset, length}, Compare::pieces);
  auto file = TRY(base::open_host(blob_path(store_.root, digest), O_RDONLY | O_NOFOLLOW));
  std::string sums;
  if (row.at.pack != 0) {
    auto read = store_.packs->read(row.at, EntryKind::checksums, digest, checksum_bytes(row.size));
    if (read) sums = std::move(*read);
  }
  if (sums.empty() && TRY(digest_file(file.get())) != digest)
    return base::fail(ErrorCode::corrupt, "its bytes are those of another");
  return std::unique_ptr<ByteSource>(std::make_unique<WatchedSource>(
      std::make_unique<PieceSource>(std::move(file), std::move(sums), row.size, ByteRange{range.offset, length}),
      [this, digest, row](const std::string& why) { found_damaged(digest, row, why); }));
}

Result<std::unique_ptr<ByteSource>> LocalBlobStore::open_range(const BlobDigest& digest, ByteRange range) {
  return TRY(at_its_place(digest, [&](const BlobRow& row) { return open_part(digest, row, range); }), "open blob {}",
             digest);
}

Result<std::string> LocalBlobStore::read(const BlobDigest& digest, std::size_t size_max) {
  const auto read_place = [&](const BlobRow& row) -> Result<std::string> {
    if (row.size > size_max)
      return base::fail(ErrorCode::invalid_argument, "{} bytes, more than {}", row.size, size_max);
    if (row.place == BlobPlace::pack) return store_.packs->read(row.at, EntryKind::blob, digest, row.size);
    const auto source = TRY(open_place(digest, row));
    // One byte more than there should be, so that the source comes to its end and compares.
    std::string bytes(static_cast<std::size_t>(row.size) + 1, '\0');
    const std::size_t count = TRY(base::read_full(*source, std::span<char>(bytes)));
    if (count == bytes.size()) return base::fail(ErrorCode::corrupt, "its file has grown");
    bytes.resize(count);
    return bytes;
  };
  return TRY(at_its_place(digest, read_place), "read blob {}", digest);
}

void LocalBlobStore::named(const BlobDigest& digest, bool durable) {
  if (durable) claims_.drop(digest);
}

Status LocalBlobStore::delete_file(const BlobDigest& digest) {
  TRY(move_blob_away(store_.root, digest));
  return delete_moved_blob(store_.root, digest);
}

Result<bool> LocalBlobStore::remove_stray(const BlobDigest& digest) {
  const auto turn = BlobClaims::Turn::try_take(claims_, digest);
  if (!turn) return false;
  if (TRY(find_any(digest))) return false;
  if (::access(blob_path(store_.root, digest).c_str(), F_OK) != 0) return false;
  TRY(delete_file(digest));
  return true;
}

Status LocalBlobStore::remove_bytes(const BlobDigest& digest) {
  {
    const BlobClaims::Turn turn(claims_, digest);
    claims_.unmark_dying(digest);
    const auto found = TRY(find_any(digest));
    if (found) return {};
    TRY(move_blob_away(store_.root, digest));
  }
  return delete_moved_blob(store_.root, digest);
}

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
#include "libcache/blob_namespace.h"

#include "libbase/hash/sha256.h"
#include "libcache/blob_writer.h"
#include "libcache/blobs/namespace_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;

NamespaceId namespace_id(std::string_view name) {
  const auto digest = base::digest_of<BlobDigest>(base::ByteWriter().string("cairn.namespace").string(name).take());
  base::ByteReader reader(digest.raw());
  return NamespaceId(reader.u64().value_or(0));
}

Status erase_namespaces_of(base::lmdb::WriteTxn& txn, const BlobDigest& blob) {
  std::vector<FreshNamespaces::Key> keys;
  TRY(scan_rows(txn, table::blob_namespaces, key_prefix(blob), [&](const FreshNamespaces::Key& key, const Present&) -> Result<base::lmdb::Scan> {
    keys.push_back(key);
    return base::lmdb::Scan::next;
  }));
  for (const FreshNamespaces::Key& key : keys) TRY(txn.erase(table::blob_namespaces, key));
  return {};
}

Result<bool> LocalBlobStore::is_in(NamespaceId space, const BlobDigest& digest) {
  const FreshNamespaces::Key key(digest, space);
  if (fresh_namespaces_.has(key)) return true;
  return TRY(store_.keys.in_version([&](base::lmdb::ReadTxn& txn) { return txn.get(table::blob_namespaces, key); })).has_value();
}

Result<BlobStore::Put> LocalBlobStore::given(Put put, std::optional<NamespaceId> space) {
  if (!space || TRY(is_in(*space, put.info.digest))) return put;
  put.sequence = std::max(put.sequence, TRY(give(*space, put.info.digest), "put blob {}", put.info.digest));
  return put;
}

// A blob that has gone by then leaves no row behind.
Result<base::lmdb::SequenceNumber> LocalBlobStore::give(NamespaceId space, const BlobDigest& digest) {
  const FreshNamespaces::Key key(digest, space);
  fresh_namespaces_.add(key);
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [key](base::lmdb::WriteTxn& txn) -> Status {
    if (!TRY(txn.get(table::blobs, std::get<0>(key)))) return {};
    return txn.put(table::blob_namespaces, key, {});
  };
  entry.done = [this, key](const Status&) { fresh_namespaces_.remove(key); };
  return enqueue(store_, std::move(entry));
}

Status BlobView::expect_there(const BlobDigest& digest) const {
  if (!space_ || TRY(local_blobs(*cache_).is_in(*space_, digest))) return {};
  return base::fail(ErrorCode::not_found, "no such blob");
}

Result<BlobStore::Put> BlobView::put(base::ByteSource& source, std::optional<BlobDigest> expected) {
  if (!space_) return cache_->blobs().put(source, expected);
  BlobWriter writer(*cache_, space_);
  std::string piece(256 * 1024, '\0');
  while (const std::size_t count = TRY(source.read(std::as_writable_bytes(std::span<char>(piece)))))
    TRY(writer.write(std::string_view(piece).substr(0, count)));
  return writer.finish(expected);
}

Result<BlobStore::Put> BlobView::put(std::string_view bytes, std::optional<BlobDigest> expected) {
  return local_blobs(*cache_).put_for(space_, bytes, expected);
}

Result<std::optional<BlobInfo>> BlobView::find(const BlobDigest& digest) {
  if (space_ && !TRY(local_blobs(*cache_).is_in(*space_, digest))) return std::optional<BlobInfo>();
  return cache_->blobs().find(digest);
}

Result<std::unique_ptr<base::ByteSource>> BlobView::open(const BlobDigest& digest) {
  TRY(expect_there(digest), "open blob {}", digest);
  return cache_->blobs().open(digest);
}

Result<std::unique_ptr<base::ByteSource>> BlobView::open_range(const BlobDigest& digest, ByteRange range) {
  TRY(expect_there(digest), "open blob {}", digest);
  return cache_->blobs().open_range(digest, range);
}

Result<std::string> BlobView::read(const BlobDigest& digest, std::size_t size_max) {
  TRY(expect_there(digest), "read blob {}", digest);
  return cache_->blobs().read(digest, size_max);
}

}  // namespace cairn::cache

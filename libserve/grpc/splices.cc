// SPDX-License-Identifier: Apache-2.0
// SplitBlob and SpliceBlob: a blob as the chunks that FastCDC 2020 cuts it into, so that a client moves only those that
// the other side does not have.
#include "libserve/grpc/splices.h"
#include "libbase/read_full.h"
#include "libcache/cache.h"
#include "libcache/chunk_rule.h"
#include "libserve/grpc/cas.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;
using base::Status;
using grpc::ServerUnaryReactor;

namespace {

constexpr std::size_t chunks_max = 50'000;

// One blob after the other, as one stream.
class Joined final : public base::ByteSource {
 public:
  Joined(cache::BlobStore& blobs, std::vector<SizedDigest> chunks) : blobs_(blobs), chunks_(std::move(chunks)) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    while (true) {
      if (!current_) {
        if (at_ == chunks_.size()) return 0;
        current_ = TRY(blobs_.open(chunks_[at_].digest), "chunk {}", chunks_[at_].digest);
        ++at_;
      }
      const std::size_t count = TRY(current_->read(out));
      if (count > 0 || out.empty()) return count;
      current_.reset();
    }
  }

 private:
  cache::BlobStore& blobs_;
  const std::vector<SizedDigest> chunks_;
  std::size_t at_ = 0;
  std::unique_ptr<base::ByteSource> current_;
};

Result<base::lmdb::SequenceNumber> split(const Admitted& store, const reapi::SplitBlobRequest& request,
                                         reapi::SplitBlobResponse& response) {
  TRY(expect_names(request));
  const SizedDigest wanted = TRY(from_message(request.blob_digest()));
  cache::BlobStore& blobs = store.blobs;
  if (!is_there(blobs, wanted))
    return base::fail(ErrorCode::not_found, "blob {} of {} bytes is not there", wanted.digest, wanted.size);
  response.set_chunking_function(reapi::ChunkingFunction::FAST_CDC_2020);
  if (wanted.size == 0) return 0;
  const cache::ChunkRule rule = TRY(cache::ChunkRule::of_average(chunk_bytes_average));
  auto source = TRY(blobs.open(wanted.digest));
  std::string buffer;
  base::lmdb::SequenceNumber last = 0;
  for (bool at_end = false; !at_end || !buffer.empty();) {
    if (const std::size_t before = buffer.size(); !at_end) {
      buffer.resize(rule.max_bytes());
      buffer.resize(before + TRY(base::read_full(*source, std::span<char>(buffer).subspan(before))));
      at_end = buffer.size() < rule.max_bytes();
    }
    if (buffer.empty()) break;
    const std::size_t size = rule.cut(buffer);
    if (static_cast<std::size_t>(response.chunk_digests_size()) == chunks_max)
      return base::fail(ErrorCode::invalid_argument, "blob {}: more than {} chunks", wanted.digest, chunks_max);
    TRY(expect_room(store.intake, size));
    const auto put = TRY(blobs.put(std::string_view(buffer).substr(0, size)));
    store.entries.uploaded(put.info.digest);
    last = std::max(last, put.sequence);
    auto* const chunk = response.add_chunk_digests();
    chunk->set_hash(put.info.digest.hex());
    chunk->set_size_bytes(static_cast<std::int64_t>(size));
    buffer.erase(0, size);
  }
  return last;
}

Result<base::lmdb::SequenceNumber> splice(const Admitted& store, const reapi::SpliceBlobRequest& request,
                                          reapi::SpliceBlobResponse& response) {
  TRY(expect_names(request));
  const SizedDigest wanted = TRY(from_message(request.blob_digest()));
  cache::BlobStore& blobs = store.blobs;
  std::vector<SizedDigest> chunks;
  std::uint64_t total = 0;
  if (static_cast<std::size_t>(request.chunk_digests_size()) > chunks_max)
    return base::fail(ErrorCode::invalid_argument, "{} chunks: {} are the most", request.chunk_digests_size(),
                      chunks_max);
  for (const reapi::Digest& digest : request.chunk_digests()) {
    chunks.push_back(TRY(from_message(digest)));
    total += chunks.back().size;
    if (!promise_if_there(store, chunks.back()))
      return base::fail(ErrorCode::not_found, "chunk {} of {} bytes is not there", chunks.back().digest,
                        chunks.back().size);
  }
  if (total != wanted.size)
    return base::fail(ErrorCode::invalid_argument, "blob {}: its chunks have {} bytes where {} were said",
                      wanted.digest, total, wanted.size);
  *response.mutable_blob_digest() = request.blob_digest();
  if (promise_if_there(store, wanted)) return 0;
  TRY(expect_room(store.intake, wanted.size));
  Joined joined(blobs, std::move(chunks));
  const auto put = TRY(blobs.put(joined, wanted.digest));
  store.entries.uploaded(wanted.digest);
  return put.sequence;
}

}  // namespace

ServerUnaryReactor* CasService::SplitBlob(Call* call, const reapi::SplitBlobRequest* request,
                                          reapi::SplitBlobResponse* response) {
  return on_a_worker(
      context_, call, Rpc::split_blob, request->instance_name(),
      [request, response](const Admitted& store, std::stop_token) { return split(store, *request, *response); });
}

ServerUnaryReactor* CasService::SpliceBlob(Call* call, const reapi::SpliceBlobRequest* request,
                                           reapi::SpliceBlobResponse* response) {
  return on_a_worker(
      context_, call, Rpc::splice_blob, request->instance_name(),
      [request, response](const Admitted& store, std::stop_token) { return splice(store, *request, *response); });
}

}  // namespace cairn::serve

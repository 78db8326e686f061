// SPDX-License-Identifier: Apache-2.0
// Two threads share the work of writing a layer: the caller's walks the changes and makes the tar, the other one hashes it,
// compresses it (on threads of the encoder) and gives it to the sink.
#include <thread>
#include <utility>

#include "libbase/hash/sha256.h"
#include "libsnapshot/layer.h"
#include "libsnapshot/tar/chunk_writer.h"
#include "libsnapshot/tar/member_writer.h"

namespace cairn::snapshot {
namespace {

using base::Compression;
using base::ErrorCode;
using base::fail;
using base::Status;

constexpr std::size_t chunk_bytes = 1 << 20;
constexpr std::size_t chunks_waiting_max = 4;

// What happens to the tar: hash, compress, hash, sink.
class Outlet {
 public:
  Outlet(const LayerSink& sink, const WriteOptions& options)
      : sink_(sink), compression_(options.compression), threads_(options.threads), level_(options.level) {
    if (threads_ == 0) threads_ = std::max(1u, std::thread::hardware_concurrency());
  }

  Status drain(base::BytePipe& pipe) {
    const auto encoder = base::make_parallel_encoder(
        compression_, [this](std::string_view bytes) { return store(bytes); }, level_, threads_);
    while (auto chunk = TRY(pipe.take())) {
      written_.diff_bytes += chunk->size;
      diff_.update(chunk->text());
      TRY(encoder->write(chunk->text()));
      pipe.give_back(std::move(*chunk));
    }
    TRY(encoder->finish());
    written_.diff = DiffId(diff_.finish());
    // One and the same stream is not hashed twice.
    written_.blob = compression_ == Compression::none ? BlobDigest(written_.diff.bytes()) : BlobDigest(blob_.finish());
    return {};
  }
  Written& written() { return written_; }

 private:
  Status store(std::string_view bytes) {
    if (compression_ != Compression::none) blob_.update(bytes);
    written_.blob_bytes += bytes.size();
    return sink_(bytes);
  }

  const LayerSink& sink_;
  const Compression compression_;
  unsigned threads_;
  int level_;
  base::Sha256 diff_, blob_;
  Written written_;
};

Status write_members(MemberWriter& members, ChunkWriter& out, const ChangeSource& changes,
                     const WriteOptions& options) {
  TRY(members.begin());
  TRY(changes([&](const Change& change) -> Status {
    if (options.stop.stop_requested()) return fail(ErrorCode::cancelled, "write a layer: stopped");
    return members.write(change);
  }));
  if (options.end == WriteOptions::End::written) TRY(members.finish());
  return out.flush();
}

}  // namespace

ChangeOptions changes_for_layer(std::stop_token stop) {
  return {.replay = Replay::hard_links,
          .opaque = Opaque::expand,
          .contents = Contents::trust_times,
          .may_differ = {},
          .stop = std::move(stop),
          .counts = nullptr};
}

base::Result<Written> write_layer(const MountedTree& tree, const ChangeSource& changes, const LayerSink& sink,
                                  const WriteOptions& options) {
  base::BytePipe pipe(chunk_bytes, chunks_waiting_max);
  Outlet outlet(sink, options);
  Status stored;
  std::jthread storing([&] {
    stored = outlet.drain(pipe);
    if (!stored) pipe.close(stored.error());
  });
  ChunkWriter out(pipe, options.progress);
  MemberWriter members(tree.fd(), out, options.time_max, options.prefix);
  const Status made = write_members(members, out, changes, options);
  pipe.end(made);
  storing.join();
  if (!made) return tl::unexpected(made.error());
  if (!stored) return tl::unexpected(stored.error());
  Written written = outlet.written();
  written.members = members.members();
  return written;
}

}  // namespace cairn::snapshot

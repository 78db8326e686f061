// SPDX-License-Identifier: Apache-2.0
// Two threads share the work of writing a layer: the caller's walks the changes and makes the tar, the other one hashes it,
// compresses it (on threads of the encoder) and gives it to the sink.
#include <thread>
#include <utility>

#include "libbase/hash/sha256.h"
#include "libsnapshot/layer.h"
#include "libsnapshot/tar/chunk_writer.h"
#include "libsnapshot/tar/encoder.h"
#include "libsnapshot/tar/member_writer.h"
#include "libsnapshot/tar/tar_reader.h"

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
      : sink_(sink), compression_(options.compression), threads_(options.threads), level_(options.level), hashes_blob_(options.hashes_blob) {
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
    if (hashes_blob_) written_.blob = is_tar() ? BlobDigest(written_.diff.bytes()) : BlobDigest(blob_.finish());
    return {};
  }
  Written& written() { return written_; }

 private:
  Status store(std::string_view bytes) {
    if (hashes_blob_ && !is_tar()) blob_.update(bytes);
    written_.blob_bytes += bytes.size();
    return sink_(bytes);
  }

  bool is_tar() const { return compression_ == Compression::none; }

  const LayerSink& sink_;
  const Compression compression_;
  unsigned threads_;
  int level_;
  bool hashes_blob_;
  base::Sha256 diff_, blob_;
  Written written_;
};

Status write_members(MemberWriter& members, const ChangeSource& changes, const WriteOptions& options) {
  TRY(members.begin());
  TRY(changes([&](const Change& change) -> Status {
    if (options.stop.stop_requested()) return fail(ErrorCode::cancelled, "write a layer: stopped");
    return members.write(change);
  }));
  return options.end == WriteOptions::End::written ? members.finish() : Status();
}

// Runs what makes a tar beside what becomes of it. make: gives how many members it has written.
template <class Make>
base::Result<Written> write_through(const LayerSink& sink, const WriteOptions& options, const Make& make) {
  base::BytePipe pipe(chunk_bytes, chunks_waiting_max);
  Outlet outlet(sink, options);
  Status stored;
  std::jthread storing([&] {
    stored = outlet.drain(pipe);
    if (!stored) pipe.close(stored.error());
  });
  ChunkWriter out(pipe, options.progress);
  base::Result<std::uint64_t> members = make(out);
  if (const Status flushed = members ? out.flush() : Status(); !flushed) members = tl::unexpected(flushed.error());
  pipe.end(members ? Status() : tl::unexpected(members.error()));
  storing.join();
  if (!members) return tl::unexpected(members.error());
  if (!stored) return tl::unexpected(stored.error());
  Written written = outlet.written();
  written.members = *members;
  return written;
}

// The members of a tar once more.
class Rewriter {
 public:
  Rewriter(base::ByteSource& tar, ChunkWriter& out, const WriteOptions& options)
      : tar_(tar), out_(out), options_(options), buffer_(chunk_bytes) {}

  base::Result<std::uint64_t> run() {
    std::uint64_t members = 0;
    const auto reader = TRY(TarReader::open([this]() -> base::Result<std::span<const char>> {
      const std::size_t count = TRY(tar_.read(std::as_writable_bytes(std::span(buffer_))));
      return std::span<const char>(buffer_).first(count);
    }));
    while (auto member = TRY(reader->next())) {
      if (options_.stop.stop_requested()) return fail(ErrorCode::cancelled, "write a layer: stopped");
      TRY(write(std::move(*member), *reader));
      ++members;
    }
    if (options_.end == WriteOptions::End::written) TRY(out_.append_zeros(trailer_bytes));
    return members;
  }

 private:
  Status write(TarEntry member, TarReader& reader) {
    if (member.type == EntryType::directory && !member.name.ends_with('/')) member.name += '/';
    member.name = options_.prefix + member.name;
    if (options_.time_max && member.mtime.tv_sec >= *options_.time_max)
      member.mtime = {.tv_sec = *options_.time_max, .tv_nsec = 0};
    // Before anything of it is written: a header can announce holes without end.
    if (member.size > rewritten_max || out_.bytes() > rewritten_max) return unlike(member);
    header_.clear();
    TRY(append_header(member, header_));
    TRY(out_.append(header_));
    std::uint64_t done = 0;
    while (const auto block = TRY(reader.read_block())) {
      if (block->offset < done || block->offset + block->bytes.size() > member.size) return unlike(member);
      TRY(out_.append_zeros(static_cast<std::size_t>(block->offset - done)));
      TRY(out_.append({block->bytes.data(), block->bytes.size()}));
      done = block->offset + block->bytes.size();
    }
    return out_.append_zeros(static_cast<std::size_t>(member.size - done) + padding_after(member.size));
  }
  static Status unlike(const TarEntry& member) {
    return fail(ErrorCode::invalid_argument, "\"{}\": its data is not what its header says", member.name);
  }

  static constexpr std::uint64_t rewritten_max = std::uint64_t{1} << 40;
  base::ByteSource& tar_;
  ChunkWriter& out_;
  const WriteOptions& options_;
  std::vector<char> buffer_;
  std::string header_;
};

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
  return write_through(sink, options, [&](ChunkWriter& out) -> base::Result<std::uint64_t> {
    MemberWriter members(tree.fd(), out, options.time_max, options.prefix);
    TRY(write_members(members, changes, options));
    return members.members();
  });
}

base::Result<Written> rewrite_layer(base::ByteSource& tar, const LayerSink& sink, const WriteOptions& options) {
  return write_through(sink, options, [&](ChunkWriter& out) { return Rewriter(tar, out, options).run(); });
}

}  // namespace cairn::snapshot

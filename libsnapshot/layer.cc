// SPDX-License-Identifier: Apache-2.0
// The streams of a layer being applied: bytes as stored → digest → decompression → digest on one thread, tar → tree on the
// caller's. Both digests cover their stream to its very end, trailing bytes after the archive included.
#include "libsnapshot/layer.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libbase/hash/sha256.h"
#include "libbase/byte_pipe.h"
#include "libbase/read_full.h"
#include "libsnapshot/tar/extractor.h"
#include "libsnapshot/tar/tar_reader.h"

namespace cairn::snapshot {
namespace {

using base::ByteSource;
using base::ErrorCode;
using base::fail;

constexpr std::size_t magic_bytes = 4;
constexpr std::size_t chunk_bytes = 1 << 20;
constexpr std::size_t chunks_waiting_max = 4;

// Passes bytes on, hashing and counting them.
class HashingSource final : public ByteSource {
 public:
  HashingSource(std::unique_ptr<ByteSource> source, std::function<void(std::uint64_t)> progress, std::stop_token stop)
      : source_(std::move(source)), progress_(std::move(progress)), stop_(std::move(stop)) {}

  base::Result<std::size_t> read(std::span<std::byte> out) override {
    if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "apply a layer: stopped");
    const std::size_t count = TRY(source_->read(out));
    hash_.update(std::span<const std::byte>(out.first(count)));
    bytes_ += count;
    if (progress_ && count > 0) progress_(bytes_);
    return count;
  }
  base::Status drain() {
    std::vector<std::byte> buffer(256 * 1024);
    while (TRY(read(buffer)) > 0) {
    }
    return {};
  }
  std::uint64_t bytes() const { return bytes_; }
  base::Sha256Bytes digest() { return hash_.finish(); }

 private:
  std::unique_ptr<ByteSource> source_;
  std::function<void(std::uint64_t)> progress_;
  std::stop_token stop_;
  base::Sha256 hash_;
  std::uint64_t bytes_ = 0;
};

// Gives the bytes looked at in advance, then the rest of a source that somebody else owns.
class ReplaySource final : public ByteSource {
 public:
  ReplaySource(std::string first, ByteSource& rest) : first_(std::move(first)), rest_(rest) {}

  base::Result<std::size_t> read(std::span<std::byte> out) override {
    if (used_ == first_.size()) return rest_.read(out);
    const std::size_t count = std::min(out.size(), first_.size() - used_);
    std::memcpy(out.data(), first_.data() + used_, count);
    used_ += count;
    return count;
  }

 private:
  std::string first_;
  std::size_t used_ = 0;
  ByteSource& rest_;
};

base::Result<std::string> read_magic(ByteSource& source) {
  std::string magic(magic_bytes, '\0');
  magic.resize(TRY(base::read_full(source, std::span<char>(magic))));
  return magic;
}

// The thread that turns stored bytes into tar, and hashes both.
class Inlet {
 public:
  Inlet(std::unique_ptr<ByteSource> layer, const ApplyOptions& options)
      : options_(options), stored_(std::move(layer), options.progress, options.stop) {}

  base::Status fill(base::BytePipe& pipe) {
    std::string magic = TRY(read_magic(stored_));
    const auto compression = base::detect_compression(magic);
    const auto tar = base::make_decoder(compression, std::make_unique<ReplaySource>(std::move(magic), stored_),
                                        options_.unpacked_max);
    const bool is_packed = compression != base::Compression::none;
    while (true) {
      base::PipeChunk chunk = TRY(read_chunk(*tar, pipe));
      if (chunk.size == 0) break;
      if (is_packed) diff_.update(chunk.filled());
      TRY(pipe.put(std::move(chunk)));
    }
    TRY(stored_.drain());
    applied_.blob = BlobDigest(stored_.digest());
    applied_.blob_bytes = stored_.bytes();
    applied_.diff = DiffId(is_packed ? diff_.finish() : applied_.blob.bytes());  // one stream is not hashed twice
    return {};
  }
  const Applied& applied() const { return applied_; }

 private:
  base::Result<base::PipeChunk> read_chunk(ByteSource& tar, base::BytePipe& pipe) {
    base::PipeChunk chunk = TRY(pipe.read(tar));
    unpacked_ += chunk.size;
    if (unpacked_ > options_.ratio_free && unpacked_ / std::max<std::uint64_t>(stored_.bytes(), 1) > options_.ratio_max) {
      base::Error bomb{ErrorCode::invalid_argument,
                       fmt::format("apply a layer: {} bytes of it unpack to more than {}", stored_.bytes(), unpacked_),
                       "a limit of the caller says how many times its own size a layer may unpack to"};
      return tl::unexpected(std::move(bomb));
    }
    return chunk;
  }

  const ApplyOptions& options_;
  HashingSource stored_;
  base::Sha256 diff_;
  std::uint64_t unpacked_ = 0;
  Applied applied_;
};

// The chunks of a pipe, one after the other.
class PipeBlocks {
 public:
  explicit PipeBlocks(base::BytePipe& pipe) : pipe_(pipe) {}

  base::Result<std::span<const char>> next() {
    if (current_) pipe_.give_back(*std::exchange(current_, std::nullopt));
    current_ = TRY(pipe_.take());
    if (!current_) return std::span<const char>();
    return std::span(reinterpret_cast<const char*>(current_->bytes.get()), current_->size);
  }

 private:
  base::BytePipe& pipe_;
  std::optional<base::PipeChunk> current_;
};

base::Status extract(int root, base::BytePipe& pipe, const ApplyOptions& options, Applied& applied) {
  PipeBlocks blocks(pipe);
  auto reader = TRY(TarReader::open([&] { return blocks.next(); }));
  Extractor extractor(root, options.devices, options.observer);
  while (true) {
    if (options.stop.stop_requested()) return fail(ErrorCode::cancelled, "apply a layer: stopped");
    const auto entry = TRY(reader->next());
    if (!entry) break;
    if (++applied.entries > options.entries_max) {
      return fail(ErrorCode::invalid_argument, "apply a layer: it has more than {} entries", options.entries_max);
    }
    TRY(extractor.apply(*entry, *reader, options.stop));
  }
  TRY(extractor.finish());
  applied.devices_skipped = extractor.skipped().devices;
  applied.xattrs_skipped = extractor.skipped().xattrs;
  // What follows the archive is part of the layer's bytes, and may still be damaged or too much.
  while (!TRY(blocks.next()).empty()) {
  }
  return {};
}

}  // namespace

base::Result<Applied> apply_layer(const MountedTree& tree, std::unique_ptr<ByteSource> layer,
                                  const ApplyOptions& options) {
  base::BytePipe pipe(chunk_bytes, chunks_waiting_max);
  Inlet inlet(std::move(layer), options);
  std::jthread reading([&] { pipe.end(inlet.fill(pipe)); });
  Applied extracted;
  const base::Status done = extract(tree.fd(), pipe, options, extracted);
  if (!done) pipe.close(done.error());
  reading.join();
  if (!done) return tl::unexpected(done.error());
  Applied applied = inlet.applied();
  applied.entries = extracted.entries;
  applied.devices_skipped = extracted.devices_skipped;
  applied.xattrs_skipped = extracted.xattrs_skipped;
  return applied;
}

}  // namespace cairn::snapshot

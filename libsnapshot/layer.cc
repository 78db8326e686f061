// SPDX-License-Identifier: Apache-2.0
// The streams of a layer: bytes as stored → digest → decompression → digest → tar → tree. Both digests cover their
// stream to its very end, trailing bytes after the archive included.
#include "libsnapshot/layer.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "libbase/hash/sha256.h"
#include "libsnapshot/tar/extractor.h"
#include "libsnapshot/tar/tar_reader.h"

namespace cairn::snapshot {
namespace {

using base::ByteSource;
using base::ErrorCode;
using base::fail;

constexpr std::size_t magic_bytes = 4;

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
  std::size_t size = 0;
  while (size < magic.size()) {
    const auto count = TRY(source.read(std::as_writable_bytes(std::span(magic)).subspan(size)));
    if (count == 0) break;
    size += count;
  }
  magic.resize(size);
  return magic;
}

base::Result<std::uint64_t> extract(int root, ByteSource& tar, const ApplyOptions& options) {
  auto reader = TRY(TarReader::open(tar));
  Extractor extractor(root);
  std::uint64_t entries = 0;
  while (true) {
    if (options.stop.stop_requested()) return fail(ErrorCode::cancelled, "apply a layer: stopped");
    const auto entry = TRY(reader->next());
    if (!entry) break;
    if (++entries > options.entries_max) {
      return fail(ErrorCode::invalid_argument, "apply a layer: it has more than {} entries", options.entries_max);
    }
    TRY(extractor.apply(*entry, *reader, options.stop));
  }
  TRY(extractor.finish());
  return entries;
}

}  // namespace

base::Result<Applied> apply_layer(const MountedTree& tree, std::unique_ptr<ByteSource> layer,
                                  const ApplyOptions& options) {
  HashingSource stored(std::move(layer), options.progress, options.stop);
  std::string magic = TRY(read_magic(stored));
  const auto compression = base::detect_compression(magic);
  HashingSource tar(base::make_decoder(compression, std::make_unique<ReplaySource>(std::move(magic), stored),
                                       options.unpacked_max),
                    {}, options.stop);
  Applied applied;
  applied.entries = TRY(extract(tree.fd(), tar, options));
  TRY(tar.drain());
  TRY(stored.drain());
  applied.blob = BlobDigest(stored.digest());
  applied.blob_bytes = stored.bytes();
  applied.diff = DiffId(tar.digest());
  return applied;
}

}  // namespace cairn::snapshot

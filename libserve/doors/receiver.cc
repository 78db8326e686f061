// SPDX-License-Identifier: Apache-2.0
#include "libserve/doors/receiver.h"

#include <fcntl.h>

#include "libbase/fs/file_source.h"
#include "libcache/blob_writer.h"
#include "libcache/cache.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

class PlainReceiver final : public Receiver {
 public:
  PlainReceiver(Intake& intake, std::optional<cache::NamespaceId> space, std::optional<BlobDigest> expected)
      : intake_(intake), writer_(intake.cache, space), expected_(expected) {}
  Status write(std::string_view piece) override {
    TRY(expect_room(intake_, writer_.size() + piece.size()));
    return writer_.write(piece);
  }
  Result<cache::BlobStore::Put> finish() override { return writer_.finish(expected_); }

 private:
  Intake& intake_;
  cache::BlobWriter writer_;
  const std::optional<BlobDigest> expected_;
};

// What comes in packed lies in a file without a name until it is whole; then it is unpacked into the store.
class PackedReceiver final : public Receiver {
 public:
  PackedReceiver(Intake& intake, std::optional<cache::NamespaceId> space, base::Compression packed, base::Fd file,
                 std::optional<std::uint64_t> size, std::optional<BlobDigest> expected)
      : intake_(intake), space_(space), packed_(packed), file_(std::move(file)), size_(size), expected_(expected) {}
  Status write(std::string_view piece) override {
    packed_bytes_ += piece.size();
    TRY(expect_room(intake_, packed_bytes_));
    return base::write_full(file_.get(), piece);
  }
  Result<cache::BlobStore::Put> finish() override {
    if (packed_bytes_ == 0) return base::fail(ErrorCode::invalid_argument, "no bytes are no zstd frame");
    auto bytes = base::make_decoder(packed_, std::make_unique<base::FileSource>(std::move(file_)),
                                    size_.value_or(intake_.body_max));
    cache::BlobWriter writer(intake_.cache, space_);
    std::string piece(256 * 1024, '\0');
    for (;;) {
      const auto count = bytes->read(std::as_writable_bytes(std::span(piece)));
      if (!count && count.error().code == ErrorCode::invalid_argument && size_)
        return base::fail(ErrorCode::corrupt, "it has more than the {} bytes that were said", *size_);
      if (TRY(count) == 0) break;
      TRY(expect_room(intake_, writer.size() + *count));
      TRY(writer.write(std::string_view(piece).substr(0, *count)));
    }
    if (size_ && *size_ != writer.size())
      return base::fail(ErrorCode::corrupt, "it has {} bytes where {} were said", writer.size(), *size_);
    return writer.finish(expected_);
  }

 private:
  Intake& intake_;
  const std::optional<cache::NamespaceId> space_;
  const base::Compression packed_;
  base::Fd file_;
  const std::optional<std::uint64_t> size_;
  const std::optional<BlobDigest> expected_;
  std::uint64_t packed_bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<Receiver>> make_receiver(Intake& intake, std::optional<cache::NamespaceId> space,
                                                base::Compression packed, std::optional<std::uint64_t> size, std::optional<BlobDigest> expected) {
  if (packed == base::Compression::none) return std::make_unique<PlainReceiver>(intake, space, expected);
  if (!intake.spool)
    return base::fail(ErrorCode::unavailable,
                      "this server takes nothing in that is packed: it has no room to unpack it");
  auto file = TRY(base::open_host(*intake.spool, O_TMPFILE | O_RDWR, 0600), "make room for what comes in");
  return std::make_unique<PackedReceiver>(intake, space, packed, std::move(file), size, expected);
}

}  // namespace cairn::serve

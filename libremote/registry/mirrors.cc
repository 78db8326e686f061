// SPDX-License-Identifier: Apache-2.0
#include "libremote/registry/mirrors.h"

#include "libbase/hash/sha256.h"
#include "libbase/log/log.h"

namespace cairn::remote {

using base::ErrorCode;
using base::Result;

void MirroredRepository::has_failed(std::size_t which, const base::Error& error) const {
  if (error.code == ErrorCode::not_found) return;  // what it merely does not have says nothing of the rest
  base::log_warning("a mirror of {}: {}", own_->name(), error.message);
  mirrors_[which].rest->begin(own_->options().mirror_rest);
}

template <class Ask>
auto MirroredRepository::first_of(std::size_t& which, Ask&& ask) {
  for (; which < mirrors_.size(); ++which) {
    if (!mirrors_[which].rest->is_over()) continue;
    auto answer = ask(at(which));
    if (answer || answer.error().code == ErrorCode::cancelled) return answer;
    has_failed(which, answer.error());
  }
  return ask(at(which));
}

// The bytes of a blob from one after the other.
class MirroredBody final : public base::ByteSource {
 public:
  MirroredBody(MirroredRepository& repository, const BlobDigest& digest, std::optional<std::uint64_t> size,
               std::stop_token stop)
      : repository_(repository), digest_(digest), size_(size), stop_(std::move(stop)) {}

  base::Status open() {
    body_ = TRY(repository_.first_of(
        which_, [&](HttpRepository& each) { return each.open_blob_from(done_, digest_, size_, stop_); }));
    return {};
  }
  Result<std::size_t> read(std::span<std::byte> out) override {
    while (true) {
      auto count = body_->read(out);
      const bool is_mirror = which_ < repository_.mirrors_.size();
      if (count) {
        if (is_mirror) TRY(check(out.first(*count)));
        done_ += *count;
        return count;
      }
      if (!is_mirror || count.error().code == ErrorCode::cancelled) return count;
      repository_.has_failed(which_, count.error());
      ++which_;
      TRY(open());
    }
  }

 private:
  // Bytes that are others cannot be taken back, but whoever asks again is not given them again.
  base::Status check(std::span<const std::byte> bytes) {
    seen_.update(bytes);
    if (!bytes.empty()) return {};
    const auto actual = BlobDigest(seen_.finish());
    if (actual == digest_) return {};
    auto error = base::fail(ErrorCode::corrupt, "{}: blobs/{} holds other bytes: {}", repository_.at(which_).name(),
                            digest_.str(), actual.str());
    repository_.has_failed(which_, error.value());
    return error;
  }

  MirroredRepository& repository_;
  const BlobDigest digest_;
  const std::optional<std::uint64_t> size_;
  std::stop_token stop_;
  std::size_t which_ = 0;
  std::unique_ptr<base::ByteSource> body_;
  std::uint64_t done_ = 0;
  base::Sha256 seen_;
};

Result<BlobDigest> MirroredRepository::resolve(const std::string& tag, std::stop_token stop) {
  std::size_t which = 0;
  return first_of(which, [&](HttpRepository& each) { return each.resolve(tag, stop); });
}

Result<std::string> MirroredRepository::read(Document kind, const BlobDigest& digest, std::size_t size_max,
                                             std::stop_token stop) {
  std::size_t which = 0;
  return first_of(which, [&](HttpRepository& each) { return each.read(kind, digest, size_max, stop); });
}

Result<std::unique_ptr<base::ByteSource>> MirroredRepository::open_blob(const BlobDigest& digest,
                                                                        std::optional<std::uint64_t> size,
                                                                        std::stop_token stop) {
  auto body = std::make_unique<MirroredBody>(*this, digest, size, std::move(stop));
  TRY(body->open());
  return body;
}

}  // namespace cairn::remote

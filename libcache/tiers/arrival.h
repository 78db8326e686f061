// SPDX-License-Identifier: Apache-2.0
// A blob that comes from a tier, of which the first bytes are there.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "libbase/compress/decoder.h"
#include "libcache/tiers/attempt.h"
#include "libcache/tiers/breaker.h"

namespace cairn::cache {

// Counted, no more of it than was said, and with an error of the tier told from one of here. Gone before its tier is.
class Arrival final : public base::ByteSource {
 public:
  Arrival(std::unique_ptr<base::ByteSource> source, const SizedBlob& of, std::shared_ptr<Attempt> attempt,
          std::atomic<std::uint64_t>& count, Breaker& breaker)
      : blob(of), source_(std::move(source)), attempt_(std::move(attempt)), count_(count), breaker_(breaker) {}
  // If nobody has taken it, nothing is known of how it would have gone on.
  ~Arrival() override {
    if (!is_settled_) breaker_.abandoned();
  }
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;

  const SizedBlob blob;

  base::Status begin();  // waits for the first bytes
  base::Result<std::size_t> read(std::span<std::byte> out) override;
  bool is_to_blame() const { return to_blame_; }
  void settle() { is_settled_ = true; }  // somebody tells the breaker how it went

 private:
  base::Result<std::size_t> read_on(std::span<std::byte> out);
  tl::unexpected<base::Error> fail_with(base::Error error);

  const std::unique_ptr<base::ByteSource> source_;
  const std::shared_ptr<Attempt> attempt_;  // whoever ends it ends the reads
  std::atomic<std::uint64_t>& count_;
  Breaker& breaker_;
  std::string first_;
  std::size_t first_at_ = 0;
  std::uint64_t arrived_ = 0;
  bool to_blame_ = false, is_settled_ = false;
};

}  // namespace cairn::cache

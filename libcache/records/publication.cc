// SPDX-License-Identifier: Apache-2.0
#include "libcache/cache.h"

namespace cairn::cache {

void Publication::add_result(const KeyDigest& key, std::optional<ImmutableRef> result) {
  results_.push_back({key, std::move(result)});
}

void Publication::executed(ExecutedStep step) {
  step_ = std::move(step);
  results_of_step_ = results_.size();
}

void Publication::add_link(const KeyLink& link, const KeyDigest& target) { links_.emplace_back(link, target); }

void Publication::add_blob(const ImmutableRef& ref, const BlobDigest& blob) { blobs_.emplace_back(ref, blob); }

bool Publication::empty() const {
  return records_.empty() && results_.empty() && links_.empty() && blobs_.empty();
}

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
// Buckets of S3, or of a server that speaks its protocol, over HTTP: requests are signed (Signature Version 4) and are
// never sent on to where a server redirects.
#pragma once

#include <chrono>
#include <memory>

#include "libbase/clock.h"
#include "libcache/bucket.h"
#include "libcache/fetcher.h"

namespace cairn::remote {

struct BucketOptions {
  // Of requests that the server refuses for now (429, 5xx) or that break off; pauses double.
  int tries = 4;
  std::chrono::milliseconds pause{250};
  // What a request may take, all tries together, besides what its bytes take at the slowest rate.
  std::chrono::milliseconds request_time{30'000};
  std::uint64_t bytes_per_second_min = 64 << 10;
};

// Fetcher and clock outlive it.
std::unique_ptr<cache::Buckets> make_buckets(cache::Fetcher& fetcher, const base::Clock& clock,
                                             BucketOptions options = {});

}  // namespace cairn::remote

// SPDX-License-Identifier: Apache-2.0
// How long an answer asks to be left alone (RFC 9110, 10.2.3).
#pragma once

#include <chrono>
#include <optional>

#include "libcache/fetcher.h"

namespace cairn::remote {

// The header Retry-After: seconds, or a date in one of the three spellings of HTTP, which counts from the answer's own
// date if it has one (the clocks of two machines differ), else from `now`. nullopt: there is none, or it cannot be read, or
// its time is over. More than a thousand million seconds are given as so many.
std::optional<std::chrono::seconds> retry_after(const cache::FetchAnswer& answer,
                                                std::chrono::system_clock::time_point now);

}  // namespace cairn::remote

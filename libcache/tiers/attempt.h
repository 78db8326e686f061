// SPDX-License-Identifier: Apache-2.0
// One call of a tier that can be ended alone.
#pragma once

#include <functional>
#include <stop_token>

#include "libcache/remote_tier.h"

namespace cairn::cache {

struct Attempt {
  explicit Attempt(const TierCall& of)
      : call{of.deadline, own.get_token(), of.entry}, link(of.stop, [this] { own.request_stop(); }) {}
  std::stop_source own;
  const TierCall call;
  std::stop_callback<std::function<void()>> link;  // whoever ends all of them ends this one, too
};

}  // namespace cairn::cache

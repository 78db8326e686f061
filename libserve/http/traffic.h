// SPDX-License-Identifier: Apache-2.0
// What a server counts of itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "libbase/sync.h"

namespace cairn::serve {

struct Traffic {
  std::atomic<std::uint64_t> connections{0};       // now
  std::atomic<std::uint64_t> accepted{0}, turned_away{0};
  std::atomic<std::uint64_t> received_bytes{0}, sent_bytes{0};  // of bodies
  base::Guarded<std::map<std::pair<std::string_view, unsigned>, std::uint64_t>> requests;  // by door and status

  void count(std::string_view door, unsigned status) { ++(*requests.lock())[{door, status}]; }
  std::string prometheus();
};

}  // namespace cairn::serve

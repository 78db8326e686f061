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

// protocol: "http"; the names of the metrics have it. name_of_code: as a label says it.
struct Traffic {
  Traffic(std::string_view protocol, std::string_view help, std::string (*name_of_code)(unsigned code))
      : protocol_(protocol), help_(help), name_of_code_(name_of_code) {}

  std::atomic<std::uint64_t> connections{0};  // now
  std::atomic<std::uint64_t> accepted{0}, turned_away{0};
  std::atomic<std::uint64_t> received_bytes{0}, sent_bytes{0};                             // of bodies
  base::Guarded<std::map<std::pair<std::string_view, unsigned>, std::uint64_t>> requests;  // by door and code

  void count(std::string_view door, unsigned code) { ++(*requests.lock())[{door, code}]; }
  std::string prometheus();

 private:
  const std::string_view protocol_, help_;
  std::string (*const name_of_code_)(unsigned code);
};

}  // namespace cairn::serve

// SPDX-License-Identifier: Apache-2.0
#include "libserve/access/guesses.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>

namespace cairn::serve {

namespace {

// Without brackets, also those that gRPC has escaped, and without the port behind them.
std::string host_of(std::string_view address) {
  for (const std::string_view family : {"ipv4:", "ipv6:"})
    if (address.starts_with(family)) address.remove_prefix(family.size());
  for (const auto& [open, close] : {std::pair<std::string_view, std::string_view>("[", "]"), {"%5B", "%5D"}})
    if (address.starts_with(open)) {
      address.remove_prefix(open.size());
      return std::string(address.substr(0, address.find(close)));
    }
  const bool has_port = std::count(address.begin(), address.end(), ':') == 1;
  return std::string(address.substr(0, has_port ? address.find(':') : std::string_view::npos));
}

}  // namespace

std::string guesser_of(std::string_view address) {
  const std::string host = host_of(address);
  in6_addr six{};
  if (::inet_pton(AF_INET6, host.c_str(), &six) != 1) return host;
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (IN6_IS_ADDR_V4MAPPED(&six)) {
    ::inet_ntop(AF_INET, &six.s6_addr[12], text.data(), text.size());
  } else {
    std::fill(six.s6_addr + 8, six.s6_addr + 16, std::uint8_t{0});
    ::inet_ntop(AF_INET6, &six, text.data(), text.size());
  }
  return text.data();
}

double Guesses::left(const Left& left, Clock::time_point now) {
  const double back = std::chrono::duration<double>(now - left.at) / std::chrono::duration<double>(back_after);
  return std::min(guesses_max, left.guesses + std::max(back, 0.0));
}

// Those that have all of theirs back, else the one that has been quiet for longest.
void Guesses::make_room(Map& map, Clock::time_point now) {
  std::erase_if(map, [&](const auto& each) { return left(each.second, now) >= guesses_max; });
  if (map.size() < addresses_max) return;
  map.erase(
      std::min_element(map.begin(), map.end(), [](const auto& a, const auto& b) { return a.second.at < b.second.at; }));
}

bool Guesses::take(std::string_view address, Clock::time_point now) {
  auto map = left_.lock();
  const std::string guesser = guesser_of(address);
  if (map->size() >= addresses_max && !map->contains(guesser)) make_room(*map, now);
  Left& one = map->try_emplace(guesser, Left{guesses_max, now}).first->second;
  one = {left(one, now), now};
  if (one.guesses < 1) return false;
  --one.guesses;
  return true;
}

void Guesses::give_back(std::string_view address) {
  auto map = left_.lock();
  if (const auto found = map->find(guesser_of(address)); found != map->end())
    found->second.guesses = std::min(found->second.guesses + 1, guesses_max);
}

std::size_t Guesses::size() { return left_.lock()->size(); }

}  // namespace cairn::serve

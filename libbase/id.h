// SPDX-License-Identifier: Apache-2.0
// A 64-bit number with a meaning. 0 is never given out and means "none".
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

#include <fmt/format.h>

namespace cairn::base {

template <class Meaning>
class Id {
 public:
  constexpr Id() = default;
  constexpr explicit Id(std::uint64_t value) : value_(value) {}
  constexpr std::uint64_t value() const { return value_; }
  constexpr explicit operator bool() const { return value_ != 0; }
  auto operator<=>(const Id&) const = default;

 private:
  std::uint64_t value_ = 0;
};

}  // namespace cairn::base

template <class Meaning>
struct std::hash<cairn::base::Id<Meaning>> {
  std::size_t operator()(cairn::base::Id<Meaning> id) const noexcept { return std::hash<std::uint64_t>()(id.value()); }
};

template <class Meaning>
struct fmt::formatter<cairn::base::Id<Meaning>> : fmt::formatter<std::uint64_t> {
  template <class Context>
  auto format(cairn::base::Id<Meaning> id, Context& context) const {
    return fmt::formatter<std::uint64_t>::format(id.value(), context);
  }
};

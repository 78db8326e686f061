// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/instructions/duration.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t nanoseconds;
};
constexpr std::int64_t microsecond = 1000, millisecond = 1000 * microsecond, second = 1000 * millisecond;
constexpr std::int64_t minute = 60 * second, hour = 60 * minute;
// Longer names first where one begins like another.
constexpr std::array units{Unit{"ns", 1},
                           Unit{"us", microsecond},
                           Unit{"\u00b5s", microsecond},
                           Unit{"\u03bcs", microsecond},
                           Unit{"ms", millisecond},
                           Unit{"s", second},
                           Unit{"m", minute},
                           Unit{"h", hour}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "1.5" of `unit`, without trailing zeros.
std::string in_unit(std::int64_t value, const Unit& unit) {
  std::string text = fmt::format("{}", value / unit.nanoseconds);
  std::int64_t rest = value % unit.nanoseconds;
  if (rest != 0) {
    const auto width = static_cast<int>(std::log10(static_cast<double>(unit.nanoseconds)) + 0.5);
    std::string digits = fmt::format("{:0{}}", rest, width);
    while (digits.ends_with('0')) digits.pop_back();
    text += '.' + digits;
  }
  return text + std::string(unit.name);
}

}  // namespace

base::Result<std::int64_t> parse_duration(std::string_view text) {
  const auto wrong = [&] { return refuse("time: invalid duration {}", go_quoted(text)); };
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return 0;
  if (rest.empty()) return wrong();
  long double total = 0;
  while (!rest.empty()) {
    long double value = 0, place = 1;
    bool has_digits = false, in_fraction = false;
    for (; !rest.empty() && (is_digit(rest[0]) || (rest[0] == '.' && !in_fraction)); rest.remove_prefix(1)) {
      if (rest[0] == '.') {
        in_fraction = true;
        continue;
      }
      has_digits = true;
      if (in_fraction)
        value += (rest[0] - '0') * (place /= 10);
      else
        value = value * 10 + (rest[0] - '0');
    }
    if (!has_digits) return wrong();
    const auto unit =
        std::find_if(units.begin(), units.end(), [&](const Unit& each) { return rest.starts_with(each.name); });
    if (unit == units.end()) {
      const char* what = rest.empty() ? "missing" : "unknown";
      return refuse("time: {} unit{} in duration {}", what, rest.empty() ? "" : " " + go_quoted(rest), go_quoted(text));
    }
    rest.remove_prefix(unit->name.size());
    total += value * static_cast<long double>(unit->nanoseconds);
    if (total > 9.2e18L) return wrong();
  }
  const auto nanoseconds = static_cast<std::int64_t>(total + 0.5L);
  return negative ? -nanoseconds : nanoseconds;
}

std::string print_duration(std::int64_t nanoseconds) {
  if (nanoseconds == 0) return "0s";
  if (nanoseconds < microsecond) return in_unit(nanoseconds, {"ns", 1});
  if (nanoseconds < millisecond) return in_unit(nanoseconds, {"\u00b5s", microsecond});
  if (nanoseconds < second) return in_unit(nanoseconds, {"ms", millisecond});
  std::string text;
  if (nanoseconds >= hour) text = fmt::format("{}h", nanoseconds / hour);
  if (nanoseconds >= minute) text += fmt::format("{}m", nanoseconds % hour / minute);
  return text + in_unit(nanoseconds % minute, {"s", second});
}

}  // namespace cairn::dockerfile

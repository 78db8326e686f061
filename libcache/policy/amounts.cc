// SPDX-License-Identifier: Apache-2.0
#include "libcache/policy/amounts.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::uint64_t percent_max = 100;
constexpr double bytes_max = 9.0e18;  // below the largest int64

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// A number without a sign, maybe with a fraction, and what stands behind it.
struct Amount {
  double number = 0;
  std::string_view unit;
};
std::optional<Amount> split_amount(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && (is_digit(text[end]) || text[end] == '.')) ++end;
  Amount amount;
  const auto parsed = std::from_chars(text.data(), text.data() + end, amount.number, std::chars_format::fixed);
  if (end == 0 || parsed.ec != std::errc() || parsed.ptr != text.data() + end) return std::nullopt;
  amount.unit = trim(text.substr(end));
  return amount;
}

// How many bytes "k", "KB", "KiB" and so on are; `letter_factor` is what a unit without an 'i' counts by.
std::optional<double> unit_bytes(std::string_view unit, double letter_factor) {
  std::string lower;
  for (const char c : unit) lower += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  if (lower.empty() || lower == "b") return 1;
  constexpr std::string_view letters = "kmgtp";
  const std::size_t power = letters.find(lower.front());
  if (power == std::string_view::npos) return std::nullopt;
  const std::string_view rest = std::string_view(lower).substr(1);
  const bool binary = rest == "ib" || rest == "i";
  if (!binary && !rest.empty() && rest != "b") return std::nullopt;
  return std::pow(binary ? 1024.0 : letter_factor, static_cast<double>(power) + 1);
}

Result<Space> parse_with(std::string_view text, double letter_factor) {
  const auto amount = split_amount(trim(text));
  if (!amount) return fail(ErrorCode::invalid_argument, "\"{}\" is no amount of space; want 10GB, 512MiB or 20%", text);
  if (amount->unit == "%") {
    const double rounded = std::floor(amount->number);
    if (amount->number > percent_max || rounded != amount->number)
      return fail(ErrorCode::invalid_argument, "\"{}\" is no percentage; want a whole number from 0 to 100", text);
    return Space::percent(static_cast<std::uint64_t>(rounded));
  }
  const auto factor = unit_bytes(amount->unit, letter_factor);
  if (!factor) return fail(ErrorCode::invalid_argument, "\"{}\" has no unit that is known; want B, kB, MB, GiB, ... or %", text);
  const double bytes = amount->number * *factor;
  if (bytes > bytes_max) return fail(ErrorCode::invalid_argument, "\"{}\" is more than any disk holds", text);
  return Space::bytes(static_cast<std::uint64_t>(bytes));
}

struct AgeUnit {
  std::string_view name;
  std::int64_t ns;
};
constexpr std::array<AgeUnit, 9> age_units = {{{"ns", 1},
                                               {"us", 1'000},
                                               {"\xc2\xb5s", 1'000},
                                               {"ms", 1'000'000},
                                               {"s", 1'000'000'000},
                                               {"m", 60'000'000'000},
                                               {"h", 3'600'000'000'000},
                                               {"d", 86'400'000'000'000},
                                               {"w", 604'800'000'000'000}}};

}  // namespace

std::optional<std::int64_t> Space::on(const DiskSpace& disk) const {
  std::optional<std::int64_t> least;
  for (const Part& part : parts_) {
    const auto bytes = part.unit == Part::Unit::bytes
                           ? static_cast<std::int64_t>(part.amount)
                           : disk.total_bytes / 100 * static_cast<std::int64_t>(part.amount) +
                                 disk.total_bytes % 100 * static_cast<std::int64_t>(part.amount) / 100;
    least = least ? std::min(*least, bytes) : bytes;
  }
  return least;
}

std::string Space::str() const {
  std::string out;
  for (const Part& part : parts_) {
    if (!out.empty()) out += " and ";
    out += part.unit == Part::Unit::percent ? fmt::format("{}%", part.amount) : fmt::format("{} bytes", part.amount);
  }
  return parts_.size() > 1 ? "the least of " + out : out;
}

Result<Space> parse_space(std::string_view text) { return parse_with(text, 1000); }
Result<Space> parse_buildkit_space(std::string_view text) { return parse_with(text, 1024); }

Result<std::chrono::nanoseconds> parse_age(std::string_view text) {
  std::string_view rest = trim(text);
  double total = 0;
  if (rest.empty()) return fail(ErrorCode::invalid_argument, "\"\" is no age; want 48h, 1h30m or 60d");
  if (rest == "0") return std::chrono::nanoseconds(0);
  while (!rest.empty()) {
    const auto amount = split_amount(rest);
    if (!amount) return fail(ErrorCode::invalid_argument, "\"{}\" is no age; want 48h, 1h30m or 60d", text);
    std::size_t unit_size = 0;
    while (unit_size < amount->unit.size() && !is_digit(amount->unit[unit_size]) && amount->unit[unit_size] != '.') ++unit_size;
    const std::string_view unit = amount->unit.substr(0, unit_size);
    const auto* found = std::find_if(age_units.begin(), age_units.end(), [&](const AgeUnit& u) { return u.name == unit; });
    if (found == age_units.end())
      return fail(ErrorCode::invalid_argument, "\"{}\" is no age: unknown unit \"{}\"; want s, m, h, d or w", text, unit);
    total += amount->number * static_cast<double>(found->ns);
    rest = amount->unit.substr(unit_size);
  }
  if (total > bytes_max) return fail(ErrorCode::invalid_argument, "\"{}\" is longer than 290 years", text);
  return std::chrono::nanoseconds(static_cast<std::int64_t>(total));
}

std::string to_string(std::chrono::nanoseconds age) {
  std::int64_t rest = age.count();
  if (rest == 0) return "0";
  std::string out;
  for (const AgeUnit& unit : {AgeUnit{"d", age_units[7].ns}, AgeUnit{"h", age_units[6].ns}, AgeUnit{"m", age_units[5].ns},
                              AgeUnit{"s", age_units[4].ns}, AgeUnit{"ms", age_units[3].ns}, AgeUnit{"us", age_units[1].ns},
                              AgeUnit{"ns", age_units[0].ns}}) {
    if (rest / unit.ns == 0) continue;
    out += fmt::format("{}{}", rest / unit.ns, unit.name);
    rest %= unit.ns;
  }
  return out;
}

}  // namespace cairn::cache

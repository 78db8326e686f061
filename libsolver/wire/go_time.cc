// SPDX-License-Identifier: Apache-2.0
#include "libsolver/wire/go_time.h"

#include <algorithm>
#include <charconv>
#include <chrono>

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;

std::string go_time(base::WallTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto days = std::chrono::floor<std::chrono::days>(seconds);
  const std::chrono::year_month_day date(days);
  const std::chrono::hh_mm_ss clock(seconds - days);
  std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                 clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  if (const auto nanoseconds = (time - seconds).count(); nanoseconds != 0) {
    text += fmt::format(".{:09}", nanoseconds);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text + "Z";
}

namespace {

// Takes decimal digits off the text.
class DigitReader {
 public:
  explicit DigitReader(std::string_view text) : rest_(text) {}
  // Exactly so many. -1: there are others.
  int number(std::size_t digits) {
    int value = 0;
    if (rest_.size() < digits) return -1;
    for (const char c : rest_.substr(0, digits)) {
      if (c < '0' || c > '9') return -1;
      value = value * 10 + (c - '0');
    }
    rest_.remove_prefix(digits);
    return value;
  }
  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Of a fraction; what is beyond the ninth digit is left out.
  std::int64_t nanoseconds() {
    std::int64_t value = 0, unit = 100'000'000;
    for (; !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; rest_.remove_prefix(1), unit /= 10)
      value += unit * (rest_.front() - '0');
    return value;
  }
  bool is_at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace

Result<base::WallTime> parse_go_time(std::string_view text) {
  if (text.empty()) return base::WallTime();
  const auto bad = fail(ErrorCode::corrupt, "no time: \"{}\"", text.substr(0, 64));
  DigitReader reader(text);
  const int year = reader.number(4);
  const bool date_begun = reader.take('-');
  const int month = reader.number(2);
  const bool date_goes_on = reader.take('-');
  const int day = reader.number(2);
  const bool time_follows = reader.take('T');
  const int hour = reader.number(2);
  const bool minutes_follow = reader.take(':');
  const int minute = reader.number(2);
  const bool seconds_follow = reader.take(':');
  const int second = reader.number(2);
  if (!date_begun || !date_goes_on || !time_follows || !minutes_follow || !seconds_follow) return bad;
  const std::int64_t fraction = reader.take('.') ? reader.nanoseconds() : 0;
  int offset = 0;  // minutes
  if (!reader.take('Z')) {
    const bool behind = reader.take('-');
    if (!behind && !reader.take('+')) return bad;
    const int hours = reader.number(2);
    const bool colon = reader.take(':');
    const int minutes = reader.number(2);
    if (hours < 0 || hours > 23 || !colon || minutes < 0 || minutes > 59) return bad;
    offset = (hours * 60 + minutes) * (behind ? -1 : 1);
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (year < 0 || month < 0 || day < 0 || !date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > 60 || !reader.is_at_end())
    return bad;
  if (year < 1970) return base::WallTime();
  if (year > 2200) return bad;  // beyond what nanoseconds count
  const auto seconds = std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(hour) +
                       std::chrono::minutes(minute - offset) + std::chrono::seconds(second);
  return base::WallTime(seconds) + std::chrono::nanoseconds(fraction);
}

}  // namespace cairn::solver

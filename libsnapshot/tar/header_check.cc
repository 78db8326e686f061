// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/tar/header_check.h"

#include <array>
#include <charconv>
#include <limits>

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;

constexpr std::size_t block_size = 512;
constexpr std::size_t size_offset = 124;
constexpr std::size_t size_width = 12;
constexpr std::size_t type_offset = 156;

// Octal in ASCII, or big-endian with the top bit set, as GNU tar writes large numbers.
base::Result<std::uint64_t> parse_size(std::string_view field) {
  std::uint64_t value = 0;
  if ((static_cast<unsigned char>(field[0]) & 0x80) != 0) {
    for (const char byte : field.substr(4)) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  }
  while (!field.empty() && field.front() == ' ') field.remove_prefix(1);
  for (const char digit : field) {
    if (digit == ' ' || digit == '\0') break;
    if (digit < '0' || digit > '7') return fail(ErrorCode::corrupt, "size of an extended header is not a number");
    value = value * 8 + static_cast<std::uint64_t>(digit - '0');
  }
  return value;
}

Status check_record(std::string_view key, std::string_view value, HeaderFacts& facts) {
  const bool is_name = key == "path" || key == "linkpath" || key == "GNU.sparse.name";
  if (is_name && value.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument, "a NUL in the {} of an entry", key);
  }
  if (key == "mtime") facts.mtime = TRY(parse_pax_time(value));
  return {};
}

// Records are "<length> <key>=<value>\n", the length counting all of it.
Status check_pax(std::string_view records, HeaderFacts& facts) {
  while (!records.empty() && records.front() != '\0') {
    std::uint64_t length = 0;
    const auto [end, error] = std::from_chars(records.data(), records.data() + records.size(), length);
    const auto digits = static_cast<std::size_t>(end - records.data());
    if (error != std::errc() || length > records.size() || length < digits + 3 || records[digits] != ' ' ||
        records[length - 1] != '\n') {
      return fail(ErrorCode::corrupt, "damaged pax header");
    }
    const auto record = records.substr(digits + 1, length - digits - 2);
    const auto equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) return fail(ErrorCode::corrupt, "damaged pax header");
    TRY(check_record(record.substr(0, equals), record.substr(equals + 1), facts));
    records.remove_prefix(length);
  }
  return {};
}

// A GNU long name ends at its first NUL; what follows may only be more of them.
Status check_long_name(std::string_view name) {
  const auto end = name.find('\0');
  if (end != std::string_view::npos && name.find_first_not_of('\0', end) != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument, "a NUL in the long name of an entry");
  }
  return {};
}

}  // namespace

base::Result<timespec> parse_pax_time(std::string_view text) {
  const bool negative = text.starts_with('-');
  std::string_view digits = text;
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
  if (error != std::errc()) return fail(ErrorCode::corrupt, "\"{}\" is not a time", text.substr(0, 40));
  digits.remove_prefix(static_cast<std::size_t>(end - digits.data()));
  long nanoseconds = 0;
  bool beyond = false;  // digits past the nanosecond
  if (!digits.empty()) {
    if (digits.front() != '.') return fail(ErrorCode::corrupt, "\"{}\" is not a time", text.substr(0, 40));
    digits.remove_prefix(1);
    long unit = 100'000'000;
    for (const char digit : digits) {
      if (digit < '0' || digit > '9') return fail(ErrorCode::corrupt, "\"{}\" is not a time", text.substr(0, 40));
      nanoseconds += unit * (digit - '0');
      beyond = beyond || (unit == 0 && digit != '0');
      unit /= 10;
    }
  }
  if (!negative) return timespec{.tv_sec = seconds, .tv_nsec = nanoseconds};
  if (beyond) ++nanoseconds;
  if (nanoseconds == 0) return timespec{.tv_sec = seconds, .tv_nsec = 0};
  if (seconds == std::numeric_limits<std::int64_t>::min()) {
    return fail(ErrorCode::corrupt, "\"{}\" is not a time", text.substr(0, 40));
  }
  return timespec{.tv_sec = seconds - 1, .tv_nsec = 1'000'000'000 - nanoseconds};
}

base::Result<HeaderFacts> check_header(std::string_view bytes) {
  HeaderFacts facts;
  while (true) {
    if (bytes.size() < block_size) return fail(ErrorCode::corrupt, "truncated tar header");
    const char type = bytes[type_offset];
    if (type != 'x' && type != 'g' && type != 'L' && type != 'K') {
      constexpr std::string_view known("\0" "01234567S", 10);
      if (known.find(type) == std::string_view::npos) {
        return fail(ErrorCode::invalid_argument, "an entry of unknown type 0x{:02x}", static_cast<unsigned char>(type));
      }
      facts.type = type;
      return facts;
    }
    const auto size = TRY(parse_size(bytes.substr(size_offset, size_width)));
    bytes.remove_prefix(block_size);
    if (size > bytes.size()) return fail(ErrorCode::corrupt, "truncated extended header");
    const auto payload = bytes.substr(0, size);
    if (type == 'x') TRY(check_pax(payload, facts));
    if (type == 'L' || type == 'K') TRY(check_long_name(payload));
    const auto padded = (size + block_size - 1) / block_size * block_size;
    bytes.remove_prefix(std::min<std::uint64_t>(padded, bytes.size()));
  }
}

}  // namespace cairn::snapshot

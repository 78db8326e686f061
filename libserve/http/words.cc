// SPDX-License-Identifier: Apache-2.0
#include "libserve/http/words.h"

#include <algorithm>
#include <charconv>

namespace cairn::serve {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::optional<std::uint64_t> parse_number(std::string_view digits) {
  std::uint64_t number = 0;
  const char* end = digits.data() + digits.size();
  if (digits.empty() || digits.front() < '0' || digits.front() > '9') return std::nullopt;
  const auto [stop, error] = std::from_chars(digits.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

std::vector<std::string_view> split_list(std::string_view list) {
  std::vector<std::string_view> items;
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view item = trimmed(list.substr(0, comma));
    if (!item.empty()) items.push_back(item);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return items;
}

bool accepts_encoding(std::string_view accept, std::string_view coding) {
  bool any = false;
  for (const std::string_view item : split_list(accept)) {
    const std::size_t semicolon = item.find(';');
    const std::string_view name = trimmed(item.substr(0, semicolon));
    std::string_view quality = semicolon == std::string_view::npos ? std::string_view("q=1") : trimmed(item.substr(semicolon + 1));
    const bool refused = quality.starts_with("q=0") && quality.find_first_not_of("0.", 2) == std::string_view::npos;
    if (same_word(name, coding)) return !refused;
    if (name == "*") any = !refused;
  }
  return any;
}

bool names_tag(std::string_view list, std::string_view tag) {
  for (std::string_view item : split_list(list)) {
    if (item == "*") return true;
    if (item.starts_with("W/")) item.remove_prefix(2);
    if (item == tag) return true;
  }
  return false;
}

RangeAsked parse_range(std::string_view range, std::uint64_t size) {
  constexpr std::string_view unit = "bytes=";
  if (!range.starts_with(unit)) return {};
  range = trimmed(range.substr(unit.size()));
  const std::size_t dash = range.find('-');
  if (dash == std::string_view::npos || range.find(',') != std::string_view::npos) return {};
  const std::string_view first_text = trimmed(range.substr(0, dash)), last_text = trimmed(range.substr(dash + 1));
  const auto first = parse_number(first_text), last = parse_number(last_text);
  if (first_text.empty()) {  // the last so many
    if (!last) return {};
    if (*last == 0 || size == 0) return {RangeFit::beyond};
    const std::uint64_t length = std::min(*last, size);
    return {RangeFit::part, {size - length, length}};
  }
  if (!first || (!last_text.empty() && (!last || *last < *first))) return {};
  if (*first >= size) return {RangeFit::beyond};
  const std::uint64_t end = last && *last < size ? *last + 1 : size;
  return {RangeFit::part, {*first, end - *first}};
}

std::string_view reason_of(unsigned status) {
  switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    case 507: return "Insufficient Storage";
    default: return status < 400 ? "OK" : "Error";
  }
}

}  // namespace cairn::serve

// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/http_names.h"

#include <time.h>

#include <algorithm>
#include <map>

namespace cairn::solver {
namespace {

constexpr std::string_view default_name = "download";

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// As Unicode means it: below 0x20, 0x7f to 0x9f.
bool has_control(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next < 0xa0)) return true;
  }
  return false;
}

// Go's path.Base.
std::string_view base_name(std::string_view path) {
  if (path.empty()) return ".";
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  if (path.empty()) return "/";
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// nullopt: a % without two hex digits.
std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

// The path of a URL, decoded; "" if it has none that can be read.
std::string url_path(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return {};
  url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find('#'));
  url = url.substr(0, url.find('?'));
  const std::size_t slash = url.find('/');
  return slash == std::string_view::npos ? std::string() : percent_decode(url.substr(slash)).value_or("");
}

bool is_special(char c) { return std::string_view("()<>@,;:\\\"/[]?=").find(c) != std::string_view::npos; }
bool is_token_char(char c) { return c > 0x20 && c < 0x7f && !is_special(c); }

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return out;
}

// Reads a header from the left.
class Reader {
 public:
  explicit Reader(std::string_view text) : left_(text) {}

  void skip_blanks() { left_ = left_.substr(std::min(left_.size(), blanks())); }
  bool take(char c) {
    if (left_.empty() || left_.front() != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  bool at_end() const { return left_.empty(); }
  std::string_view rest() const { return left_; }
  std::string_view token() {
    std::size_t size = 0;
    while (size < left_.size() && is_token_char(left_[size])) ++size;
    const std::string_view taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }
  // A token or a quoted string. A backslash takes away the meaning of special characters only, so that paths of Windows,
  // which some servers send unescaped, stay whole.
  std::optional<std::string> value() {
    if (!take('"')) {
      const std::string_view plain = token();
      return plain.empty() ? std::nullopt : std::optional<std::string>(plain);
    }
    std::string out;
    while (!left_.empty()) {
      const char c = left_.front();
      left_.remove_prefix(1);
      if (c == '"') return out;
      if (c == '\r' || c == '\n') return std::nullopt;
      if (c == '\\' && !left_.empty() && is_special(left_.front())) {
        out += left_.front();
        left_.remove_prefix(1);
      } else {
        out += c;
      }
    }
    return std::nullopt;
  }

 private:
  std::size_t blanks() const {
    std::size_t size = 0;
    while (size < left_.size() && is_blank(left_[size])) ++size;
    return size;
  }
  std::string_view left_;
};

// charset'language'percent-encoded, in ASCII or UTF-8.
std::optional<std::string> decode_2231(std::string_view text) {
  const std::size_t first = text.find('\'');
  if (first == std::string_view::npos) return std::nullopt;
  const std::size_t second = text.find('\'', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const std::string charset = lower(text.substr(0, first));
  if (charset != "us-ascii" && charset != "utf-8") return std::nullopt;
  return percent_decode(text.substr(second + 1));
}

using Parameters = std::map<std::string, std::string>;

// name*0, name*1*, …: one value in pieces.
std::optional<std::string> join_pieces(const Parameters& all, const std::string& name) {
  std::string joined;
  for (int i = 0;; ++i) {
    const std::string piece = name + "*" + std::to_string(i);
    if (const auto plain = all.find(piece); plain != all.end()) {
      joined += plain->second;
    } else if (const auto encoded = all.find(piece + "*"); encoded != all.end()) {
      const auto decoded = i == 0 ? decode_2231(encoded->second) : percent_decode(encoded->second);
      joined += decoded.value_or("");
    } else {
      return i == 0 ? std::nullopt : std::optional(joined);
    }
  }
}

}  // namespace

std::string safe_file_name(std::string_view name) {
  const std::string_view base = base_name(trim(name));
  if (base == "." || base == ".." || base == "/" || has_control(base)) return std::string(default_name);
  return std::string(base);
}

std::optional<std::string> disposition_file_name(std::string_view header) {
  const std::size_t semicolon = header.find(';');
  if (semicolon == std::string_view::npos) return std::nullopt;
  Reader reader(header.substr(semicolon));
  Parameters all;
  while (true) {
    reader.skip_blanks();
    if (reader.at_end()) break;
    if (!reader.take(';')) return std::nullopt;
    reader.skip_blanks();
    if (reader.at_end()) break;  // a semicolon at the end is forgiven
    const std::string name = lower(reader.token());
    reader.skip_blanks();
    if (name.empty() || !reader.take('=')) return std::nullopt;
    reader.skip_blanks();
    auto value = reader.value();
    if (!value || !all.emplace(name, std::move(*value)).second) return std::nullopt;
  }
  if (const auto whole = all.find("filename*"); whole != all.end()) {
    if (auto decoded = decode_2231(whole->second)) return decoded;
  } else if (auto joined = join_pieces(all, "filename")) {
    return joined;
  }
  const auto plain = all.find("filename");
  return plain == all.end() ? std::nullopt : std::optional(plain->second);
}

std::string http_file_name(std::string_view url, std::string_view asked, std::string_view content_disposition) {
  if (!asked.empty()) return safe_file_name(asked);
  if (const auto said = disposition_file_name(content_disposition); said && !said->empty() && said->back() != '/') {
    return safe_file_name(base_name(*said));
  }
  const std::string path = url_path(url);
  const std::string_view last = base_name(path);
  return safe_file_name(last == "." || last == "/" ? std::string_view() : last);
}

std::optional<std::int64_t> parse_http_time(std::string_view text) {
  const std::string copy(text);
  for (const char* form : {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
    struct ::tm parts {};
    const char* end = ::strptime(copy.c_str(), form, &parts);
    if (end != nullptr && *end == '\0') return static_cast<std::int64_t>(::timegm(&parts));
  }
  return std::nullopt;
}

std::string format_http_time(std::int64_t seconds) {
  const auto time = static_cast<::time_t>(seconds);
  struct ::tm parts {};
  ::gmtime_r(&time, &parts);
  char text[64];
  return std::string(text, ::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
}

std::string_view strong_etag(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  return etag;
}

}  // namespace cairn::solver

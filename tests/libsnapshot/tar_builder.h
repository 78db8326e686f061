// SPDX-License-Identifier: Apache-2.0
// Writes tar archives byte by byte, so that tests can write wrong ones.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace cairn::snapshot {

struct TarMember {
  std::string name = {};
  char type = '0';
  std::string data = {};
  std::string link = {};
  unsigned mode = 0644;
  std::uint64_t uid = 0, gid = 0;
  std::int64_t mtime = 1'600'000'000;
  unsigned major = 0, minor = 0;
  std::uint64_t says_size = 0;  // what the header claims, if that is not the size of the data
};

class TarBuilder {
 public:
  TarBuilder& add(const TarMember& member) {
    std::string header(512, '\0');
    put(header, 0, 100, member.name);
    put_number(header, 100, 8, member.mode);
    put_number(header, 108, 8, member.uid);
    put_number(header, 116, 8, member.gid);
    put_number(header, 124, 12, member.says_size != 0 ? member.says_size : member.data.size());
    put_number(header, 136, 12, static_cast<std::uint64_t>(member.mtime));
    header[156] = member.type;
    put(header, 157, 100, member.link);
    put(header, 257, 8, std::string_view("ustar\0" "00", 8));
    put_number(header, 329, 8, member.major);
    put_number(header, 337, 8, member.minor);
    put(header, 148, 8, "        ");
    unsigned sum = 0;
    for (const char byte : header) sum += static_cast<unsigned char>(byte);
    put_number(header, 148, 7, sum);
    bytes_ += header + member.data;
    bytes_.append((512 - member.data.size() % 512) % 512, '\0');
    return *this;
  }
  TarBuilder& file(const std::string& name, const std::string& data) { return add({.name = name, .data = data}); }
  TarBuilder& dir(const std::string& name, unsigned mode = 0755) {
    return add({.name = name, .type = '5', .data = "", .link = "", .mode = mode});
  }
  TarBuilder& symlink(const std::string& name, const std::string& to) {
    return add({.name = name, .type = '2', .data = "", .link = to});
  }
  TarBuilder& hard_link(const std::string& name, const std::string& to) {
    return add({.name = name, .type = '1', .data = "", .link = to});
  }
  // An extended header with one record, for the member that follows.
  TarBuilder& pax(const std::string& key, const std::string& value) {
    const std::size_t body = key.size() + value.size() + 3;
    std::size_t length = body + 1;
    while (std::to_string(length).size() + body != length) length = std::to_string(length).size() + body;
    return add({.name = "pax", .type = 'x', .data = std::to_string(length) + " " + key + "=" + value + "\n"});
  }
  std::string unfinished() const { return bytes_; }
  std::string finish() const { return bytes_ + std::string(1024, '\0'); }

 private:
  static void put(std::string& header, std::size_t at, std::size_t width, std::string_view text) {
    header.replace(at, std::min(width, text.size()), text.substr(0, width));
  }
  static void put_number(std::string& header, std::size_t at, std::size_t width, std::uint64_t value) {
    char text[32];
    const int size = std::snprintf(text, sizeof text, "%0*llo", static_cast<int>(width) - 1,
                                   static_cast<unsigned long long>(value));
    if (static_cast<std::size_t>(size) < width) {
      put(header, at, width, std::string_view(text, static_cast<std::size_t>(size)));
      return;
    }
    for (std::size_t i = 0; i < width; ++i) {  // base 256
      const std::size_t shift = 8 * (width - 1 - i);
      header[at + i] = shift < 64 ? static_cast<char>(value >> shift) : '\0';
    }
    header[at] = static_cast<char>(header[at] | 0x80);
  }
  std::string bytes_;
};

}  // namespace cairn::snapshot

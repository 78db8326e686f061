// SPDX-License-Identifier: Apache-2.0
// Facts about Go's writer (spec/storage 4.4): USTAR whenever everything fits, else PAX. In a PAX header the fields are
// those of USTAR with what does not fit cut, dropped or zero, and the extended header before it has no device fields.
#include "libsnapshot/tar/encoder.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;

constexpr std::size_t name_width = 100;
constexpr std::size_t prefix_width = 155;
constexpr std::size_t records_max = 1 << 20;

using Records = std::map<std::string, std::string>;  // of an extended header; sorted by key, as they are written

// Go's zero time (the year 1) stands for "not set" and is written as 1970.
constexpr std::int64_t unset_time = -62135596800;

struct Header {
  std::string name, prefix, link;
  char type = '0';
  std::int64_t mode = 0, uid = 0, gid = 0, size = 0, mtime = 0, major = 0, minor = 0;
};

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) > 0; });
}

std::string to_ascii(std::string_view text) {
  std::string result;
  std::copy_if(text.begin(), text.end(), std::back_inserter(result),
               [](char c) { return static_cast<signed char>(c) > 0; });
  return result;
}

// width: of the field, its closing NUL included.
bool fits_octal(std::int64_t value, std::size_t width) {
  return value >= 0 && value < std::int64_t{1} << (3 * (width - 1));
}

struct SplitName {
  std::string_view prefix, name;
};
// A name of more than 100 bytes over the two fields of USTAR, cut at the last slash that allows it.
std::optional<SplitName> split_name(std::string_view name) {
  if (name.size() <= name_width || !is_ascii(name)) return std::nullopt;
  std::size_t size = name.size();
  if (size > prefix_width + 1) {
    size = prefix_width + 1;
  } else if (name.back() == '/') {
    --size;
  }
  const std::size_t slash = name.substr(0, size).rfind('/');
  if (slash == std::string_view::npos || slash == 0 || slash > prefix_width) return std::nullopt;
  const auto rest = name.substr(slash + 1);
  if (rest.empty() || rest.size() > name_width) return std::nullopt;
  return SplitName{name.substr(0, slash), rest};
}

class Block {
 public:
  void text(std::size_t at, std::size_t width, std::string_view value) {
    std::copy_n(value.begin(), std::min(width, value.size()), bytes_.begin() + static_cast<std::ptrdiff_t>(at));
    if (value.size() <= width || bytes_[at + width - 1] != '/') return;
    // A cut name must not look like a directory.
    std::string_view cut = value.substr(0, width - 1);
    while (cut.ends_with('/')) cut.remove_suffix(1);
    bytes_[at + cut.size()] = '\0';
  }
  void number(std::size_t at, std::size_t width, std::int64_t value) {
    auto rest = static_cast<std::uint64_t>(fits_octal(value, width) ? value : 0);
    for (std::size_t i = width - 1; i-- > 0; rest >>= 3) bytes_[at + i] = static_cast<char>('0' + (rest & 7));
  }
  // The magic and the checksum come last.
  void seal() {
    text(257, 8, std::string_view("ustar\0" "00", 8));
    text(148, 8, "        ");
    std::int64_t sum = 0;
    for (const char byte : bytes_) sum += static_cast<unsigned char>(byte);
    number(148, 7, sum);
    bytes_[154] = '\0';
  }
  std::string_view bytes() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::array<char, 512> bytes_{};
};

void append_block(const Header& header, std::string& out) {
  Block block;
  block.text(0, name_width, header.name);
  block.number(100, 8, header.mode);
  block.number(108, 8, header.uid);
  block.number(116, 8, header.gid);
  block.number(124, 12, header.size);
  block.number(136, 12, header.mtime);
  block.text(156, 1, std::string_view(&header.type, 1));
  block.text(157, name_width, header.link);
  block.number(329, 8, header.major);
  block.number(337, 8, header.minor);
  block.text(345, prefix_width, header.prefix);
  block.seal();
  out += block.bytes();
}

void append_record(const std::string& key, const std::string& value, std::string& out) {
  const std::size_t bare = key.size() + value.size() + 3;  // blank, equals sign, newline
  std::size_t size = bare + std::to_string(bare).size();
  if (bare + std::to_string(size).size() != size) size = bare + std::to_string(size).size();
  out += std::to_string(size) + " " + key + "=" + value + "\n";
}

// The member before a member, named <directory>/PaxHeaders.0/<name> of it.
Status append_extended_header(const std::string& name, const Records& records, std::string& out) {
  std::string data;
  for (const auto& [key, value] : records) append_record(key, value, data);
  if (data.size() > records_max) return fail(ErrorCode::invalid_argument, "more than {} bytes of records", records_max);
  const std::size_t slash = name.rfind('/');
  const std::string directory = slash == std::string::npos ? "" : name.substr(0, slash + 1);
  std::string own = directory + "PaxHeaders.0/" + name.substr(directory.size());
  own = to_ascii(own).substr(0, name_width);
  while (own.ends_with('/')) own.pop_back();
  Block block;
  block.text(0, name_width, own);
  for (const std::size_t at : {100u, 108u, 116u}) block.number(at, 8, 0);
  block.number(124, 12, static_cast<std::int64_t>(data.size()));
  block.number(136, 12, 0);
  block.text(156, 1, "x");
  block.seal();
  out += block.bytes();
  out += data;
  out.append(padding_after(data.size()), '\0');
  return {};
}

char type_flag(EntryType type) {
  switch (type) {
    case EntryType::file: return '0';
    case EntryType::hard_link: return '1';
    case EntryType::symlink: return '2';
    case EntryType::character_device: return '3';
    case EntryType::block_device: return '4';
    case EntryType::directory: return '5';
    case EntryType::fifo: return '6';
  }
  return '0';
}

Status check(const TarEntry& entry) {
  if (entry.name.empty() || has_nul(entry.name) || has_nul(entry.link)) {
    return fail(ErrorCode::invalid_argument, "a tar has no such name");
  }
  const bool may_end_with_slash = entry.type == EntryType::directory || entry.type == EntryType::hard_link ||
                                  entry.type == EntryType::symlink;
  if (!may_end_with_slash && entry.name.ends_with('/')) {
    return fail(ErrorCode::invalid_argument, "the name of a directory");
  }
  for (const auto& [key, value] : entry.xattrs) {
    if (key.empty() || has_nul(key) || key.find('=') != std::string::npos) {
      return fail(ErrorCode::invalid_argument, "a tar has no xattr of the name \"{}\"", key);
    }
  }
  return {};
}

// What an extended header has to say; and whether USTAR would do without one.
struct Needs {
  Records records;
  bool fits_ustar = true;

  void text(const char* key, std::string_view value, bool fits) {
    if (is_ascii(value) && value.size() <= name_width) return;
    records[key] = value;
    fits_ustar = fits_ustar && fits;
  }
  void number(const char* key, std::int64_t value, std::size_t width) {
    if (fits_octal(value, width)) return;
    records[key] = std::to_string(value);
    fits_ustar = false;
  }
};

Needs needs_of(const Header& header, const TarEntry& entry) {
  Needs needs;
  needs.text("path", header.name, split_name(header.name).has_value());
  needs.text("linkpath", header.link, false);
  needs.number("uid", header.uid, 8);
  needs.number("gid", header.gid, 8);
  needs.number("size", header.size, 12);
  needs.number("mtime", header.mtime, 12);
  for (const auto& [key, value] : entry.xattrs) {
    needs.records["SCHILY.xattr." + key] = value;
    needs.fits_ustar = false;
  }
  return needs;
}

Status append_checked(const TarEntry& entry, std::string& out) {
  TRY(check(entry));
  Header header{.name = entry.name,
                .prefix = "",
                .link = entry.link,
                .type = type_flag(entry.type),
                .mode = entry.mode,
                .uid = entry.uid,
                .gid = entry.gid,
                .size = static_cast<std::int64_t>(entry.size),
                .mtime = entry.mtime.tv_sec == unset_time ? 0 : entry.mtime.tv_sec,
                .major = major(entry.device),
                .minor = minor(entry.device)};
  if (!fits_octal(header.major, 8) || !fits_octal(header.minor, 8)) {
    return fail(ErrorCode::invalid_argument, "a tar has no room for device {}:{}", header.major, header.minor);
  }
  const Needs needs = needs_of(header, entry);
  if (needs.fits_ustar) {
    if (const auto split = split_name(header.name)) {
      header.prefix = split->prefix;
      header.name = std::string(split->name);
    }
  } else {
    TRY(append_extended_header(header.name, needs.records, out));
    header.name = to_ascii(header.name);
    header.link = to_ascii(header.link);
  }
  append_block(header, out);
  return {};
}

}  // namespace

Status append_header(const TarEntry& entry, std::string& out) {
  TRY(append_checked(entry, out), "write \"{}\" into a layer", entry.name);
  return {};
}

}  // namespace cairn::snapshot

// SPDX-License-Identifier: Apache-2.0
#include "libcache/pages/page.h"

#include <utility>

#include "libbase/codec.h"
#include "libbase/hash/sha256.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

constexpr std::size_t inline_bytes_max = 8 << 10;  // a directory with more than this goes into leaves
constexpr std::uint8_t level_max = 8;

// Whether a leaf ends behind this name: one in 64 does, the same ones in every tree.
bool ends_leaf(std::string_view name) {
  std::uint32_t hash = 2'166'136'261;  // FNV-1a
  for (const char byte : name) hash = (hash ^ static_cast<unsigned char>(byte)) * 16'777'619;
  return (hash ^ (hash >> 15)) % 64 == 0;
}

std::size_t size_of(const PageEntry& entry) { return entry.name.size() + entry.link.size() + 200; }

PageName put(const RawPage& page, const PageSink& sink) {
  std::string bytes = encode(page);
  const PageName name = name_of_page(bytes);
  sink(name, std::move(bytes));
  return name;
}

// Splits what a page would hold into pages of one level less.
template <class Item, class Size, class NameOf, class Make>
std::vector<RawPage::Piece> split(const std::vector<Item>& items, Size size, NameOf name_of, Make make) {
  std::vector<RawPage::Piece> pieces;
  std::vector<Item> gathered;
  std::size_t bytes = 0;
  const auto close = [&] {
    if (gathered.empty()) return;
    std::string first(name_of(gathered.front()));
    pieces.push_back({std::move(first), make(std::exchange(gathered, {}))});
    bytes = 0;
  };
  for (const Item& item : items) {
    if (bytes + size(item) > page_bytes_max) close();
    gathered.push_back(item);
    bytes += size(item);
    if (ends_leaf(name_of(item))) close();
  }
  close();
  return pieces;
}

void put_names(RawPage& page, const std::vector<PageEntry>& names, const PageSink& sink) {
  std::size_t bytes = 0;
  for (const PageEntry& entry : names) bytes += size_of(entry);
  if (bytes <= inline_bytes_max) {
    page.entries = names;
    return;
  }
  page.level = 1;
  page.pieces = split(
      names, size_of, [](const PageEntry& entry) { return std::string_view(entry.name); },
      [&](std::vector<PageEntry> entries) {
        RawPage leaf;
        leaf.kind = RawPage::Kind::leaf;
        leaf.entries = std::move(entries);
        return put(leaf, sink);
      });
  const auto size_of_piece = [](const RawPage::Piece& piece) { return piece.first_name.size() + 40; };
  while (page.level < level_max) {
    std::size_t size = 0;
    for (const RawPage::Piece& piece : page.pieces) size += size_of_piece(piece);
    if (size <= page_bytes_max) return;
    // Names of pages are hashes already, so they say as well where to cut.
    page.pieces = split(
        page.pieces, size_of_piece, [](const RawPage::Piece& piece) { return std::string_view(piece.first_name); },
        [&](std::vector<RawPage::Piece> pieces) {
          RawPage above;
          above.kind = RawPage::Kind::leaf;
          above.level = page.level;
          above.pieces = std::move(pieces);
          return put(above, sink);
        });
    ++page.level;
  }
}

Status load_names(const RawPage& page, const PageLoad& read, std::vector<PageEntry>& names, std::uint8_t levels_left) {
  if (page.level == 0) {
    names.insert(names.end(), page.entries.begin(), page.entries.end());
    return {};
  }
  if (page.level > levels_left) return fail(ErrorCode::corrupt, "page of level {} in one of less", page.level);
  for (const RawPage::Piece& piece : page.pieces) {
    const std::string bytes = TRY(read(piece.page));
    const RawPage below = TRY(decode_page(bytes), "page {}", piece.page);
    if (below.kind != RawPage::Kind::leaf) return fail(ErrorCode::corrupt, "page {} is no leaf", piece.page);
    TRY(load_names(below, read, names, static_cast<std::uint8_t>(page.level - 1)));
  }
  return {};
}

}  // namespace

PageEntry to_page_entry(std::string name, const TreeEntry& entry, const EntryDigests& digests, std::uint64_t link_group) {
  PageEntry page;
  page.name = std::move(name);
  page.type = entry.type;
  page.mode = entry.mode;
  page.uid = entry.uid;
  page.gid = entry.gid;
  page.size = entry.type == EntryType::file ? entry.size : 0;
  page.mtime_seconds = entry.mtime_seconds;
  page.mtime_nanoseconds = entry.mtime_nanoseconds;
  page.device_major = entry.device_major;
  page.device_minor = entry.device_minor;
  page.link = entry.link;
  page.link_group = link_group;
  page.digests = digests;
  page.xattrs = digest_xattrs(entry.xattrs);
  return page;
}

BothContents hash_names(const EntryDigests& header, const std::vector<PageEntry>& names) {
  thread_local ContentsHash hash;
  const auto by = [&](DigestRules rules) {
    hash.add_header(header.by(rules));
    for (const PageEntry& entry : names) {
      if (entry.is_directory()) {
        hash.add_directory(entry.name, entry.contents.by(rules));
      } else {
        hash.add_name(entry.name, entry.digests.by(rules));
      }
    }
    return hash.finish();
  };
  bool differs = header.scan != header.stream;
  for (const PageEntry& entry : names) {
    differs = differs || (entry.is_directory() ? entry.contents.scan != entry.contents.stream
                                               : entry.digests.scan != entry.digests.stream);
  }
  BothContents contents;
  contents.scan = by(DigestRules::scan);
  contents.stream = differs ? by(DigestRules::stream) : contents.scan;
  return contents;
}

BuiltDirectory build_directory(const PageEntry& header, const std::vector<PageEntry>& names, const PageSink& sink) {
  RawPage page;
  page.header = header;
  page.header.name.clear();
  page.contents = hash_names(header.digests, names);
  put_names(page, names, sink);
  BothContents contents = page.contents;
  return {put(page, sink), std::move(contents)};
}

Result<DirectoryPage> load_directory(const PageName& page, const PageLoad& read) {
  const std::string bytes = TRY(read(page));
  RawPage raw = TRY(decode_page(bytes), "page {}", page);
  if (raw.kind != RawPage::Kind::directory) return fail(ErrorCode::corrupt, "page {} is no directory's", page);
  DirectoryPage directory{std::move(raw.header), std::move(raw.contents), {}};
  TRY(load_names(raw, read, directory.names, level_max));
  return directory;
}

}  // namespace cairn::cache

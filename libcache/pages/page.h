// SPDX-License-Identifier: Apache-2.0
// The pages of the Merkle tree (docs/formats/tree-digest.md, "Pages"). A directory is one page; the names of a wide one are
// in leaf pages below it. A page is named by the hash of its bytes, and they hold all that a tree holds about the names in
// it, so equal names mean equal directories, down to nanoseconds, attributes and links. BuildKit's digests are columns.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libcache/tree_entry.h"
#include "libcache/trees/contents_hash.h"
#include "libcache/trees/entry_reader.h"

namespace cairn::cache {

using PageName = base::Digest<struct PageMeaning>;

// A directory's contents by the two sets of rules.
struct BothContents {
  Contents scan, stream;
  const Contents& by(DigestRules rules) const { return rules == DigestRules::scan ? scan : stream; }
  bool operator==(const BothContents&) const = default;
};

// One name of a directory, or its header (then the name is "").
struct PageEntry {
  std::string name;
  EntryType type = EntryType::file;
  std::uint32_t mode = 0, uid = 0, gid = 0;
  std::uint64_t size = 0;
  std::int64_t mtime_seconds = 0;
  std::uint32_t mtime_nanoseconds = 0;
  std::uint32_t device_major = 0, device_minor = 0;
  std::string link;             // the target of a symlink
  XattrsDigest xattrs;          // of all of them; zero if there is none
  std::uint64_t link_group = 0; // the same for all names of one inode that has several; 0: it has one
  EntryDigests digests;         // of a directory: of its header, which is all there is of it in a header entry
  // Of a directory, where it is a name of another one:
  PageName page;
  BothContents contents;

  bool is_directory() const { return type == EntryType::directory; }
  bool operator==(const PageEntry&) const = default;
};

// link_group: 0, or a number for the inode.
PageEntry to_page_entry(std::string name, const TreeEntry& entry, const EntryDigests& digests, std::uint64_t link_group);

struct DirectoryPage {
  PageEntry header;
  BothContents contents;
  std::vector<PageEntry> names;  // bytewise ascending
};

// A page as it is stored: what a directory's page or a leaf says by itself.
struct RawPage {
  struct Piece {  // of a wide directory: a leaf, or a page over leaves
    std::string first_name;
    PageName page;
    bool operator==(const Piece&) const = default;
  };
  enum class Kind : std::uint8_t { directory = 0, leaf = 1 };
  Kind kind = Kind::directory;
  std::uint8_t level = 0;  // 0: entries; above: pieces
  PageEntry header;        // of a directory
  BothContents contents;   // of a directory
  std::vector<PageEntry> entries;
  std::vector<Piece> pieces;

  // What it points at and counts as a user of, in order, with repetitions.
  std::vector<PageName> children() const;
};
std::string encode(const RawPage& page);
base::Result<RawPage> decode_page(std::string_view bytes);  // corrupt
PageName name_of_page(std::string_view bytes);

// A leaf ends behind a name whose hash says so, 64 names on average, or at this size; so that one more name in a wide
// directory makes two other leaves at most, wherever it is.
inline constexpr std::size_t page_bytes_max = 32 << 10;

// Takes the bytes of a new page under its name.
using PageSink = std::function<void(const PageName&, std::string bytes)>;

// Computes the contents of a directory, makes its pages, and gives the name of the first. Names are in order.
struct BuiltDirectory {
  PageName page;
  BothContents contents;
};
BuiltDirectory build_directory(const PageEntry& header, const std::vector<PageEntry>& names, const PageSink& sink);
// The contents alone. header: what counts as the header's digests.
BothContents hash_names(const EntryDigests& header, const std::vector<PageEntry>& names);

// Reads a directory with all its leaves. Errors: those of `read`, corrupt.
using PageLoad = std::function<base::Result<std::string>(const PageName&)>;
base::Result<DirectoryPage> load_directory(const PageName& page, const PageLoad& read);

}  // namespace cairn::cache

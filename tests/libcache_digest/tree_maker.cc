// SPDX-License-Identifier: Apache-2.0
#include "tests/libcache_digest/tree_maker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libbase/fs/fd.h"

namespace cairn::cache {
namespace {

struct Line {
  std::string path, kind, rest;
};

Line parse(std::string_view text) {
  Line line;
  for (std::string* part : {&line.path, &line.kind}) {
    const std::size_t end = std::min(text.find(' '), text.size());
    *part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  line.rest = text;
  return line;
}

TreeEntry entry_of(EntryType type, std::uint32_t mode) {
  TreeEntry entry;
  entry.type = type;
  entry.mode = mode;
  return entry;
}

}  // namespace

TestTree::TestTree(const std::vector<std::string>& lines) {
  CHECK(::chmod(dir_.path().c_str(), 0755) == 0);
  for (const std::string& line : lines) add(line);
}

void TestTree::add(std::string_view text) {
  const Line line = parse(text);
  const std::string name = path(line.path);
  if (line.kind == "dir") {
    CHECK(::mkdir(name.c_str(), 0755) == 0, "mkdir {}", name);
    CHECK(::chmod(name.c_str(), 0755) == 0);
  } else if (line.kind == "symlink") {
    CHECK(::symlink(line.rest.c_str(), name.c_str()) == 0, "symlink {}", name);
  } else {
    CHECK(line.kind == "file", "a line of kind {}", line.kind);
    const base::Fd fd(::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    CHECK(fd && base::write_full(fd.get(), line.rest), "write {}", name);
    CHECK(::fchmod(fd.get(), 0644) == 0);
  }
}

base::Result<TreeDigest> TestTree::digest(const Selection& selection, DigestRules rules, DigestCounts* counts) const {
  const base::Fd fd = TRY(base::open_host_dir(dir_.path()));
  return tree_digest(fd.get(), selection, rules, counts);
}

void announce(StreamedTree& tree, const std::vector<std::string>& lines) {
  for (const std::string& text : lines) {
    const Line line = parse(text);
    if (line.kind == "dir") {
      tree.apply({line.path, EntryType::directory, "", header_digest()});
    } else if (line.kind == "symlink") {
      tree.apply({line.path, EntryType::symlink, line.rest, link_digest(line.rest)});
    } else if (line.kind == "hardlink") {
      tree.apply({line.path, EntryType::file, line.rest, file_digest("")});
    } else {
      tree.apply({line.path, EntryType::file, "", file_digest(line.rest)});
    }
  }
}

void announce_directory(StreamedTree& tree, const std::string& path, std::uint32_t mode) {
  tree.apply({path, EntryType::directory, "", header_digest(mode)});
}

Selection plain(std::string path) {
  Selection selection;
  selection.path = std::move(path);
  return selection;
}

Selection followed(std::string path) {
  Selection selection = plain(std::move(path));
  selection.follow_links = true;
  return selection;
}

Selection wildcard(std::string path) {
  Selection selection = plain(std::move(path));
  selection.wildcard = true;
  return selection;
}

Selection including(std::string path, std::vector<std::string> patterns) {
  Selection selection = plain(std::move(path));
  selection.include_patterns = std::move(patterns);
  return selection;
}

Selection excluding(std::string path, std::vector<std::string> patterns) {
  Selection selection = plain(std::move(path));
  selection.exclude_patterns = std::move(patterns);
  return selection;
}

std::string shown(const base::Result<TreeDigest>& digest) {
  return digest ? digest->hex() : "error: " + digest.error().message;
}

TreeDigest file_digest(std::string_view content) {
  TreeEntry entry = entry_of(EntryType::file, 0644);
  entry.size = content.size();
  EntryHasher hasher(entry);
  hasher.update(content);
  return hasher.finish();
}

TreeDigest link_digest(std::string_view target) {
  TreeEntry entry = entry_of(EntryType::symlink, 0777);
  entry.link = target;
  return EntryHasher(entry).finish();
}

TreeDigest header_digest(std::uint32_t mode) { return EntryHasher(entry_of(EntryType::directory, mode)).finish(); }

std::string hash_of(std::string_view bytes) { return base::to_hex(base::sha256(bytes)); }

}  // namespace cairn::cache

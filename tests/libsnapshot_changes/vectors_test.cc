// SPDX-License-Identifier: Apache-2.0
// BuildKit's own layers (tests/golden/layers): which entries the walking differ writes, in which order, held against the
// change stream. What turns a stream into entries is a few lines here; the bytes of the tar are another test's business.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "libbase/base64.h"
#include "libbase/result.h"
#include "tests/libsnapshot_changes/trees.h"
#include "tests/support/temp_dir.h"
#include "tests/support/vectors.h"

namespace cairn::snapshot {
namespace {

using nlohmann::json;

std::string decode_base64(const std::string& text) {
  auto bytes = base::from_base64(text);
  CHECK(bytes.has_value(), "no base 64: {}", text);
  return std::move(*bytes);
}

std::string content_of(const json& entry) {
  if (entry.contains("content_b64")) return decode_base64(entry["content_b64"]);
  if (!entry.contains("pattern")) return entry.value("content", "");
  const std::string pattern = entry["pattern"];
  std::string text;
  while (text.size() < entry.at("size").get<std::size_t>()) text += pattern;
  text.resize(entry["size"]);
  return text;
}

void make(const TreeAt& tree, const json& entry, std::int64_t default_time) {
  const std::string path =
      entry.contains("path_b64") ? decode_base64(entry["path_b64"]) : entry.at("path").get<std::string>();
  const std::string type = entry.value("type", "file");
  if (type == "remove") return tree.remove(path);
  if (type == "hardlink") return tree.link(path, entry.at("target"));
  struct ::stat status {};
  const bool exists = ::lstat(tree.at(path).c_str(), &status) == 0;
  if (exists && !(type == "dir" && S_ISDIR(status.st_mode)) && !(type == "file" && S_ISREG(status.st_mode))) tree.remove(path);
  const unsigned fallback = type == "dir" ? 0755 : 0644;
  const unsigned mode = entry.contains("mode") ? std::stoul(entry["mode"].get<std::string>(), nullptr, 8) : fallback;
  if (type == "file") tree.file(path, content_of(entry), mode);
  if (type == "dir" && !(exists && S_ISDIR(status.st_mode))) tree.dir(path, mode);
  if (type == "symlink") tree.symlink(path, entry.at("target"));
  const unsigned node = type == "fifo" ? S_IFIFO : type == "char" ? S_IFCHR : type == "block" ? S_IFBLK : 0;
  if (node != 0) tree.node(path, node | 0600, entry.value("major", 0u), entry.value("minor", 0u));
  tree.owner(path, entry.value("uid", 0u), entry.value("gid", 0u));
  if (type != "symlink") tree.mode(path, mode);
  const json xattrs = entry.value("xattrs_b64", json::object());
  for (const auto& [name, value] : xattrs.items()) tree.xattr(path, name, decode_base64(value));
  tree.time(path, entry.value("mtime", default_time), entry.value("mtime_ns", 0l));
}

struct Scene {
  test::TempDir lower_dir, upper_dir;
  TreeAt lower{lower_dir.path().str()}, upper{upper_dir.path().str()};

  // Directories that only gain or lose children keep the time they have.
  void change(const json& one) {
    for (const TreeAt* tree : {&lower, &upper}) {
      for (const auto& entry : one.at("lower")) make(*tree, entry, 1600000000);
      tree->time_all(1600000000);
      for (const auto& entry : one.at("lower")) {
        if (entry.contains("mtime_ns")) tree->time(entry.at("path"), entry.value("mtime", 1600000000), entry["mtime_ns"]);
      }
    }
    for (const auto& entry : one.at("changes")) {
      const std::filesystem::path path(upper.at(entry.at("path").get<std::string>()));
      const std::filesystem::path above = path.parent_path();
      struct ::stat before {};
      const bool known = ::lstat(above.c_str(), &before) == 0;
      make(upper, entry, 1600000100);
      if (known) {
        const std::array<timespec, 2> times = {before.st_atim, before.st_mtim};
        ASSERT_EQ(::utimensat(AT_FDCWD, above.c_str(), times.data(), 0), 0);
      }
    }
  }
};

// What containerd's and BuildKit's writer makes of a stream (spec/storage 4.4): parents first, whiteouts, the first name
// of an inode in full and the others as links; earlier names that had not changed follow the one that had.
class Entries {
 public:
  base::Status add(const Change& change) {
    const std::string path = change.path.str();
    if (change.kind == ChangeKind::remove) {
      const std::string above = change.path.parent().str();
      return put(change.path, (above.empty() ? "" : above + "/") + ".wh." + std::string(change.path.name()), '0');
    }
    const bool linked = !S_ISDIR(change.status.st_mode) && change.status.st_nlink > 1;
    const auto inode = std::pair(change.status.st_dev, change.status.st_ino);
    if (linked && sources_.contains(inode)) return put(change.path, path, '1');
    if (change.in_layer == InLayer::no) {
      if (linked) waiting_[inode].push_back(change.path);
      return {};
    }
    TRY(put(change.path, path + (S_ISDIR(change.status.st_mode) ? "/" : ""), type_of(change.status)));
    if (!linked) return {};
    sources_.insert(inode);
    for (const auto& earlier : waiting_[inode]) TRY(put(earlier, earlier.str(), '1'));
    return {};
  }
  std::vector<std::string> lines;

 private:
  static char type_of(const struct ::stat& status) {
    switch (status.st_mode & S_IFMT) {
      case S_IFLNK: return '2';
      case S_IFCHR: return '3';
      case S_IFBLK: return '4';
      case S_IFDIR: return '5';
      case S_IFIFO: return '6';
      default: return '0';
    }
  }
  base::Status put(const base::TreePath& path, const std::string& name, char type) {
    std::vector<base::TreePath> above;
    for (auto up = path.parent(); !up.is_root() && !directories_.contains(up.str()); up = up.parent()) above.push_back(up);
    for (auto up = above.rbegin(); up != above.rend(); ++up) {
      directories_.insert(up->str());
      lines.push_back(up->str() + "/ 5");
    }
    if (type == '5') directories_.insert(path.str());
    lines.push_back(name + " " + type);
    return {};
  }
  std::set<std::string> directories_;
  std::set<std::pair<dev_t, ino_t>> sources_;
  std::map<std::pair<dev_t, ino_t>, std::vector<base::TreePath>> waiting_;
};

std::vector<std::string> expected_entries(const json& result) {
  std::vector<std::string> lines;
  for (const auto& entry : result.at("entries")) {
    const std::string name =
        entry.contains("name_b64") ? decode_base64(entry["name_b64"]) : entry.at("name").get<std::string>();
    lines.push_back(name + " " + entry.at("typeflag").get<std::string>());
  }
  return lines;
}

std::filesystem::path vectors() { return test::vector_folder("layers"); }

TEST(ChangesVectors, TheDoubleWalkSeesWhatTheWalkingDifferWrites) {
  std::set<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(vectors())) {
    if (file.path().extension() == ".json") files.insert(file.path());
  }
  ASSERT_FALSE(files.empty());
  for (const auto& file : files) {
    SCOPED_TRACE(file.filename().string());
    std::ifstream in(file);
    const json one = json::parse(in);
    Scene scene;
    scene.change(one);
    Entries entries;
    must(changes_between(scene.lower.open().get(), scene.upper.open().get(),
                         [&](const Change& change) { return entries.add(change); },
                         {.replay = Replay::hard_links, .contents = Contents::trust_times}));
    EXPECT_EQ(entries.lines, expected_entries(one.at("walking")));
  }
}

}  // namespace
}  // namespace cairn::snapshot

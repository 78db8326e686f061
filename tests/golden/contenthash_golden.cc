// SPDX-License-Identifier: Apache-2.0
// The contenthash family: trees ("scan") and series of announced changes ("handle-change"), and the digests that
// BuildKit gave for selections of them. Trees are made on disk with their owners, devices and attributes, so this needs
// root.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libcache/streamed_tree.h"
#include "libcache/tree_digest.h"

namespace cairn::cache {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string from_base64(const std::string& text) {
  const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::size_t value = alphabet.find(c);
    if (value == std::string::npos) continue;  // padding
    bits = (bits << 6) | static_cast<unsigned>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>((bits >> count) & 0xff);
  }
  return bytes;
}

// A text that may also be given as base64 under "<name>_b64".
std::string text_of(const json& object, const std::string& name) {
  if (object.contains(name + "_b64")) return from_base64(object.at(name + "_b64"));
  return object.value(name, "");
}

std::string content_of(const json& entry) {
  if (!entry.contains("pattern")) return text_of(entry, "content");
  const std::string pattern = entry.at("pattern");
  const std::size_t size = entry.at("size");
  std::string content;
  while (content.size() < size) content += pattern;
  content.resize(size);
  return content;
}

std::map<std::string, std::string> xattrs_of(const json& entry) {
  std::map<std::string, std::string> xattrs;
  const json listed = entry.value("xattrs_b64", json::object());
  for (const auto& [name, value] : listed.items()) xattrs[name] = from_base64(value);
  return xattrs;
}

mode_t mode_of(const json& entry) {
  const std::string type = entry.value("type", "file");
  const std::string usual = type == "dir" ? "0755" : type == "symlink" ? "0777" : "0644";
  return static_cast<mode_t>(std::stoul(entry.value("mode", usual), nullptr, 8));
}

Selection selection_of(const json& query) {
  Selection selection;
  selection.path = text_of(query, "path");
  selection.follow_links = query.value("followLinks", false);
  selection.wildcard = query.value("wildcard", false);
  selection.include_patterns = query.value("includePatterns", std::vector<std::string>());
  selection.exclude_patterns = query.value("excludePatterns", std::vector<std::string>());
  selection.required_paths = query.value("requiredPaths", std::vector<std::string>());
  return selection;
}

// What cannot be made fails the case, by the name of what it was.
void must(bool worked, const std::string& what) {
  if (!worked) ADD_FAILURE() << what << ": " << base::errno_text(errno);
}

void make_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // The address is short, the path may be long: bind in the directory of this process.
  const fs::path target(path);
  const fs::path before = fs::current_path();
  fs::current_path(target.parent_path());
  target.filename().string().copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  const bool worked = ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int error = errno;
  fs::current_path(before);
  ::close(fd);
  errno = error;
  must(worked, "bind " + path);
}

void make_entry(const fs::path& top, const json& entry) {
  const std::string relative = text_of(entry, "path");
  const bool is_top = relative == "/" || relative.empty();
  const std::string path = is_top ? top.string() : top.string() + "/" + relative;
  const std::string type = entry.value("type", "file");
  const mode_t mode = mode_of(entry);
  const dev_t device = makedev(entry.value("major", 0u), entry.value("minor", 0u));
  if (type == "file") {
    std::ofstream out(path, std::ios::binary);
    out << content_of(entry);
    must(out.good(), "write " + path);
  } else if (type == "dir") {
    must(is_top || ::mkdir(path.c_str(), 0755) == 0, "mkdir " + path);
  } else if (type == "symlink") {
    must(::symlink(text_of(entry, "target").c_str(), path.c_str()) == 0, "symlink " + path);
  } else if (type == "hardlink") {
    const std::string target = top.string() + "/" + text_of(entry, "target");
    must(::linkat(AT_FDCWD, target.c_str(), AT_FDCWD, path.c_str(), 0) == 0, "link " + path);
    return;
  } else if (type == "socket") {
    make_socket(path);
  } else {
    const mode_t kind = type == "fifo" ? S_IFIFO : type == "char" ? S_IFCHR : type == "block" ? S_IFBLK : 0;
    errno = EINVAL;
    must(kind != 0 && ::mknod(path.c_str(), kind | 0600, device) == 0, "mknod " + path + " as " + type);
  }
  const uid_t uid = entry.value("uid", 0u);
  const gid_t gid = entry.value("gid", 0u);
  must(::lchown(path.c_str(), uid, gid) == 0, "chown " + path);
  if (type != "symlink") must(::chmod(path.c_str(), mode) == 0, "chmod " + path);
  for (const auto& [name, value] : xattrs_of(entry)) {
    must(::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) == 0, "setxattr " + path + " " + name);
  }
}

EntryType type_of(const std::string& type) {
  if (type == "dir") return EntryType::directory;
  if (type == "symlink") return EntryType::symlink;
  if (type == "char") return EntryType::char_device;
  if (type == "block") return EntryType::block_device;
  if (type == "fifo") return EntryType::fifo;
  if (type == "socket") return EntryType::socket;
  return EntryType::file;  // and hardlink
}

void announce(StreamedTree& tree, const json& change) {
  const std::string path = text_of(change, "path");
  if (change.at("kind") == "delete") return tree.remove(path);
  const std::string type = change.value("type", "file");
  const std::string content = content_of(change);
  TreeEntry entry;
  entry.type = type_of(type);
  entry.mode = mode_of(change);
  entry.uid = change.value("uid", 0u);
  entry.gid = change.value("gid", 0u);
  entry.size = content.size();
  entry.link = text_of(change, "target");
  entry.device_major = change.value("major", 0u);
  entry.device_minor = change.value("minor", 0u);
  entry.xattrs = xattrs_of(change);
  EntryHasher hasher(entry);
  hasher.update(content);
  tree.apply({path, entry.type, entry.link, hasher.finish()});
}

struct Tally {
  std::size_t queries = 0, passed = 0;
};

template <class Ask>
void ask_all(const std::string& name, const json& queries, Tally& tally, Ask&& ask) {
  for (const json& query : queries) {
    ++tally.queries;
    const auto digest = ask(selection_of(query));
    const std::string expected = query.value("digest", "");
    if (!query.value("error", "").empty() || expected.empty()) {
      EXPECT_FALSE(digest) << name << ": " << query.dump(-1, ' ', true, json::error_handler_t::replace);
      tally.passed += digest ? 0 : 1;
      continue;
    }
    const std::string got = digest ? digest->str() : "error: " + digest.error().message;
    EXPECT_EQ(got, expected) << name << ": " << query.dump(-1, ' ', true, json::error_handler_t::replace);
    tally.passed += got == expected ? 1 : 0;
  }
}

class Scratch {
 public:
  Scratch() {
    char name[] = "/tmp/cairn-test-XXXXXX";
    must(::mkdtemp(name) != nullptr, "mkdtemp");
    top_ = name;
    must(::chmod(name, 0755) == 0, "chmod");
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(top_, ignored);
  }
  const fs::path& top() const { return top_; }

 private:
  fs::path top_;
};

void run_scan(const std::string& name, const json& one, Tally& tally) {
  const Scratch scratch;
  for (const json& entry : one.at("entries")) make_entry(scratch.top(), entry);
  const auto top = base::HostPath::parse(scratch.top().string());
  ASSERT_TRUE(top);
  ask_all(name, one.at("queries"), tally,
          [&](const Selection& selection) { return digest_directory(*top, selection, nullptr); });
}

void run_changes(const std::string& name, const json& one, Tally& tally) {
  StreamedTree tree;
  std::size_t number = 0;
  for (const json& step : one.at("steps")) {
    for (const json& change : step.value("changes", json::array())) announce(tree, change);
    ask_all(name + " step " + std::to_string(number++), step.value("queries", json::array()), tally,
            [&](const Selection& selection) { return tree.digest(selection); });
  }
}

fs::path vectors() {
  const char* given = std::getenv("CAIRN_VECTORS");
  return given != nullptr ? fs::path(given) / "contenthash" : fs::path(CAIRN_SOURCE_DIR) / "tests/golden/contenthash";
}

TEST(GoldenContenthash, EveryCase) {
  ::umask(0);
  std::set<fs::path> cases;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(vectors(), absent)) {
    if (entry.path().extension() == ".json") cases.insert(entry.path());
  }
  Tally tally;
  std::size_t pending = 0;
  for (const fs::path& path : cases) {
    SCOPED_TRACE(path.filename().string());
    const json one = json::parse(read_file(path));
    const std::string mode = one.at("mode");
    const std::string name = one.value("name", path.stem().string());
    if (mode == "scan") {
      run_scan(name, one, tally);
    } else if (mode == "handle-change") {
      run_changes(name, one, tally);
    } else {
      std::printf("pending: %s: unknown mode %s\n", name.c_str(), mode.c_str());
      ++pending;
      ADD_FAILURE() << "unknown mode " << mode;
    }
  }
  std::printf("golden.contenthash: %zu cases, %zu queries, %zu passed, %zu pending\n", cases.size(), tally.queries,
              tally.passed, pending);
  EXPECT_GT(cases.size(), 0u) << "no cases in " << vectors();
  EXPECT_GT(tally.queries, 0u) << "no queries in " << vectors();
}

}  // namespace
}  // namespace cairn::cache

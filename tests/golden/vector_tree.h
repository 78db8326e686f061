// SPDX-License-Identifier: Apache-2.0
// Trees as the vectors describe them, made on disk with their owners, devices and attributes: this needs root.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "libbase/base64.h"
#include "libbase/result.h"
#include "tests/support/vectors.h"

namespace cairn::golden {

namespace fs = std::filesystem;
using nlohmann::json;

inline std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline std::string from_base64(const std::string& text) {
  auto bytes = base::from_base64(text);
  CHECK(bytes.has_value(), "no base 64: {}", text);
  return std::move(*bytes);
}

// A text that may also be given as base64 under "<name>_b64".
inline std::string text_of(const json& object, const std::string& name) {
  if (object.contains(name + "_b64")) return from_base64(object.at(name + "_b64"));
  return object.value(name, "");
}

inline std::string content_of(const json& entry) {
  if (!entry.contains("pattern")) return text_of(entry, "content");
  const std::string pattern = entry.at("pattern");
  const std::size_t size = entry.at("size");
  std::string content;
  while (content.size() < size) content += pattern;
  content.resize(size);
  return content;
}

inline std::map<std::string, std::string> xattrs_of(const json& entry) {
  std::map<std::string, std::string> xattrs;
  const json listed = entry.value("xattrs_b64", json::object());
  for (const auto& [name, value] : listed.items()) xattrs[name] = from_base64(value);
  return xattrs;
}

inline mode_t mode_of(const json& entry) {
  const std::string type = entry.value("type", "file");
  const std::string usual = type == "dir" ? "0755" : type == "symlink" ? "0777" : "0644";
  return static_cast<mode_t>(std::stoul(entry.value("mode", usual), nullptr, 8));
}

// What cannot be made fails the case, by the name of what it was.
inline void expect_done(bool worked, const std::string& what) {
  if (!worked) ADD_FAILURE() << what << ": " << base::errno_text(errno);
}

inline void make_socket(const std::string& path) {
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
  expect_done(worked, "bind " + path);
}

// Makes the entry, or gives one that is there (a file, a directory) the contents and metadata that it names; times are
// the caller's. A file keeps its inode.
inline void make_entry(const fs::path& top, const json& entry) {
  const std::string relative = text_of(entry, "path");
  const bool is_top = relative == "/" || relative.empty();
  const std::string path = is_top ? top.string() : top.string() + "/" + relative;
  const std::string type = entry.value("type", "file");
  const mode_t mode = mode_of(entry);
  const dev_t device = makedev(entry.value("major", 0u), entry.value("minor", 0u));
  if (type == "file") {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out << content_of(entry);
    expect_done(out.good(), "write " + path);
  } else if (type == "dir") {
    expect_done(is_top || ::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST, "mkdir " + path);
  } else if (type == "symlink") {
    expect_done(::symlink(text_of(entry, "target").c_str(), path.c_str()) == 0, "symlink " + path);
  } else if (type == "hardlink") {
    const std::string target = top.string() + "/" + text_of(entry, "target");
    expect_done(::linkat(AT_FDCWD, target.c_str(), AT_FDCWD, path.c_str(), 0) == 0, "link " + path);
    return;
  } else if (type == "socket") {
    make_socket(path);
  } else {
    const mode_t kind = type == "fifo" ? S_IFIFO : type == "char" ? S_IFCHR : type == "block" ? S_IFBLK : 0;
    errno = EINVAL;
    expect_done(kind != 0 && ::mknod(path.c_str(), kind | 0600, device) == 0, "mknod " + path + " as " + type);
  }
  const uid_t uid = entry.value("uid", 0u);
  const gid_t gid = entry.value("gid", 0u);
  expect_done(::lchown(path.c_str(), uid, gid) == 0, "chown " + path);
  if (type != "symlink") expect_done(::chmod(path.c_str(), mode) == 0, "chmod " + path);
  for (const auto& [name, value] : xattrs_of(entry)) {
    expect_done(::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) == 0, "setxattr " + path + " " + name);
  }
}

class Scratch {
 public:
  Scratch() {
    char name[] = "/tmp/cairn-test-XXXXXX";
    expect_done(::mkdtemp(name) != nullptr, "mkdtemp");
    top_ = name;
    expect_done(::chmod(name, 0755) == 0, "chmod");
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(top_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const fs::path& top() const { return top_; }

 private:
  fs::path top_;
};

// The cases of a family, in bytewise order: those of the tree, or of the folder that CAIRN_VECTORS names.
inline std::set<fs::path> cases_of(const std::string& family) {
  const fs::path folder = test::vector_folder(family);
  std::set<fs::path> cases;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(folder, absent)) {
    if (entry.path().extension() == ".json") cases.insert(entry.path());
  }
  EXPECT_GT(cases.size(), 0u) << "no cases in " << folder;
  return cases;
}

}  // namespace cairn::golden

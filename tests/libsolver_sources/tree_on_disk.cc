// SPDX-License-Identifier: Apache-2.0
#include "tests/libsolver_sources/tree_on_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <climits>

#include "libbase/fs/beneath.h"
#include "libbase/hash/sha256.h"
#include "libcache/tree_digest.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::test {
namespace {

void make_parents(const std::string& path) {
  for (auto slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    CHECK(::mkdir(part.c_str(), 0755) == 0 || errno == EEXIST, "mkdir {}", part);
  }
}

// Calls visit(relative path, host path, lstat) for everything below, parents first.
template <class Visit>
void walk(const base::HostPath& dir, const std::string& prefix, Visit&& visit) {
  const auto fd = base::open_host_dir(dir);
  CHECK(fd.has_value(), "open {}", dir.str());
  const auto names = base::list_dir(fd->get());
  CHECK(names.has_value(), "list {}", dir.str());
  for (const auto& entry : *names) {
    const base::HostPath path = dir / entry.name;
    struct ::stat facts;
    CHECK(::lstat(path.c_str(), &facts) == 0, "lstat {}", path.str());
    visit(prefix + entry.name, path, facts);
    if (S_ISDIR(facts.st_mode)) walk(path, prefix + entry.name + "/", visit);
  }
}

std::string target_of(const base::HostPath& path) {
  std::array<char, PATH_MAX> buffer;
  const ssize_t size = ::readlink(path.c_str(), buffer.data(), buffer.size());
  CHECK(size >= 0, "readlink {}", path.str());
  return {buffer.data(), static_cast<std::size_t>(size)};
}

}  // namespace

TreeOnDisk::TreeOnDisk(base::HostPath root) : root_(std::move(root)) {
  make_parents(root_.str() + "/");
  CHECK(::chmod(root_.c_str(), 0755) == 0);
}

std::string TreeOnDisk::made(std::string_view path) const {
  const std::string full = root_.str() + "/" + std::string(path);
  make_parents(full);
  return full;
}

void TreeOnDisk::dir(std::string_view path, mode_t mode) const {
  const std::string full = made(path);
  CHECK((::mkdir(full.c_str(), 0755) == 0 || errno == EEXIST) && ::chmod(full.c_str(), mode) == 0, "mkdir {}", full);
}

void TreeOnDisk::file(std::string_view path, std::string_view content, mode_t mode) const {
  const std::string full = made(path);
  write_text(base::HostPath::parse(full).value(), content);
  CHECK(::chmod(full.c_str(), mode) == 0, "chmod {}", full);
}

void TreeOnDisk::symlink(std::string_view path, std::string_view target) const {
  CHECK(::symlink(std::string(target).c_str(), made(path).c_str()) == 0, "symlink {}", path);
}

void TreeOnDisk::hard_link(std::string_view path, std::string_view existing) const {
  CHECK(::link(made(existing).c_str(), made(path).c_str()) == 0, "link {}", path);
}

void TreeOnDisk::node(std::string_view path, mode_t type_and_mode, dev_t device) const {
  const std::string full = made(path);
  CHECK(::mknod(full.c_str(), type_and_mode, device) == 0 && ::chmod(full.c_str(), type_and_mode & 07777) == 0,
        "mknod {}", path);
}

void TreeOnDisk::xattr(std::string_view path, const std::string& name, std::string_view value) const {
  CHECK(::lsetxattr(made(path).c_str(), name.c_str(), value.data(), value.size(), 0) == 0, "xattr {} of {}", name,
        path);
}

void TreeOnDisk::owner(std::string_view path, uid_t uid, gid_t gid) const {
  CHECK(::lchown(made(path).c_str(), uid, gid) == 0, "chown {}", path);
}

void TreeOnDisk::modified(std::string_view path, timespec time) const {
  const std::array<timespec, 2> times{time, time};
  CHECK(::utimensat(AT_FDCWD, made(path).c_str(), times.data(), AT_SYMLINK_NOFOLLOW) == 0, "utimensat {}", path);
}

void TreeOnDisk::deep(int levels) const {
  base::Fd here = base::open_host_dir(root_).value();
  for (int i = 0; i < levels; ++i) {
    CHECK(::mkdirat(here.get(), "a-level-of-a-deep-tree", 0755) == 0);
    here = base::Fd(::openat(here.get(), "a-level-of-a-deep-tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK(here);
  }
  const base::Fd end(::openat(here.get(), "end", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  CHECK(end && base::write_full(end.get(), "the end"));
}

FewDescriptors::FewDescriptors() {
  CHECK(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
  rlimit few = before_;
  few.rlim_cur = 100;
  CHECK(::setrlimit(RLIMIT_NOFILE, &few) == 0);
}

FewDescriptors::~FewDescriptors() { CHECK(::setrlimit(RLIMIT_NOFILE, &before_) == 0); }

snapshot::MountedTree as_tree(const base::HostPath& dir) {
  auto fd = base::open_host_dir(dir);
  CHECK(fd.has_value(), "open {}", dir.str());
  return snapshot::MountedTree(std::move(*fd));
}

std::map<std::string, std::string> describe_tree(const base::HostPath& dir, Times times) {
  std::map<std::string, std::string> out;
  std::map<ino_t, std::string> first_names;
  walk(dir, "", [&](const std::string& name, const base::HostPath& path, const struct ::stat& facts) {
    std::string text = fmt::format("{:o} {}:{}", facts.st_mode, facts.st_uid, facts.st_gid);
    if (S_ISREG(facts.st_mode)) {
      const auto content = base::read_file(path, 1u << 30);
      CHECK(content.has_value());
      text += fmt::format(" {} bytes {}", facts.st_size, base::digest_of<BlobDigest>(*content).hex().substr(0, 12));
      if (facts.st_nlink > 1) text += " = " + first_names.try_emplace(facts.st_ino, name).first->second;
    }
    if (S_ISLNK(facts.st_mode)) text += " -> " + target_of(path);
    if (S_ISCHR(facts.st_mode) || S_ISBLK(facts.st_mode)) {
      text += fmt::format(" {}:{}", major(facts.st_rdev), minor(facts.st_rdev));
    }
    if (times == Times::show) text += fmt::format(" @{}.{:09}", facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec);
    const auto folder = base::open_host_dir(base::HostPath::parse(path.str().substr(0, path.str().rfind('/'))).value());
    const auto xattrs = base::list_xattrs_at(folder->get(), path.str().substr(path.str().rfind('/') + 1));
    CHECK(xattrs.has_value());
    for (const auto& [key, value] : *xattrs) {
      if (key.starts_with("user.") || key == "security.capability") text += fmt::format(" {}={}", key, value);
    }
    out.emplace(name, std::move(text));
  });
  return out;
}

std::set<std::string> names_below(const base::HostPath& dir) {
  std::set<std::string> names;
  walk(dir, "", [&](const std::string& name, const base::HostPath&, const struct ::stat&) { names.insert(name); });
  return names;
}

TreeDigest stream_digest_of(const base::HostPath& dir) {
  const auto fd = base::open_host_dir(dir);
  CHECK(fd.has_value(), "open {}", dir.str());
  const auto digest = cache::tree_digest(fd->get(), {}, cache::DigestRules::stream, nullptr);
  CHECK(digest.has_value(), "digest of {}: {}", dir.str(), digest ? "" : digest.error().message);
  return *digest;
}

}  // namespace cairn::test

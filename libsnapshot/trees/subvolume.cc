// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/trees/subvolume.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <string_view>

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Fd;
using base::Status;

constexpr auto most = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t search_bytes = 64 * 1024;
constexpr std::int64_t block = 4096;

base::Result<btrfs_ioctl_vol_args_v2> arguments(const std::string& name) {
  btrfs_ioctl_vol_args_v2 args{};
  if (name.size() >= sizeof args.name) {
    return fail(ErrorCode::invalid_argument, "name a subvolume: {} bytes are too many", name.size());
  }
  std::memcpy(args.name, name.data(), name.size());
  return args;
}

// The fields of a structure in the tree, which need not be aligned.
template <class T>
base::Result<T> load(std::string_view bytes) {
  if (bytes.size() < sizeof(T)) return fail(ErrorCode::corrupt, "an item of {} bytes is too short", bytes.size());
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

using VisitItem = std::function<Status(const btrfs_ioctl_search_header& at, std::string_view item)>;

// Visits the items of a tree between two keys (objects and types; the key's type counts only within one object) that
// lie in leaves not older than min_transid. tree 0: the subvolume of `fd`.
Status search(int fd, btrfs_ioctl_search_key key, const VisitItem& visit) {
  // The kernel writes what it found behind the arguments.
  const auto memory = std::make_unique<std::uint64_t[]>((sizeof(btrfs_ioctl_search_args_v2) + search_bytes) / 8 + 1);
  auto* args = reinterpret_cast<btrfs_ioctl_search_args_v2*>(memory.get());
  while (true) {
    key.nr_items = std::numeric_limits<std::uint32_t>::max();
    args->key = key;
    args->buf_size = search_bytes;
    if (::ioctl(fd, BTRFS_IOC_TREE_SEARCH_V2, args) != 0) return base::fail_errno(errno, "search a tree of btrfs");
    if (args->key.nr_items == 0) return {};
    const std::string_view found(reinterpret_cast<const char*>(args->buf), search_bytes);
    std::size_t at = 0;
    btrfs_ioctl_search_header header{};
    for (std::uint32_t i = 0; i < args->key.nr_items; ++i) {
      header = TRY(load<btrfs_ioctl_search_header>(found.substr(at)));
      at += sizeof header;
      if (header.len > found.size() - at) return fail(ErrorCode::corrupt, "an item of btrfs leaves its buffer");
      TRY(visit(header, found.substr(at, header.len)));
      at += header.len;
    }
    // Goes on behind the last one.
    key.min_objectid = header.objectid;
    key.min_type = header.type;
    key.min_offset = header.offset;
    if (++key.min_offset != 0) continue;
    if (++key.min_type <= 0xff) continue;
    key.min_type = 0;
    if (++key.min_objectid == 0) return {};
  }
}

Status collect_children(int fd, std::uint64_t tree, std::vector<std::uint64_t>& ids) {
  btrfs_ioctl_search_key key{};
  key.tree_id = BTRFS_ROOT_TREE_OBJECTID;
  key.min_objectid = key.max_objectid = tree;
  key.min_type = key.max_type = BTRFS_ROOT_REF_KEY;
  key.max_offset = most;
  key.max_transid = most;
  return search(fd, key, [&](const btrfs_ioctl_search_header& at, std::string_view) -> Status {
    if (at.type == BTRFS_ROOT_REF_KEY && at.objectid == tree) ids.push_back(at.offset);
    return {};
  });
}

base::Result<btrfs_ioctl_get_subvol_info_args> about(int directory) {
  btrfs_ioctl_get_subvol_info_args info{};
  // Some kernels answer 1 when all is well.
  if (::ioctl(directory, BTRFS_IOC_GET_SUBVOL_INFO, &info) < 0) return base::fail_errno(errno, "look at a subvolume");
  return info;
}

class Measure {
 public:
  // since: what is younger counts.
  explicit Measure(std::uint64_t since) : since_(since) {}

  Status item(const btrfs_ioctl_search_header& at, std::string_view bytes) {
    if (at.type == BTRFS_INODE_ITEM_KEY) return inode(at.objectid, TRY(load<btrfs_inode_item>(bytes)));
    if (at.type == BTRFS_EXTENT_DATA_KEY) return extent(bytes);
    return {};
  }
  Usage usage() const { return usage_; }

 private:
  Status inode(std::uint64_t number, const btrfs_inode_item& item) {
    if (number == BTRFS_FIRST_FREE_OBJECTID || le64toh(item.generation) > since_) ++usage_.inodes;  // the root always
    if (S_ISREG(le32toh(item.mode)) && le64toh(item.transid) > since_) {
      usage_.logical_bytes += static_cast<std::int64_t>(le64toh(item.size));
    }
    return {};
  }
  Status extent(std::string_view bytes) {
    // One with its bytes inside ends with them, before the fields that say where others are.
    constexpr std::size_t head = offsetof(btrfs_file_extent_item, disk_bytenr);
    btrfs_file_extent_item item{};
    if (bytes.size() < head) return fail(ErrorCode::corrupt, "an extent of {} bytes is too short", bytes.size());
    std::memcpy(&item, bytes.data(), std::min(bytes.size(), sizeof item));
    if (le64toh(item.generation) <= since_) return {};
    if (item.type == BTRFS_FILE_EXTENT_INLINE) {
      // As stat counts it.
      usage_.bytes += (static_cast<std::int64_t>(le64toh(item.ram_bytes)) + block - 1) / block * block;
    } else if (item.disk_bytenr != 0 && counted_.insert(le64toh(item.disk_bytenr)).second) {
      usage_.bytes += static_cast<std::int64_t>(le64toh(item.disk_num_bytes));
    }
    return {};
  }

  std::uint64_t since_;
  Usage usage_;
  std::set<std::uint64_t> counted_;  // one extent can be in several files, or in pieces
};

}  // namespace

base::Result<bool> is_subvolume(int directory) {
  const auto status = TRY(base::stat_fd(directory));
  if (status.st_ino != BTRFS_FIRST_FREE_OBJECTID || !S_ISDIR(status.st_mode)) return false;
  struct ::statfs fs {};
  if (::fstatfs(directory, &fs) != 0) return base::fail_errno(errno, "look at a file system");
  return static_cast<std::uint32_t>(fs.f_type) == BTRFS_SUPER_MAGIC;
}

Status create_subvolume(int directory, const std::string& name) {
  auto args = TRY(arguments(name));
  if (::ioctl(directory, BTRFS_IOC_SUBVOL_CREATE_V2, &args) == 0) return {};
  if (errno == ENOTTY) return fail(ErrorCode::unavailable, "make subvolume \"{}\": this is not btrfs", name);
  return base::fail_errno(errno, "make subvolume \"{}\"", name);
}

Status fork_subvolume(int source, int directory, const std::string& name, Access access) {
  auto args = TRY(arguments(name));
  args.fd = source;
  args.flags = access == Access::read_only ? BTRFS_SUBVOL_RDONLY : 0;
  if (::ioctl(directory, BTRFS_IOC_SNAP_CREATE_V2, &args) == 0) return {};
  if (errno == ENOTTY) return fail(ErrorCode::unavailable, "fork subvolume \"{}\": this is not btrfs", name);
  return base::fail_errno(errno, "fork a subvolume as \"{}\"", name);
}

Status destroy_subvolume(int directory, const std::string& name) {
  {
    const Fd subvolume(::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!subvolume) return base::fail_errno(errno, "open subvolume \"{}\"", name);
    if (!TRY(is_subvolume(subvolume.get()))) {
      return fail(ErrorCode::busy, "destroy subvolume \"{}\": it is something else", name);
    }
    for (const auto id : TRY(nested_subvolumes(subvolume.get()), "destroy subvolume \"{}\"", name)) {
      btrfs_ioctl_vol_args_v2 inside{};
      inside.flags = BTRFS_SUBVOL_SPEC_BY_ID;
      inside.subvolid = id;
      if (::ioctl(directory, BTRFS_IOC_SNAP_DESTROY_V2, &inside) != 0 && errno != ENOENT) {
        return base::fail_errno(errno, "destroy a subvolume in \"{}\"", name);
      }
    }
  }
  auto args = TRY(arguments(name));
  if (::ioctl(directory, BTRFS_IOC_SNAP_DESTROY_V2, &args) != 0) {
    return base::fail_errno(errno, "destroy subvolume \"{}\"", name);
  }
  return {};
}

base::Result<std::vector<std::uint64_t>> nested_subvolumes(int directory) {
  std::vector<std::uint64_t> ids;
  TRY(collect_children(directory, TRY(about(directory)).treeid, ids));
  for (std::size_t i = 0; i < ids.size(); ++i) TRY(collect_children(directory, ids[i], ids));
  std::reverse(ids.begin(), ids.end());
  return ids;
}

base::Result<std::string> send_between(int lower, int upper) {
  __u64 parent = TRY(about(lower)).treeid;
  const Fd stream(::memfd_create("cairn-send", MFD_CLOEXEC));
  if (!stream) return base::fail_errno(errno, "a file in memory");
  btrfs_ioctl_send_args args{};
  args.send_fd = stream.get();
  args.clone_sources_count = 1;
  args.clone_sources = &parent;
  args.parent_root = parent;
  args.flags = BTRFS_SEND_FLAG_NO_FILE_DATA;
  if (::ioctl(upper, BTRFS_IOC_SEND, &args) != 0) return base::fail_errno(errno, "list the changes of a subvolume");
  if (::lseek(stream.get(), 0, SEEK_SET) < 0) return base::fail_errno(errno, "rewind a list of changes");
  return base::read_all(stream.get(), std::size_t{1} << 32);
}

base::Result<std::vector<std::string>> names_of_inode(int subvolume, std::uint64_t inode) {
  constexpr std::size_t bytes = 4096;  // the kernel fills no more
  const auto memory = std::make_unique<std::uint64_t[]>(bytes / sizeof(std::uint64_t));
  btrfs_ioctl_ino_path_args args{};
  args.inum = inode;
  args.size = bytes;
  args.fspath = reinterpret_cast<std::uintptr_t>(memory.get());
  if (::ioctl(subvolume, BTRFS_IOC_INO_PATHS, &args) != 0) return base::fail_errno(errno, "ask for names of an inode");
  const auto* found = reinterpret_cast<const btrfs_data_container*>(memory.get());
  if (found->elem_missed != 0) {
    return fail(ErrorCode::unavailable, "inode {} has more names than the kernel tells", inode);
  }
  std::vector<std::string> names;
  // Each value is how far behind the values its name begins.
  const auto* start = reinterpret_cast<const char*>(found->val);
  for (std::uint32_t i = 0; i < found->elem_cnt; ++i) names.emplace_back(start + found->val[i]);
  return names;
}

base::Result<Usage> measure_subvolume(int subvolume) {
  const auto info = TRY(about(subvolume));
  const bool forked =
      std::any_of(std::begin(info.parent_uuid), std::end(info.parent_uuid), [](auto byte) { return byte != 0; });
  // The fork was made by the commit of this transaction, so what came after it has a higher number. A new subvolume is
  // made within one, and what was written to it may have the same.
  const std::uint64_t since = forked ? info.otransid : info.otransid - 1;
  btrfs_ioctl_search_key key{};
  key.max_objectid = most;
  key.max_type = 0xff;
  key.max_offset = most;
  key.min_transid = since + 1;
  key.max_transid = most;
  Measure measure(since);
  TRY(search(subvolume, key, [&](const auto& at, std::string_view bytes) { return measure.item(at, bytes); }));
  return measure.usage();
}

}  // namespace cairn::snapshot

// SPDX-License-Identifier: Apache-2.0
// The process of a recorded disk: a FUSE file system with one file in it, "disk", whose bytes lie in memory. A loop
// device over that file turns what the block layer asks (write, flush) into requests that are answered here, one at a
// time, and written down before they are answered.
//   cairn_fuse_disk MOUNT_POINT IMAGE_FD LOG_FD READY_FD PARENT_PID
// It is a process of its own because the kernel can end a mount whose server dies only once the server's descriptors
// are closed, which a process that waits for its own disk never does.
#define FUSE_USE_VERSION 35
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/support/disk/disk_log.h"

namespace cairn::test {
namespace {

constexpr fuse_ino_t root_inode = FUSE_ROOT_ID, disk_inode = 2;
constexpr double forever = 1e9;

struct Disk {
  int image;
  DiskLog log;
  off_t size;
};

Disk& disk_of(fuse_req_t request) { return *static_cast<Disk*>(::fuse_req_userdata(request)); }

struct ::stat attributes(const Disk& disk, fuse_ino_t inode) {
  struct ::stat stat {};
  stat.st_ino = inode;
  stat.st_mode = inode == root_inode ? S_IFDIR | 0700 : S_IFREG | 0600;
  stat.st_nlink = 1;
  stat.st_size = inode == disk_inode ? disk.size : 0;
  stat.st_blksize = 4096;
  return stat;
}

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  if (parent != root_inode || std::strcmp(name, "disk") != 0) {
    ::fuse_reply_err(request, ENOENT);
    return;
  }
  struct ::fuse_entry_param entry {};
  entry.ino = disk_inode;
  entry.attr = attributes(disk_of(request), disk_inode);
  entry.attr_timeout = entry.entry_timeout = forever;
  ::fuse_reply_entry(request, &entry);
}

void get_attributes(fuse_req_t request, fuse_ino_t inode, struct ::fuse_file_info*) {
  const struct ::stat stat = attributes(disk_of(request), inode);
  ::fuse_reply_attr(request, &stat, forever);
}

void open(fuse_req_t request, fuse_ino_t, struct ::fuse_file_info* file) {
  file->direct_io = 1;  // each read comes here, so that it can fail
  ::fuse_reply_open(request, file);
}

void read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, struct ::fuse_file_info*) {
  Disk& disk = disk_of(request);
  disk.log.switches().reads.fetch_add(1);
  if (const int failure = disk.log.switches().read_errno; failure != 0) {
    ::fuse_reply_err(request, failure);
    return;
  }
  struct ::fuse_bufvec from = FUSE_BUFVEC_INIT(size);
  from.buf[0].flags = static_cast<::fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | FUSE_BUF_FD_RETRY);
  from.buf[0].fd = disk.image;
  from.buf[0].pos = offset;
  ::fuse_reply_data(request, &from, FUSE_BUF_NO_SPLICE);
}

void write(fuse_req_t request, fuse_ino_t, const char* bytes, std::size_t size, off_t offset, struct ::fuse_file_info*) {
  Disk& disk = disk_of(request);
  disk.log.switches().writes.fetch_add(1);
  if (const int failure = disk.log.switches().write_errno; failure != 0) {
    ::fuse_reply_err(request, failure);
    return;
  }
  const ssize_t written = ::pwrite(disk.image, bytes, size, offset);
  CHECK(written == static_cast<ssize_t>(size), "write to the image of a disk: {}", ::strerror(errno));
  if (disk.log.switches().recording != 0) {
    disk.log.add_write(static_cast<std::uint64_t>(offset), std::as_bytes(std::span(bytes, size)));
  }
  ::fuse_reply_write(request, size);
}

void flush_cache(fuse_req_t request, fuse_ino_t, int, struct ::fuse_file_info*) {
  Disk& disk = disk_of(request);
  disk.log.switches().flushes.fetch_add(1);
  const int failure = disk.log.switches().flush_errno;
  if (failure == 0 && disk.log.switches().recording != 0) disk.log.add_flush();
  ::fuse_reply_err(request, failure);
}

void close_one(fuse_req_t request, fuse_ino_t, struct ::fuse_file_info*) { ::fuse_reply_err(request, 0); }

void file_system_size(fuse_req_t request, fuse_ino_t) {
  struct ::statvfs stat {};
  stat.f_bsize = stat.f_frsize = 4096;
  ::fuse_reply_statfs(request, &stat);
}

// No fallocate: so the kernel discards nothing and writes zeros as bytes, and the log has all there is to know.
::fuse_lowlevel_ops operations() {
  ::fuse_lowlevel_ops operations{};
  operations.lookup = lookup;
  operations.getattr = get_attributes;
  operations.open = open;
  operations.read = read;
  operations.write = write;
  operations.fsync = flush_cache;
  operations.flush = close_one;
  operations.release = close_one;
  operations.statfs = file_system_size;
  return operations;
}

int serve(const char* mount_point, Disk& disk, int ready) {
  char program[] = "cairn_fuse_disk";
  char* words[] = {program, nullptr};
  struct ::fuse_args arguments = FUSE_ARGS_INIT(1, words);
  const ::fuse_lowlevel_ops table = operations();
  ::fuse_session* session = ::fuse_session_new(&arguments, &table, sizeof table, &disk);
  if (session == nullptr) return 2;
  if (::fuse_session_mount(session, mount_point) != 0) return 3;
  // The mount is there; what is asked before the loop runs waits for it.
  if (::write(ready, "+", 1) != 1) return 4;
  ::close(ready);
  ::fuse_session_loop(session);  // until it is unmounted
  ::fuse_session_unmount(session);
  ::fuse_session_destroy(session);
  ::fuse_opt_free_args(&arguments);
  return 0;
}

}  // namespace
}  // namespace cairn::test

int main(int argc, char** argv) {
  using namespace cairn::test;
  if (argc != 6) return 1;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != std::atoi(argv[5])) return 1;  // it died before
  struct ::stat stat {};
  const int image = std::atoi(argv[2]);
  if (::fstat(image, &stat) != 0) return 1;
  Disk disk{image, DiskLog::attach(cairn::base::Fd(std::atoi(argv[3]))), stat.st_size};
  return serve(argv[1], disk, std::atoi(argv[4]));
}

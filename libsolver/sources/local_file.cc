// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/local_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libsolver/sources/local_walk.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Result;
using base::Status;

constexpr std::size_t buffer_size = 256 * 1024;

bool same_time(const ::statx_timestamp& a, const ::statx_timestamp& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool same_state(const cache::StatX& a, const cache::StatX& b) {
  return a.stx_size == b.stx_size && same_time(a.stx_mtime, b.stx_mtime) && same_time(a.stx_ctime, b.stx_ctime);
}

bool all_zero(std::span<const std::byte> bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

Status FileWriter::restart(Holes holes) {
  holes_ = holes;
  if (size_ == 0) return {};
  size_ = 0;
  if (::ftruncate(fd_.get(), 0) != 0 || ::lseek(fd_.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "truncate");
  return {};
}

Status FileWriter::write(std::span<const std::byte> bytes) {
  size_ += static_cast<off_t>(bytes.size());
  if (holes_ == Holes::none || !all_zero(bytes)) return base::write_full(fd_.get(), bytes);
  if (::lseek(fd_.get(), size_, SEEK_SET) < 0) return fail_errno(errno, "seek");
  return {};
}

Status FileWriter::finish() {
  // A hole at the end is there only once the size says so.
  if (holes_ == Holes::keep && ::ftruncate(fd_.get(), size_) != 0) return fail_errno(errno, "set the size");
  return {};
}

FileReader::FileReader(std::stop_token stop, std::function<void(std::size_t)> on_bytes)
    : stop_(std::move(stop)), on_bytes_(std::move(on_bytes)), buffer_(buffer_size) {}

Result<FileState> FileReader::read(int fd, FileWriter* writer) {
  FileState state;
  if (TRY(try_read(fd, writer, state)) == Attempt::good) return state;
  if (::lseek(fd, 0, SEEK_SET) != 0) return fail_errno(errno, "seek");
  if (TRY(try_read(fd, writer, state)) == Attempt::good) return state;
  auto error = fail(ErrorCode::busy, "the file changed twice while it was read");
  error.value().hint = "stop what writes to it, or exclude it";
  return error;
}

Result<FileReader::Attempt> FileReader::try_read(int fd, FileWriter* writer, FileState& state) {
  const cache::StatX before = TRY(look_at(fd, "", AT_EMPTY_PATH));
  if (!S_ISREG(before.stx_mode)) return fail(ErrorCode::busy, "it is no longer a regular file");
  state.xattrs = sent_xattrs(TRY(base::list_xattrs(fd), "read its xattrs"));
  if (writer) {
    const bool has_holes = before.stx_blocks * 512 < before.stx_size;
    TRY(writer->restart(has_holes ? FileWriter::Holes::keep : FileWriter::Holes::none));
  }
  // The size is hashed before the content, so a file that turns out longer or shorter has to be read again anyway.
  const std::uint64_t size = before.stx_size;
  cache::EntryHasher hasher(sent_entry(before.stx_mode, size, {}, 0, state.xattrs));
  std::uint64_t done = 0;
  for (bool at_end = false; !at_end;) {
    if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "reading was cancelled");
    const std::size_t count = TRY(base::read_full(fd, buffer_), "read");
    at_end = count < buffer_.size();
    done += count;
    if (done > size) return Attempt::changed;
    const auto bytes = std::span<const std::byte>(buffer_).first(count);
    hasher.update(bytes);
    if (writer) TRY(writer->write(bytes), "write");
    if (on_bytes_) on_bytes_(count);
  }
  if (writer) TRY(writer->finish());
  state.facts = TRY(look_at(fd, "", AT_EMPTY_PATH));
  if (done != size || !same_state(before, state.facts)) return Attempt::changed;
  state.digest = hasher.finish();
  return Attempt::good;
}

}  // namespace cairn::solver

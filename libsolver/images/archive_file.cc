// SPDX-License-Identifier: Apache-2.0
#include "libsolver/images/archive_file.h"

#include <sys/stat.h>

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::HostPath;
using base::Result;
using base::Status;

namespace {

constexpr std::uint64_t progress_step = 1 << 20;

}  // namespace

Result<ArchiveFile> ArchiveFile::open(const ImageExport& order) {
  const std::string& dest = order.output.dest;
  if (dest.empty() || dest == "-") {
    if (order.fd < 0) return fail(ErrorCode::invalid_argument, "dest is missing: the file to write");
    return ArchiveFile(order.fd, order.progress);
  }
  const HostPath path = TRY(HostPath::parse(dest), "dest={}", dest);
  struct ::stat status {};
  if (::stat(dest.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    auto error = fail(ErrorCode::invalid_argument, "dest={}: that is a directory, and an archive is a file", dest);
    error.value().hint = "tar=false writes a layout into a directory";
    return error;
  }
  const HostPath folder = TRY(HostPath::parse(dest.substr(0, dest.rfind('/') + 1)));
  NewFile made = TRY(NewFile::create(folder));
  ArchiveFile file(made.get(), order.progress);
  file.file_.emplace(std::move(made));
  file.dest_ = path;
  file.folder_ = folder;
  return file;
}

Status ArchiveFile::write(std::string_view bytes) {
  TRY(file_ ? file_->write(std::as_bytes(std::span(bytes))) : base::write_full(fd_, bytes), "write {}",
      dest_ ? dest_->str() : "the archive");
  bytes_ += bytes.size();
  if (progress_ && bytes_ - reported_ >= progress_step) progress_(reported_ = bytes_, 0);
  return {};
}

Status ArchiveFile::finish() && {
  if (progress_) progress_(bytes_, 0);
  if (!file_) return {};
  TRY(std::move(*file_).rename_to(*dest_));
  const base::Fd folder = TRY(base::open_host_dir(*folder_));
  return base::sync_file(folder.get());
}

}  // namespace cairn::solver

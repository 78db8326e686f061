// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/archive.h"

#include "libsnapshot/tar/encoder.h"

namespace cairn::snapshot {

using base::Status;

namespace {

Status write_header(const TarEntry& entry, const ArchiveWriter::Sink& sink) {
  std::string header;
  TRY(append_header(entry, header), "archive \"{}\"", entry.name);
  return sink(header);
}

}  // namespace

Status ArchiveWriter::add_directory(const std::string& name) {
  TarEntry entry;
  entry.type = EntryType::directory;
  entry.name = name + "/";
  entry.mode = 0755;
  return write_header(entry, sink_);
}

Status ArchiveWriter::begin_file(const std::string& name, std::uint64_t size) {
  TarEntry entry;
  entry.name = name;
  entry.mode = 0644;
  entry.size = size_ = size;
  written_ = 0;
  return write_header(entry, sink_);
}

Status ArchiveWriter::write(std::string_view bytes) {
  written_ += bytes.size();
  return sink_(bytes);
}

Status ArchiveWriter::end_file() {
  if (written_ != size_)
    return base::fail(base::ErrorCode::corrupt, "archive: {} bytes where {} were announced", written_, size_);
  return sink_(std::string(padding_after(size_), '\0'));
}

Status ArchiveWriter::add_file(const std::string& name, std::string_view bytes) {
  TRY(begin_file(name, bytes.size()));
  TRY(write(bytes));
  return end_file();
}

Status ArchiveWriter::finish() { return sink_(std::string(trailer_bytes, '\0')); }

}  // namespace cairn::snapshot

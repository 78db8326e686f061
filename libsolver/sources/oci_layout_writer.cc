// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/oci_layout_writer.h"

#include <sys/file.h>

#include <cerrno>
#include <thread>

#include <nlohmann/json.hpp>

#include "libbase/byte_pipe.h"
#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libbase/hash/sha256.h"
#include "libsolver/sources/new_file.h"
#include "libsolver/sources/oci_json.h"
#include "libsolver/sources/text_source.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::HostPath;
using base::Result;
using base::Status;
using Json = nlohmann::ordered_json;

namespace {

constexpr std::size_t copy_bytes = 1 << 20, copies_waiting_max = 4;

// In full, if that is said; else the tag alone.
std::string name_of(const Json& entry) {
  const auto annotations = entry.find("annotations");
  if (annotations == entry.end()) return {};
  return annotations->value(image_name_annotation, annotations->value(layout_name_annotation, ""));
}

Status read_all(base::BytePipe& pipe, base::ByteSource& from) {
  for (bool more = true; more;) {
    base::PipeChunk chunk = TRY(pipe.read(from));
    more = chunk.size == chunk.capacity;
    TRY(pipe.put(std::move(chunk)));
  }
  return {};
}

// Reads on a thread of its own.
template <class Copy>
Status copy_rest(base::BytePipe& pipe, base::ByteSource& from, const Copy& copy) {
  const std::jthread reading([&] { pipe.end(read_all(pipe, from)); });
  while (auto chunk = TRY(pipe.take())) {
    if (const Status copied = copy(*chunk); !copied) {
      pipe.close(copied.error());
      return copied;
    }
    pipe.give_back(std::move(*chunk));
  }
  return {};
}

}  // namespace

Status copy_blob(const BlobDigest& digest, base::ByteSource& from,
                 const std::function<Status(std::span<const std::byte>)>& sink, const std::stop_token& stop) {
  base::Sha256 hash;
  const auto copy = [&](const base::PipeChunk& chunk) -> Status {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "write blob {}", digest);
    hash.update(chunk.filled());
    TRY(sink(chunk.filled()), "write blob {}", digest);
    return {};
  };
  base::BytePipe pipe(copy_bytes, copies_waiting_max);
  const base::PipeChunk first = TRY(pipe.read(from));
  TRY(copy(first));
  // What comes of the store is hashed by its reader, too: that runs beside.
  if (first.size == first.capacity) TRY(copy_rest(pipe, from, copy));
  if (const BlobDigest actual(hash.finish()); actual != digest)
    return fail(ErrorCode::corrupt, "blob {} holds other bytes: {}", digest, actual);
  return {};
}

bool OciLayoutWriter::has_blob(const BlobDigest& digest, std::uint64_t size) const {
  struct ::stat status {};
  if (::stat(blob_path(digest).c_str(), &status) != 0) return false;
  return S_ISREG(status.st_mode) && static_cast<std::uint64_t>(status.st_size) == size;
}

Result<bool> OciLayoutWriter::put_blob(const BlobDigest& digest, std::uint64_t size, const OpenBlob& open,
                                       std::stop_token stop) {
  if (has_blob(digest, size)) return false;
  TRY(make_layout());
  NewFile file = TRY(NewFile::create(dir_ / "blobs/sha256"));
  const auto source = TRY(open(0));
  const auto sink = [&](std::span<const std::byte> piece) { return file.write(piece); };
  TRY(copy_blob(digest, *source, sink, stop), "{}", dir_.str());
  TRY(std::move(file).rename_to(blob_path(digest)));
  return true;
}

Result<bool> OciLayoutWriter::put_text(const BlobDigest& digest, const std::string& text, std::stop_token stop) {
  return put_blob(digest, text.size(), open_text(text), std::move(stop));
}

Result<base::Fd> OciLayoutWriter::lock() const {
  TRY(make_layout());
  base::Fd lock = TRY(base::open_host_dir(dir_));
  while (::flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return base::fail_errno(errno, "lock {}", dir_.str());
  }
  return lock;
}

Status OciLayoutWriter::make_layout() const {
  TRY(base::make_host_dirs(dir_ / "blobs/sha256"), "make OCI layout {}", dir_.str());
  if (TRY(base::host_exists(dir_ / "oci-layout"))) return {};
  return base::write_file_atomic(dir_ / "oci-layout", oci_layout_version, base::Durable::yes);
}

Status OciLayoutWriter::name(const std::vector<Entry>& entries) const {
  const HostPath path = dir_ / "index.json";
  Json index = {{"schemaVersion", 2}, {"mediaType", oci_index_type}, {"manifests", Json::array()}};
  Json listed = Json::array();
  const auto is_replaced = [&](const Json& old) {
    const std::string name = name_of(old);
    return std::any_of(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.name == name; });
  };
  if (auto text = base::read_file(path, OciDocumentLimits::bytes_max)) {
    TRY(parse_oci_index(*text), "{}", path.str());  // what cannot be read is not written over
    index = Json::parse(*text);
    for (const Json& old : index.value("manifests", Json::array())) {
      if (!is_replaced(old)) listed.push_back(old);
    }
  } else if (text.error().code != ErrorCode::not_found) {
    return tl::unexpected(std::move(text).error());
  }
  for (const Entry& entry : entries) listed.push_back(Json::parse(entry.descriptor));
  index["manifests"] = std::move(listed);
  return base::write_file_atomic(path, index.dump(), base::Durable::yes);
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/blob_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/blobs/verified_source.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Fd;
using base::HostPath;
using base::Result;
using base::Status;

namespace {

HostPath shard_path(const HostPath& root, const BlobDigest& digest) {
  return root / ("blobs/sha256/" + digest.hex().substr(0, 2));
}

Status sync_directory(const HostPath& path) {
  const Fd dir = TRY(base::open_host_dir(path));
  return base::sync_file(dir.get());
}

// Creates the directory of the blob's file. Its own name must last as long as the files in it.
Status make_shard(const HostPath& root, const BlobDigest& digest) {
  const HostPath shard = shard_path(root, digest);
  if (::mkdir(shard.c_str(), 0755) != 0) {
    if (errno == EEXIST) return {};
    return base::fail_errno(errno, "create {}", shard.str());
  }
  return sync_directory(root / "blobs/sha256");
}

std::string name_of_descriptor(const Fd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

Status link_unnamed(const Fd& data, const HostPath& to) {
  if (::linkat(AT_FDCWD, name_of_descriptor(data).c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW) == 0) return {};
  return base::fail_errno(errno, "link {}", to.str());
}

Result<bool> holds_blob(const HostPath& path, const BlobDigest& digest) {
  const Fd file = TRY(base::open_host(path, O_RDONLY | O_NOFOLLOW));
  const BlobDigest found = TRY(digest_file(file.get()));
  if (found != digest) return false;
  TRY(base::sync_data(file.get()));  // whoever linked it may have died before it was durable
  return true;
}

}  // namespace

HostPath blob_path(const HostPath& root, const BlobDigest& digest) { return shard_path(root, digest) / digest.hex(); }

// The exclusive right to link or delete the file of one blob.
class BlobFiles::Turn {
 public:
  Turn(BlobFiles& blobs, const BlobDigest& digest) : blobs_(blobs), digest_(digest) {
    auto state = blobs_.state_.lock();
    blobs_.turn_ends_.wait(state.lock(), [&] { return !state->busy.contains(digest_); });
    state->busy.insert(digest_);
  }
  ~Turn() {
    blobs_.state_.lock()->busy.erase(digest_);
    blobs_.turn_ends_.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  BlobFiles& blobs_;
  BlobDigest digest_;
};

// The claim of a put on its blob, dropped again unless the put succeeds.
class BlobFiles::Claim {
 public:
  Claim(BlobFiles& blobs, const BlobDigest& digest) : blobs_(blobs), digest_(digest) {
    ++blobs_.state_.lock()->claims[digest_];
  }
  ~Claim() {
    if (!kept_) blobs_.state_.lock()->drop_claim(digest_);
  }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  void keep() { kept_ = true; }

 private:
  BlobFiles& blobs_;
  BlobDigest digest_;
  bool kept_ = false;
};

void BlobFiles::State::drop_claim(const BlobDigest& digest) {
  const auto found = claims.find(digest);
  if (found != claims.end() && --found->second == 0) claims.erase(found);
}

Result<std::optional<BlobFiles::Found>> BlobFiles::find_any(const BlobDigest& digest) {
  {
    auto state = state_.lock();
    const auto queued = state->queued.find(digest);
    if (queued != state->queued.end()) return std::optional<Found>(queued->second);
    if (state->dying.contains(digest)) return std::optional<Found>();
  }
  const auto row = TRY(store_.env.view([&](base::lmdb::ReadTxn& txn) { return txn.get(table::blobs, digest); }));
  if (!row) return std::optional<Found>();
  return std::optional<Found>(Found{{digest, row->size, row->allocated_bytes}, 0});
}

Result<std::optional<BlobInfo>> BlobFiles::find(const BlobDigest& digest) {
  const auto found = TRY(find_any(digest));
  if (!found) return std::optional<BlobInfo>();
  return std::optional<BlobInfo>(found->info);
}

Result<Fd> BlobFiles::open_unnamed() {
  return base::open_host(store_.root / "tmp", O_TMPFILE | O_RDWR, 0644);
}

Result<BlobStore::Put> BlobFiles::put(std::string_view bytes, std::optional<BlobDigest> expected) {
  const auto digest = base::digest_of<BlobDigest>(bytes);
  if (expected && *expected != digest)
    return base::fail(ErrorCode::corrupt, "put blob {}: its bytes are those of {}", *expected, digest);
  Claim claim(*this, digest);
  if (const auto found = TRY(find_any(digest))) {
    claim.keep();
    return Put{found->info, found->sequence};
  }
  Fd data = TRY(open_unnamed(), "put blob {}", digest);
  TRY(base::write_full(data.get(), bytes), "put blob {}", digest);
  const Put put = TRY(place(std::move(data), digest, bytes.size()), "put blob {}", digest);
  claim.keep();
  return put;
}

Result<BlobStore::Put> BlobFiles::put(base::ByteSource& source, std::optional<BlobDigest> expected) {
  if (expected) {
    Claim claim(*this, *expected);
    if (const auto found = TRY(find_any(*expected))) {
      claim.keep();
      return Put{found->info, found->sequence};
    }
  }
  Fd data = TRY(open_unnamed(), "put blob");
  base::Sha256 hash;
  std::vector<std::byte> buffer(256 * 1024);
  std::uint64_t size = 0;
  for (;;) {
    const std::size_t count = TRY(source.read(buffer), "put blob");
    if (count == 0) break;
    const auto piece = std::span<const std::byte>(buffer).first(count);
    hash.update(piece);
    TRY(base::write_full(data.get(), piece), "put blob");
    size += count;
  }
  const BlobDigest digest(hash.finish());
  if (expected && *expected != digest)
    return base::fail(ErrorCode::corrupt, "put blob {}: its bytes are those of {}", *expected, digest);
  Claim claim(*this, digest);
  const Put put = TRY(place(std::move(data), digest, size), "put blob {}", digest);
  claim.keep();
  return put;
}

Result<BlobStore::Put> BlobFiles::place(Fd data, const BlobDigest& digest, std::uint64_t size) {
  const Turn turn(*this, digest);
  if (const auto found = TRY(find_any(digest))) return Put{found->info, found->sequence};
  TRY(base::sync_data(data.get()));  // I1: durable before it has a name, named before it has a row
  TRY(link(data, digest, size));
  TRY(sync_directory(shard_path(store_.root, digest)));
  CRASH_POINT("cache.blob.linked");
  const auto stat = TRY(base::stat_fd(data.get()));
  return enqueue_row({digest, size, stat.st_blocks * 512});
}

Status BlobFiles::link(const Fd& data, const BlobDigest& digest, std::uint64_t size) {
  TRY(make_shard(store_.root, digest));
  const HostPath path = blob_path(store_.root, digest);
  if (link_unnamed(data, path)) return {};
  struct ::stat stat {};
  if (::lstat(path.c_str(), &stat) != 0) return link_unnamed(data, path);  // not because of a file there: say why
  // Left by a crash between the link and the row, or by a collector that has not come to it yet.
  if (S_ISREG(stat.st_mode) && static_cast<std::uint64_t>(stat.st_size) == size) {
    const bool good = TRY(holds_blob(path, digest));
    if (good) return {};
  }
  const HostPath replacement = store_.root / ("tmp/blob-" + digest.hex());
  ::unlink(replacement.c_str());
  TRY(link_unnamed(data, replacement));
  if (::rename(replacement.c_str(), path.c_str()) != 0) return base::fail_errno(errno, "replace {}", path.str());
  return {};
}

Result<BlobStore::Put> BlobFiles::enqueue_row(const BlobInfo& info) {
  state_.lock()->queued[info.digest] = {info, 0};
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [info](base::lmdb::WriteTxn& txn) {
    return txn.put(table::blobs, info.digest, BlobRow{info.size, info.allocated_bytes});
  };
  entry.done = [this, digest = info.digest](const Status& outcome) {
    state_.lock()->queued.erase(digest);
    if (!outcome) base::log_warning("blob {} is not kept: {}", digest, outcome.error().message);
  };
  const auto number = TRY(enqueue(store_, std::move(entry)));
  auto state = state_.lock();
  const auto queued = state->queued.find(info.digest);
  if (queued != state->queued.end()) queued->second.sequence = number;
  return Put{info, number};
}

Result<std::unique_ptr<base::ByteSource>> BlobFiles::open(const BlobDigest& digest) {
  // Twice, for a collector may take the file between the look at the row and the open.
  for (int attempt = 0; attempt < 2; ++attempt) {
    const auto found = TRY(find_any(digest));
    if (!found) return base::fail(ErrorCode::not_found, "open blob {}: no such blob", digest);
    auto file = base::open_host(blob_path(store_.root, digest), O_RDONLY | O_NOFOLLOW);
    if (file) return std::unique_ptr<base::ByteSource>(std::make_unique<VerifiedSource>(std::move(*file), digest));
    if (file.error().code != ErrorCode::not_found) return tl::unexpected(file.error());
  }
  return base::fail(ErrorCode::corrupt, "open blob {}: its file is missing", digest);
}

Result<std::string> BlobFiles::read(const BlobDigest& digest, std::size_t size_max) {
  const auto found = TRY(find_any(digest));
  if (found && found->info.size > size_max)
    return base::fail(ErrorCode::invalid_argument, "read blob {}: {} bytes, more than {}", digest, found->info.size,
                      size_max);
  const auto source = TRY(open(digest));
  // One byte more than there should be, so that the source comes to its end and compares.
  std::string bytes((found ? found->info.size : size_max) + 1, '\0');
  const std::size_t count = TRY(source->read(std::as_writable_bytes(std::span<char>(bytes))));
  if (count == bytes.size())
    return base::fail(ErrorCode::corrupt, "read blob {}: its file has grown", digest);
  bytes.resize(count);
  return bytes;
}

void BlobFiles::named(const BlobDigest& digest, bool durable) {
  if (durable) state_.lock()->drop_claim(digest);
}

bool BlobFiles::is_claimed(const BlobDigest& digest) {
  auto state = state_.lock();
  return state->claims.contains(digest) || state->queued.contains(digest);
}

bool BlobFiles::try_mark_dying(const BlobDigest& digest) {
  auto state = state_.lock();
  if (state->claims.contains(digest) || state->queued.contains(digest)) return false;
  state->dying.insert(digest);
  return true;
}

void BlobFiles::unmark_dying(const BlobDigest& digest) { state_.lock()->dying.erase(digest); }

Status BlobFiles::remove_file(const BlobDigest& digest) {
  const HostPath doomed = store_.root / ("tmp/dead-" + digest.hex());
  {
    const Turn turn(*this, digest);
    unmark_dying(digest);
    const auto found = TRY(find_any(digest));
    if (found) return {};
    // Moved first, so that a put of the same blob waits for a rename and not for the deletion of a large file.
    if (::rename(blob_path(store_.root, digest).c_str(), doomed.c_str()) != 0 && errno != ENOENT)
      return base::fail_errno(errno, "delete blob {}", digest);
  }
  if (::unlink(doomed.c_str()) != 0 && errno != ENOENT) return base::fail_errno(errno, "delete blob {}", digest);
  return {};
}

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
// OCI layers: a tree's change as a tar (maybe compressed) that has the bytes BuildKit would have given it, and a layer
// applied to a mounted tree with all its metadata: owners, modes, times, xattrs, hard links, devices, fifos, whiteouts and
// opaque directories. What is written and read, and where it is said: docs/formats/layer.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbase/compress/decoder.h"
#include "libbase/result.h"
#include "libsnapshot/diff.h"
#include "libsnapshot/digests.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

// What diff() or changes_between() have to be asked for, so that they tell what a layer needs.
ChangeOptions changes_for_layer(std::stop_token stop = {});

struct WriteOptions {
  base::Compression compression = base::Compression::gzip;
  int level = 0;                          // as for base::make_encoder
  unsigned threads = 0;                   // that compress; 0: as many as there are processors
  std::optional<std::int64_t> time_max{};  // SOURCE_DATE_EPOCH: later times become this one
  std::string prefix{};                   // "a/": what all names begin with; a directory of that name comes first
  enum class End { written, left_out } end = End::written;  // left_out: more members follow
  bool hashes_blob = true;                // false: the sink does, and Written::blob is left empty
  std::function<void(std::uint64_t bytes_written)> progress;  // of the tar; on the caller's thread; may be empty
  std::stop_token stop;
};
struct Written {
  BlobDigest blob;          // of what the sink got
  std::uint64_t blob_bytes = 0;
  DiffId diff;              // of the tar
  std::uint64_t diff_bytes = 0;
  std::uint64_t members = 0;
};
// Takes the layer's bytes in order. Called on another thread than the caller's, one call at a time, and no more once
// write_layer has returned.
using LayerSink = std::function<base::Status(std::string_view)>;

// Writes the changes that made `tree` (mounted, not changed meanwhile) as a layer: those that `changes` tells when it is
// asked with changes_for_layer(). The tar is byte for byte the one that
// BuildKit makes of the same changes; the compressed bytes do not depend on the number of threads, but on the versions of
// the compression libraries. Streams: memory is a few MiB and what the encoder takes, and O(directories and inodes with
// several names in the layer). Sockets are left out, and of the xattrs all but security.capability. A file called
// ".wh.x" is written as it is, as BuildKit does, though whoever applies the layer takes it for the removal of x.
// Errors: cancelled, invalid_argument (a name that no tar holds), io, and those of the source and of the sink.
base::Result<Written> write_layer(const MountedTree& tree, const ChangeSource& changes, const LayerSink& sink,
                                  const WriteOptions& options);

// Writes the members of a tar once more, in their order and as write_layer would, so that their times are those of the
// options and nothing else of them changes. Holes are written out; of PAX records, what no TarEntry has is left out.
// Errors: those of write_layer; corrupt, invalid_argument (the tar).
base::Result<Written> rewrite_layer(base::ByteSource& tar, const LayerSink& sink, const WriteOptions& options);

// What becomes of device nodes. make: they are made; in a user namespace, where nobody can make one, they are skipped.
enum class Devices { make, skip, refuse };

// Is told what apply_layer puts into a tree, while it does so and in its order, on its caller's thread, so that nobody has to
// read it again. Paths are those of the tree: links on the way have been followed. Directories on the way to a path that is
// named here may be new; nothing is said of them. What an observer thinks of it changes nothing.
class LayerObserver {
 public:
  // What the layer says of a regular file.
  struct File {
    mode_t mode = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    std::uint64_t size = 0;
    const std::vector<std::pair<std::string, std::string>>& xattrs;
  };

  virtual ~LayerObserver() = default;
  // A file begins; its bytes follow, and what no offset covers is a hole. It may end without having been made.
  virtual void begin_file(const File& says) = 0;
  virtual void bytes(std::uint64_t offset, std::span<const char> bytes) = 0;
  // The file that was begun last is there with all its metadata. `file` is open for writing.
  virtual void made_file(const base::TreePath& path, int file) = 0;
  // A symlink, device or fifo is there with all its metadata, as `name` in the open `directory`.
  virtual void made_other(const base::TreePath& path, int directory, const std::string& name) = 0;
  // Another name of what is at `existing`, maybe with other metadata than that had.
  virtual void made_link(const base::TreePath& path, const base::TreePath& existing, int directory,
                         const std::string& name) = 0;
  // A directory is there: a new one, or the old one with what is in it. It gets its time when all is applied.
  virtual void made_directory(const base::TreePath& path) = 0;
  // What was there is gone, with all that was in it.
  virtual void removed(const base::TreePath& path) = 0;
};

struct ApplyOptions {
  std::uint64_t unpacked_max = 1ull << 40;  // bytes of tar; more is invalid_argument
  // How many times its own size a layer may unpack to, once it is beyond ratio_free bytes; more is invalid_argument. No
  // gzip reaches the default.
  std::uint64_t ratio_max = 2000;
  std::uint64_t ratio_free = 1ull << 30;
  std::uint64_t entries_max = 50'000'000;
  Devices devices = Devices::make;
  // Compressed bytes consumed so far; called on another thread, one call at a time. May be empty.
  std::function<void(std::uint64_t bytes_read)> progress;
  LayerObserver* observer = nullptr;  // may be null; outlives the call
  std::stop_token stop;
};
struct Applied {
  BlobDigest blob;          // of the compressed bytes read, to their end
  std::uint64_t blob_bytes = 0;
  DiffId diff;              // of the uncompressed tar, to its end
  std::uint64_t entries = 0;
  std::uint64_t devices_skipped = 0;
  std::uint64_t xattrs_skipped = 0;  // that the file system of the tree cannot hold
};

// Applies `layer` onto tree (mounted read_write). The compression is detected. Afterwards the tree holds what the layer
// says; on an error it holds part of it and the caller abandons it. The caller compares the digests. A layer is hostile
// input: absolute names and names that step up are refused, everything is opened beneath the tree, no link leads out
// of it, and nobody who exchanges files of the tree meanwhile changes that. Reading, decompressing and hashing run on
// another thread, which calls `layer`. Memory: a few MiB, and a row for each path of the layer.
// Errors: corrupt (damaged tar or compression), invalid_argument (hostile or impossible entry, named; or over a limit),
// no_space, cancelled, io (also: more links than the file system knows), and those of the source.
base::Result<Applied> apply_layer(const MountedTree& tree, std::unique_ptr<base::ByteSource> layer,
                                  const ApplyOptions& options);

}  // namespace cairn::snapshot

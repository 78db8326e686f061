// SPDX-License-Identifier: Apache-2.0
// What the requests of one go command do: bytes in, answers out. Actions are entries of the door "go", outputs their
// values.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "libbase/clock.h"
#include "libbase/fs/fd.h"
#include "libbase/path.h"
#include "libcache/blob_writer.h"
#include "libcache/entry_store.h"
#include "tools/gocacheprog/parser.h"

namespace cairn::cachectl {

struct GoCounts {
  std::uint64_t hits = 0, misses = 0, puts = 0, errors = 0;
  std::uint64_t read_bytes = 0, written_bytes = 0;  // of outputs that were found; that were put
};

// Not thread-safe. The cache and the folder outlive it; files in the folder are those that Go is told of, and stay.
class GoSession {
 public:
  GoSession(cache::Cache& cache, base::HostPath folder, const base::Clock& clock);

  static std::string greeting();  // what Go reads first
  // Answers to what ends with these bytes, in the order of the requests, are appended. False: Go has said that it
  // closes. Errors: invalid_argument (it is no request, and nobody can be answered).
  base::Result<bool> take(std::string_view bytes, std::string& answers);
  bool is_between() const { return parser_.is_between(); }
  // What was put is durable afterwards.
  base::Status settle();
  const GoCounts& counts() const { return counts_; }

 private:
  // A file of the folder that goes away again unless it is kept.
  struct File {
    base::HostPath path;
    base::Fd fd;
    explicit File(base::HostPath path_in, base::Fd fd_in) : path(std::move(path_in)), fd(std::move(fd_in)) {}
    File(const File&) = delete;
    ~File();
  };
  void begin_put();
  void write_put(std::string_view piece);
  std::string answer();
  base::Result<std::string> get();
  base::Result<std::string> put();
  base::Result<std::string> close();
  base::Status make_file();
  std::string keep_file(const BlobDigest& value);
  base::Result<std::string> file_of(const cache::Entry& entry);

  cache::Cache& cache_;
  cache::EntryStore entries_;
  const base::HostPath folder_;
  const base::Clock& clock_;
  gocacheprog::Parser parser_;
  GoCounts counts_;
  std::map<BlobDigest, std::string> files_;  // that Go was told of
  std::uint64_t next_file_ = 0;
  std::optional<File> file_;
  std::optional<cache::BlobWriter> writer_;
  base::Status received_;  // why there is no writer any more
  base::lmdb::SequenceNumber durable_ = 0;
  bool closed_ = false;
};

}  // namespace cairn::cachectl

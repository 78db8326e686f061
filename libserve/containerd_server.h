// SPDX-License-Identifier: Apache-2.0
// A store as containerd's snapshotter: its snapshots v1 service on a unix socket, for a proxy plugin
// (docs/guides/containerd.md). containerd's namespaces are spaces of names (libcache/tree_names.h). Protocol in, libcache
// out: nothing is kept here.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "libbase/path.h"
#include "libbase/result.h"
#include "libcache/cache.h"

namespace cairn::serve {

struct ContainerdOptions {
  base::HostPath socket;  // only its owner may connect: who mounts trees as root owns them
  unsigned workers = 8;   // for what waits for the disk
  std::int64_t live_bytes_max = 0;  // of the store; 0: none
};

class ContainerdServer {
 public:
  // Listens and serves. The cache outlives it; one at a time for each cache. A socket that nobody listens at is replaced.
  // Errors: invalid_argument (the path), busy (somebody listens there), io, corrupt.
  static base::Result<std::unique_ptr<ContainerdServer>> start(cache::Cache& cache, ContainerdOptions options);
  ~ContainerdServer();  // ends what is going on, and takes the socket away
  const base::HostPath& socket() const;
  // No call is taken any more; returns when what was begun is answered, or after this long.
  void drain(std::chrono::milliseconds at_most);

 private:
  ContainerdServer();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::serve

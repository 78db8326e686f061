// SPDX-License-Identifier: Apache-2.0
// The seam for running one process of a build over prepared trees. An executor mounts only inside a mount namespace of
// its own, so nothing is left behind in the engine's, and everything a step started is dead when run() returns.
//
// The conformance suite of this seam is tests/conformance/executor_suite.h.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::solver {

// One mount of a step. Either a tree (a detached mount, kept open by the caller until run() returns) or a tmpfs.
struct ExecMount {
  std::string dest;                             // absolute in the step's root; "/" is the root itself
  const snapshot::MountedTree* tree = nullptr;  // null: tmpfs
  std::string selector;  // path inside the tree that is mounted, resolved inside it; "" or "/": all
  bool read_only = false;
  std::int64_t tmpfs_size = 0;  // bytes; 0: the kernel's default
};

enum class NetworkMode { sandbox, host, none };
// insecure: with all that the engine may do itself: every capability, every device, nothing of /proc and /sys hidden.
enum class SecurityMode { sandbox, insecure };

// What one step may have at a time.
struct StepLimits {
  std::uint64_t processes = 0;     // and threads; 0: no limit
  std::uint64_t memory_bytes = 0;  // 0: no limit
};

struct ExecUlimit {
  std::string name;  // "nofile", "core", ...
  std::int64_t soft = 0, hard = 0;  // -1: none
};

struct ExecRequest {
  std::string id;  // unique among running steps: [a-z0-9-], at most 60 bytes
  std::vector<std::string> args;
  std::vector<std::string> env;   // "K=V"; PATH gets a default if absent
  std::string cwd = "/";          // made (0755) if missing
  std::string user;               // "", "name", "uid", "uid:gid", "name:group": resolved in the step's root
  std::string hostname;           // "": "buildkitsandbox"
  std::vector<ExecMount> mounts;  // the one with dest "/" must be there
  bool read_only_root = false;
  bool remove_mount_stubs_recursive = false;
  std::vector<std::pair<std::string, std::string>> extra_hosts;  // name, address
  NetworkMode network = NetworkMode::sandbox;
  SecurityMode security = SecurityMode::sandbox;
  std::string cgroup_parent;  // below the engine's own cgroup; "": one of the store's
  std::vector<std::int32_t> valid_exit_codes;  // empty: {0}
  std::vector<ExecUlimit> ulimits;
};

enum class Stream { out = 1, err = 2 };

// How the process ended.
struct ExecExit {
  int code = 0;       // 128+n after signal n
  bool valid = true;  // code is one of valid_exit_codes
  // What a limit did to it, for people: "the limit of 100 processes was reached"; "" if none did, or with runc on cgroup v2.
  std::string note;
};

class Executor {
 public:
  virtual ~Executor() = default;
  virtual std::string_view name() const = 0;  // "crun", "runc", "bubblewrap"

  // Runs the process to its end and returns how it ended. Afterwards no process of the step is alive and none of its
  // mounts exists; mount points that were made only for it in the root are gone again, unless the step changed them.
  // Output is handed over as it comes, on one thread. A stop request kills everything at once: cancelled.
  // Thread-safe; steps run at once. Before Linux 6.15 a MountedTree serves one run, a second one is unavailable: mount
  // the snapshot again for each.
  // Errors: invalid_argument (no such user or ulimit, selector not found, program not found or not executable, a mount point
  // missing in a read-only mount), busy (the id is running), cancelled, no_space, unavailable, io.
  virtual base::Result<ExecExit> run(const ExecRequest& request,
                                     const std::function<void(Stream, std::string_view)>& output,
                                     std::stop_token stop) = 0;
  virtual std::uint64_t processes_run() const = 0;
  virtual bool shares_trees() const { return true; }  // several runs may have one MountedTree at a time
};

struct ExecutorOptions {
  // "crun", "runc", "bubblewrap" or the path of an OCI runtime; "oci": crun if it really runs here, else runc; "auto": the
  // same, else bubblewrap. "": what CAIRN_RUNTIME says, else "auto".
  std::string runtime;
  base::HostPath state_dir;  // for bundles and the runtime's state; whatever is in it belongs to the executor
  // Of every step. Nothing: CAIRN_STEP_PROCESSES and CAIRN_STEP_MEMORY, and without them half of what the kernel has of
  // processes, at most 16,384, and no limit of memory. Where no cgroup holds them there are no limits, which is said once.
  std::optional<StepLimits> limits = {};
};
// Probes by really running a container from a tree of its own. Says once what it took and, falling back, why.
// Errors: unavailable (none works; the message says what to install).
base::Result<std::unique_ptr<Executor>> open_executor(ExecutorOptions options);

// What each executor that open_executor knows does here, by running it.
struct ExecutorTrial {
  std::string name;
  std::string why_not;  // "": it works
};
// state_dir: as for open_executor; no executor is open on it. Errors: io, no_space (nothing could be tried).
base::Result<std::vector<ExecutorTrial>> try_executors(const base::HostPath& state_dir);
// Why steps have no limits of their own here; "": they have.
std::string why_no_step_limits();

}  // namespace cairn::solver

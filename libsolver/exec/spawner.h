// SPDX-License-Identifier: Apache-2.0
// Starts runtimes, each in a mount and a process-id namespace of its own. The runtime is process 1 of its namespace, so
// its end, however it comes, is the end of every process below it, whatever they did to get away and whatever cgroup
// layout the host has; and the mounts made for it exist nowhere else.
//
// All children are made by one thread that lives as long as the Spawner: a child is killed when the *thread* that made
// it ends, so no step outlives a killed engine.
#pragma once

#include <condition_variable>
#include <deque>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/sync.h"
#include "libsnapshot/snapshotter.h"
#include "libsolver/exec/runtime.h"

namespace cairn::solver {

// A detached mount that the child attaches at a host path, in its own mount namespace.
struct AttachMount {
  int mount = -1;
  std::string path;
};

// Something that the child binds to a host path, after all AttachMounts; it lies in one of those mounts.
struct BindMount {
  int source = -1;
  std::string path;
  snapshot::Access access = snapshot::Access::read_write;
};

// Whether the child has a network namespace of its own, with nothing in it.
enum class OwnNetwork { no, yes };

struct SpawnPlan {
  std::vector<std::string> command;
  std::vector<AttachMount> attach;
  std::vector<BindMount> bind;
  CgroupView cgroups = CgroupView::host;
  int cgroup = -1;        // the group of cgroup v2 that it begins in; -1: the engine's
  std::vector<int> join;  // cgroup.procs of the groups that it joins
  int network = -1;       // the namespace that it is in; -1: the engine's
  OwnNetwork own_network = OwnNetwork::no;
  std::string sysfs;      // "": nowhere; else where it mounts a sysfs of its network, or if it may not, the engine's /sys
  // Descriptors that it has as first_kept, first_kept + 1, ...
  static constexpr int first_kept = 3;
  std::vector<int> keep;
  int out = -1;  // becomes standard output; standard input is /dev/null
  int err = -1;
};

// A running child; whoever holds it must wait_child() it.
struct Child {
  base::Fd pidfd;
};

class Spawner {
 public:
  // groups: the files "tasks" of groups of cgroup v1; the thread, and so whatever it makes, is in these. They stay open.
  static base::Result<std::unique_ptr<Spawner>> open(std::vector<int> groups = {});
  ~Spawner();  // kills what still runs

  // Descriptors and strings in the plan stay valid until this returns; the child is then past exec. Thread-safe.
  base::Result<Child> spawn(const SpawnPlan& plan);

 private:
  struct Job {
    const SpawnPlan* plan;
    std::promise<base::Result<Child>> done;
  };
  struct State {
    std::deque<Job*> jobs;
  };

  Spawner(base::Fd null, base::Fd self, std::vector<int> groups);
  base::Status join_groups() const;
  void serve(std::stop_token stop);

  base::Fd null_;  // /dev/null
  base::Fd self_;  // pidfd of the engine
  const std::vector<int> groups_;
  base::Guarded<State> state_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

// Waits for the end and returns the exit code (128+n after signal n; 255 if somebody else reaped it).
base::Result<int> wait_child(const Child& child);
void kill_child(const Child& child);

}  // namespace cairn::solver

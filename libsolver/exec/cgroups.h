// SPDX-License-Identifier: Apache-2.0
// The cgroups of steps: one for each while it runs, so that what it takes of processes and memory has a limit, and ends
// with it. cgroup v1 and v2, whichever holds the controllers here (they may be in different places).
//
// A store's groups are <own>/cairn-<name>/<id> in each hierarchy, where <own> is the group of this process. Where that one of v2
// cannot hand controllers down because others are in it, as in a session of systemd, <own> is the top of what is mounted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/path.h"
#include "libsolver/executor.h"

namespace cairn::solver {

// The groups of one step at a time. Its end removes them; every process in them is dead then.
class StepCgroup {
 public:
  StepCgroup() = default;
  StepCgroup(StepCgroup&&) = default;
  StepCgroup& operator=(StepCgroup&&) = delete;
  ~StepCgroup();

  bool is_there() const;  // nobody has removed it
  // The group of v2, which a process can begin in; -1: there is none.
  int directory() const;
  // The groups of v1: for a child, which writes "0" to each before it becomes the runtime, ...
  std::vector<int> joins() const;
  // ... or for a thread, which does the same, and whose children then begin there.
  std::vector<int> thread_joins() const;
  // What a limit has done since the last begin_step(): "a process was killed, for the memory limit of 67108864 bytes was
  // reached"; "".
  std::string what_limits_did() const;
  void begin_step();

 private:
  friend class Cgroups;
  struct Group {
    base::Fd parent;
    std::string name;
    base::Fd dir;
    base::Fd procs, tasks;  // of v1
    std::uint64_t kills = 0, refusals = 0;  // before this step
  };
  std::vector<Group> groups_;
  StepLimits limits_;
};

// Thread-safe.
class Cgroups {
 public:
  Cgroups() = default;  // no limits
  Cgroups(Cgroups&&) = default;
  Cgroups& operator=(Cgroups&&) = delete;
  ~Cgroups();  // removes the store's groups; no step is running

  struct Hierarchy {
    enum class Kind : std::uint8_t { v1_pids, v1_memory, v2 } kind;
    base::HostPath own;  // the directory of the group of this process
    base::HostPath top;  // where the hierarchy is mounted
  };
  // What is mounted here, by the texts of /proc/self/mountinfo and /proc/self/cgroup.
  static std::vector<Hierarchy> find(std::string_view mountinfo, std::string_view own_groups);

  // With the hierarchies that can be used for limits: groups can be made in them. Whatever a killed owner of the same name
  // has left is killed and removed. `why_not` says what is missing.
  static Cgroups open(const std::vector<Hierarchy>& hierarchies, std::string_view name);
  const std::string& why_not() const { return why_not_; }  // "": all limits can be kept
  // v2 holds the controllers: a runtime that makes groups itself leaves ours, and must be told the limits.
  bool is_v2() const;

  // parent: "" or a path below <own>, made if missing. An id is used once at a time.
  // Errors: invalid_argument (not such a path), no_space, io.
  base::Result<StepCgroup> make(const std::string& id, std::string_view parent, const StepLimits& limits) const;

 private:
  std::vector<Hierarchy> usable_;
  std::string name_;
  std::string why_not_;
};

}  // namespace cairn::solver

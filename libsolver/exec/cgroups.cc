// SPDX-License-Identifier: Apache-2.0
// Formats: Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst of Linux; proc(5) for mountinfo and /proc/self/cgroup.
#include "libsolver/exec/cgroups.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <thread>

#include "libbase/fs/beneath.h"
#include "libbase/log/log.h"
#include "libsolver/exec/split.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Fd;
using base::HostPath;
using base::Result;
using base::Status;
using Hierarchy = Cgroups::Hierarchy;
using Kind = Cgroups::Hierarchy::Kind;

constexpr std::size_t file_max = 1 << 20;
constexpr std::string_view controllers = "+pids +memory";  // of v2, handed down

bool has_word(std::string_view list, char at, std::string_view word) {
  const auto words = split(list, at);
  return std::find(words.begin(), words.end(), word) != words.end();
}

struct MountedHierarchy {
  std::string_view root, at, type, options;
};

// "36 35 98:0 /root /mount/point rw,… shared:1 - type source options"
std::optional<MountedHierarchy> parse_mount(std::string_view line) {
  const auto words = split(line, ' ');
  const auto dash = std::find(words.begin(), words.end(), "-");
  if (words.size() < 5 || words.end() - dash < 4) return std::nullopt;
  return MountedHierarchy{words[3], words[4], dash[1], dash[3]};
}

// The path of this process in the hierarchy: "4:memory:/path" of v1, "0::/path" of v2.
std::string_view own_path(std::string_view own_groups, std::string_view controller) {
  for (const std::string_view line : split(own_groups, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 3) continue;
    if (controller.empty() ? fields[1].empty() && fields[0] == "0" : has_word(fields[1], ',', controller)) {
      return line.substr(static_cast<std::size_t>(fields[2].data() - line.data()));
    }
  }
  return "/";
}

// Where that path is below the mount, if it can be seen there: in a container it may be told as seen from outside.
Result<HostPath> own_dir(const MountedHierarchy& mounted, std::string_view path) {
  if (mounted.root != "/" && path.starts_with(mounted.root)) path.remove_prefix(mounted.root.size());
  while (path.starts_with('/')) path.remove_prefix(1);
  const std::string below = std::string(mounted.at) + "/" + std::string(path);
  struct ::stat about {};
  const bool is_there = !path.empty() && path.find("..") == std::string_view::npos && ::stat(below.c_str(), &about) == 0;
  return HostPath::parse(is_there ? below : std::string(mounted.at));
}

Status write_value(int dir, const char* name, std::string_view value) {
  const Fd file(::openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return base::fail_errno(errno, "open {} of a cgroup", name);
  TRY(base::write_full(file.get(), value), "write {} of a cgroup", name);
  return {};
}

std::string read_value(int dir, const char* name) {
  const Fd file(::openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return {};
  return base::read_all(file.get(), file_max).value_or("");
}

// Of "name N" lines.
std::uint64_t count_in(const std::string& text, std::string_view name) {
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ' ') continue;
    std::uint64_t count = 0;
    std::from_chars(line.data() + name.size() + 1, line.data() + line.size(), count);
    return count;
  }
  return 0;
}

std::uint64_t kills_in(int group) {
  return count_in(read_value(group, "memory.oom_control"), "oom_kill") + count_in(read_value(group, "memory.events"), "oom_kill");
}
std::uint64_t refusals_in(int group) { return count_in(read_value(group, "pids.events"), "max"); }

Result<Fd> make_group(int parent, const std::string& name) {
  if (::mkdirat(parent, name.c_str(), 0755) != 0 && errno != EEXIST) return base::fail_errno(errno, "make the cgroup {}", name);
  Fd dir(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!dir) return base::fail_errno(errno, "open the cgroup {}", name);
  return dir;
}

// v2 hands controllers down only from a group that has no process, so this one moves into a group of its own first.
Status hand_down(int dir) {
  if (write_value(dir, "cgroup.subtree_control", controllers)) return {};
  const std::string processes = read_value(dir, "cgroup.procs");
  if (processes.find_first_not_of("0123456789\n") == std::string::npos && processes.find('\n') + 1 < processes.size()) {
    return base::fail(ErrorCode::unavailable, "other processes are in it");
  }
  const Fd leaf = TRY(make_group(dir, "cairn-engine"));
  TRY(write_value(leaf.get(), "cgroup.procs", "0"));
  return write_value(dir, "cgroup.subtree_control", controllers);
}

void kill_all(int group) {
  const std::string processes = read_value(group, "cgroup.procs");
  for (const std::string_view line : split(processes, '\n')) {
    int pid = 0;
    std::from_chars(line.data(), line.data() + line.size(), pid);
    if (pid > 0 && pid != ::getpid()) (void)::kill(pid, SIGKILL);
  }
}

// What a killed owner left. Who still runs is killed, and its group goes with the next open.
void remove_left(int store_group) {
  const auto entries = base::list_dir(store_group);
  if (!entries) return;
  for (const base::DirEntry& entry : *entries) {
    const Fd group(::openat(store_group, entry.name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!group) continue;  // one of the kernel's files
    kill_all(group.get());
    (void)::unlinkat(store_group, entry.name.c_str(), AT_REMOVEDIR);
  }
}

Status set_limits(int dir, Kind kind, const StepLimits& limits) {
  if (kind != Kind::v1_memory && limits.processes > 0) {
    // In one of v1 there may be the thread that makes its processes, too.
    TRY(write_value(dir, "pids.max", std::to_string(limits.processes + (kind == Kind::v1_pids ? 1 : 0))));
  }
  if (kind == Kind::v1_memory && limits.memory_bytes > 0) {
    TRY(write_value(dir, "memory.limit_in_bytes", std::to_string(limits.memory_bytes)));
  }
  if (kind == Kind::v2 && limits.memory_bytes > 0) TRY(write_value(dir, "memory.max", std::to_string(limits.memory_bytes)));
  return {};
}

Status make_store_group(const Hierarchy& hierarchy, const std::string& name) {
  const Fd own = TRY(base::open_host_dir(hierarchy.own));
  if (hierarchy.kind == Kind::v2) {
    const std::string held = read_value(own.get(), "cgroup.controllers");
    const std::string_view list = std::string_view(held).substr(0, held.find('\n'));
    if (!has_word(list, ' ', "pids") || !has_word(list, ' ', "memory")) return base::fail(ErrorCode::unavailable, "no controllers");
    TRY(hand_down(own.get()));
  }
  const Fd group = TRY(make_group(own.get(), name));
  if (hierarchy.kind == Kind::v2) TRY(write_value(group.get(), "cgroup.subtree_control", controllers));
  remove_left(group.get());
  return {};
}

bool is_plain_path(std::string_view path) {
  const auto parts = split(path, '/');
  return std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
    return part != "." && part != ".." && part.find_first_of(std::string_view("\n\0:", 3)) == std::string_view::npos;
  });
}

}  // namespace

std::vector<Hierarchy> Cgroups::find(std::string_view mountinfo, std::string_view own_groups) {
  std::vector<Hierarchy> found;
  const auto add = [&](Kind kind, const MountedHierarchy& mounted, std::string_view controller) {
    auto dir = own_dir(mounted, own_path(own_groups, controller));
    auto top = HostPath::parse(std::string(mounted.at));
    if (dir && top) found.push_back({kind, std::move(*dir), std::move(*top)});
  };
  for (const std::string_view line : split(mountinfo, '\n')) {
    const auto mounted = parse_mount(line);
    if (!mounted) continue;
    if (mounted->type == "cgroup2") add(Kind::v2, *mounted, "");
    if (mounted->type != "cgroup") continue;
    if (has_word(mounted->options, ',', "pids")) add(Kind::v1_pids, *mounted, "pids");
    if (has_word(mounted->options, ',', "memory")) add(Kind::v1_memory, *mounted, "memory");
  }
  return found;
}

Cgroups Cgroups::open(const std::vector<Hierarchy>& hierarchies, std::string_view name) {
  Cgroups cgroups;
  cgroups.name_ = fmt::format("cairn-{}", name);
  bool pids = false, memory = false;
  std::string failures;
  for (Hierarchy hierarchy : hierarchies) {
    Status usable = make_store_group(hierarchy, cgroups.name_);
    if (!usable && hierarchy.kind == Kind::v2 && hierarchy.own.str() != hierarchy.top.str()) {
      const Hierarchy at_top{hierarchy.kind, hierarchy.top, hierarchy.top};
      if (make_store_group(at_top, cgroups.name_)) {
        hierarchy = at_top;
        usable = {};
      }
    }
    if (!usable) {
      failures.append(failures.empty() ? "" : "; ").append(fmt::format("{}: {}", hierarchy.own.str(), usable.error().message));
      continue;
    }
    pids |= hierarchy.kind != Kind::v1_memory;
    memory |= hierarchy.kind != Kind::v1_pids;
    cgroups.usable_.push_back(hierarchy);
  }
  if (!pids || !memory) {
    cgroups.why_not_ = fmt::format("no cgroup holds {}", !pids && !memory ? "processes and memory" : pids ? "memory" : "processes");
    if (!failures.empty()) cgroups.why_not_ += fmt::format(" ({})", failures);
  }
  return cgroups;
}

Cgroups::~Cgroups() {
  for (const Hierarchy& hierarchy : usable_) (void)::rmdir((hierarchy.own / name_).c_str());
}

bool Cgroups::is_v2() const {
  return std::any_of(usable_.begin(), usable_.end(), [](const Hierarchy& each) { return each.kind == Kind::v2; });
}

Result<StepCgroup> Cgroups::make(const std::string& id, std::string_view parent, const StepLimits& limits) const {
  while (parent.starts_with('/')) parent.remove_prefix(1);
  if (!is_plain_path(parent)) return base::fail(ErrorCode::invalid_argument, "cgroup parent \"{}\": not a path of plain names", parent);
  StepCgroup made;
  made.limits_ = limits;
  for (const Hierarchy& hierarchy : usable_) {
    Fd above = TRY(base::open_host_dir(hierarchy.own));
    std::string name = id;
    const std::string_view path = parent.empty() ? std::string_view(name_) : parent;
    for (const std::string_view part : split(path, '/')) {
      if (part.empty()) continue;
      above = TRY(make_group(above.get(), std::string(part)));
      if (hierarchy.kind == Kind::v2) TRY(write_value(above.get(), "cgroup.subtree_control", controllers));
    }
    if (!parent.empty()) name = name_ + "-" + id;
    Fd dir = TRY(make_group(above.get(), name));
    StepCgroup::Group& group = made.groups_.emplace_back();
    group.parent = std::move(above);
    group.name = std::move(name);
    group.dir = std::move(dir);
    TRY(set_limits(group.dir.get(), hierarchy.kind, limits));
    if (hierarchy.kind == Kind::v2) continue;
    for (const auto& [file, opened] : {std::pair{"cgroup.procs", &group.procs}, std::pair{"tasks", &group.tasks}}) {
      *opened = Fd(::openat(group.dir.get(), file, O_WRONLY | O_CLOEXEC));
      if (!*opened) return base::fail_errno(errno, "open {} of the cgroup {}", file, group.name);
    }
  }
  made.begin_step();
  return made;
}

// A thread that has ended is in its group for a moment longer.
StepCgroup::~StepCgroup() {
  constexpr int tries_max = 100;
  for (const Group& group : groups_) {
    bool is_gone = false;
    for (int tries = 0; !is_gone && tries < tries_max; ++tries) {
      if (tries > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      is_gone = ::unlinkat(group.parent.get(), group.name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT;
      if (!is_gone && errno != EBUSY) break;
    }
    if (!is_gone) base::log_debug("remove the cgroup {}: {}", group.name, base::errno_text(errno));
  }
}

bool StepCgroup::is_there() const {
  return std::all_of(groups_.begin(), groups_.end(), [](const Group& group) { return ::faccessat(group.dir.get(), "cgroup.procs", F_OK, 0) == 0; });
}

int StepCgroup::directory() const {
  const auto found = std::find_if(groups_.begin(), groups_.end(), [](const Group& group) { return !group.procs; });
  return found == groups_.end() ? -1 : found->dir.get();
}

std::vector<int> StepCgroup::joins() const {
  std::vector<int> fds;
  for (const Group& group : groups_)
    if (group.procs) fds.push_back(group.procs.get());
  return fds;
}

std::vector<int> StepCgroup::thread_joins() const {
  std::vector<int> fds;
  for (const Group& group : groups_)
    if (group.tasks) fds.push_back(group.tasks.get());
  return fds;
}

void StepCgroup::begin_step() {
  for (Group& group : groups_) {
    group.kills = kills_in(group.dir.get());
    group.refusals = refusals_in(group.dir.get());
  }
}

std::string StepCgroup::what_limits_did() const {
  std::string said;
  for (const Group& group : groups_) {
    if (kills_in(group.dir.get()) > group.kills) {
      said = limits_.memory_bytes > 0
                 ? fmt::format("a process was killed, for the memory limit of {} bytes was reached", limits_.memory_bytes)
                 : std::string("a process was killed, for there was no memory left");
    }
    if (said.empty() && refusals_in(group.dir.get()) > group.refusals) {
      said = fmt::format("the limit of {} processes was reached", limits_.processes);
    }
  }
  return said;
}

}  // namespace cairn::solver

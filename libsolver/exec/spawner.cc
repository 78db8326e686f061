// SPDX-License-Identifier: Apache-2.0
// The child side shares the memory of the engine until exec (vfork), so that starting a step costs the same in an
// engine of 10 GB as in one of 10 MB. It therefore calls the kernel and nothing else: no allocation, no lock, no
// library state, and no sanitizer's bookkeeping.
#include "libsolver/exec/spawner.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#define CAIRN_CHILD_SIDE __attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined")))

// glibc's own name of clone(). Under "clone" the thread sanitizer puts a wrapper that takes the child for a fork with a
// memory of its own, and then stops watching the parent.
extern "C" int __clone(int (*function)(void*), void* stack, int flags, void* argument, ...);

namespace cairn::solver {
namespace {

using base::Fd;

constexpr std::size_t stack_size = 256 * 1024;
constexpr int kernel_signals = 64;
constexpr std::size_t kept_max = 4;

struct ChildAttach {
  int mount;
  const char* path;
};
struct ChildBind {
  int source;
  const char* path;
  bool read_only;
};

// Everything the child needs, prepared by the parent; and its last words, written by the child.
struct ChildPlan {
  const char* const* command;
  const char* const* environment;
  const ChildAttach* attach;
  std::size_t attach_count;
  const ChildBind* bind;
  std::size_t bind_count;
  bool private_cgroup2;
  const int* join;
  std::size_t join_count;
  int network;
  bool own_network;
  const char* sysfs;
  const int* keep;
  std::size_t keep_count;
  int in, out, err;
  int engine_pidfd;

  const char* failed_at = nullptr;
  int error = 0;
};

CAIRN_CHILD_SIDE bool give_up(ChildPlan* plan, const char* doing) {
  plan->error = errno;
  plan->failed_at = doing;
  return false;
}

// The child dies with the thread that made it. If the engine died before that was arranged, its pidfd says so.
CAIRN_CHILD_SIDE bool tie_to_engine(ChildPlan* plan) {
  if (::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return give_up(plan, "tie it to the engine");
  struct ::pollfd engine = {plan->engine_pidfd, POLLIN, 0};
  struct ::timespec now = {0, 0};
  if (::syscall(SYS_ppoll, &engine, 1, &now, nullptr, 0) > 0) return give_up(plan, "find the engine alive");
  return true;
}

// Dispositions and the mask of a fresh process: the engine ignores SIGPIPE and its spawning thread blocks all signals.
CAIRN_CHILD_SIDE void reset_signals() {
  struct {
    void* handler = nullptr;
    unsigned long flags = 0;
    void* restorer = nullptr;
    unsigned long mask = 0;
  } by_default;
  for (int signal = 1; signal <= kernel_signals; ++signal) {
    ::syscall(SYS_rt_sigaction, signal, &by_default, nullptr, sizeof by_default.mask);
  }
  const unsigned long none = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none);
}

CAIRN_CHILD_SIDE bool mount_own_view(ChildPlan* plan) {
  if (::syscall(SYS_mount, nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return give_up(plan, "make its mounts private");
  }
  if (::syscall(SYS_mount, "proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    return give_up(plan, "mount /proc");
  }
  if (plan->private_cgroup2 &&
      ::syscall(SYS_mount, "cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0 &&
      errno != EBUSY /* it is there already */) {
    return give_up(plan, "mount cgroup2 on /sys/fs/cgroup");
  }
  return true;
}

CAIRN_CHILD_SIDE bool attach_trees(ChildPlan* plan) {
  for (std::size_t i = 0; i < plan->attach_count; ++i) {
    const ChildAttach& attach = plan->attach[i];
    if (::syscall(SYS_move_mount, attach.mount, "", AT_FDCWD, attach.path, MOVE_MOUNT_F_EMPTY_PATH) != 0) {
      return give_up(plan, "attach a tree");
    }
  }
  for (std::size_t i = 0; i < plan->bind_count; ++i) {
    const ChildBind& bind = plan->bind[i];
    const long clone =
        ::syscall(SYS_open_tree, bind.source, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (clone < 0) return give_up(plan, "clone a tree");
    if (bind.read_only) {
      struct ::mount_attr attributes = {MOUNT_ATTR_RDONLY, 0, 0, 0};
      if (::syscall(SYS_mount_setattr, clone, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) != 0) {
        return give_up(plan, "make a tree read-only");
      }
    }
    if (::syscall(SYS_move_mount, clone, "", AT_FDCWD, bind.path, MOVE_MOUNT_F_EMPTY_PATH) != 0) {
      return give_up(plan, "attach a part of a tree");
    }
    ::syscall(SYS_close, clone);
  }
  return true;
}

CAIRN_CHILD_SIDE bool join_cgroups(ChildPlan* plan) {
  for (std::size_t i = 0; i < plan->join_count; ++i) {
    if (::syscall(SYS_write, plan->join[i], "0", 1) != 1) return give_up(plan, "join its cgroup");
  }
  return true;
}

CAIRN_CHILD_SIDE bool enter_network(ChildPlan* plan) {
  if (plan->network >= 0 && ::syscall(SYS_setns, plan->network, CLONE_NEWNET) != 0) return give_up(plan, "enter its network");
  if (plan->own_network && ::syscall(SYS_unshare, CLONE_NEWNET) != 0) return give_up(plan, "make its network");
  return true;
}

// A new sysfs shows the network of who makes it; it may be made only by who owns that network.
CAIRN_CHILD_SIDE bool mount_sysfs(ChildPlan* plan) {
  if (plan->sysfs == nullptr) return true;
  long mount = -1;
  const long context = ::syscall(SYS_fsopen, "sysfs", FSOPEN_CLOEXEC);
  if (context >= 0 && ::syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) {
    mount = ::syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  }
  if (mount < 0) mount = ::syscall(SYS_open_tree, AT_FDCWD, "/sys", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (mount < 0 || ::syscall(SYS_move_mount, mount, "", AT_FDCWD, plan->sysfs, MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return give_up(plan, "mount its /sys");
  }
  ::syscall(SYS_close, mount);
  if (context >= 0) ::syscall(SYS_close, context);
  return true;
}

// They may have any numbers, even those that they shall have, so they are moved out of the way first.
CAIRN_CHILD_SIDE bool set_descriptors(ChildPlan* plan) {
  const int streams[3] = {plan->in, plan->out, plan->err};
  const int count = SpawnPlan::first_kept + static_cast<int>(plan->keep_count);
  long moved[SpawnPlan::first_kept + kept_max];
  for (int i = 0; i < count; ++i) {
    const int wanted = i < SpawnPlan::first_kept ? streams[i] : plan->keep[i - SpawnPlan::first_kept];
    moved[i] = ::syscall(SYS_fcntl, wanted, F_DUPFD_CLOEXEC, count);
    if (moved[i] < 0) return give_up(plan, "duplicate its descriptors");
  }
  for (int i = 0; i < count; ++i) {
    if (::syscall(SYS_dup3, moved[i], i, 0) < 0) return give_up(plan, "set its descriptors");
  }
  return true;
}

CAIRN_CHILD_SIDE int child_main(void* argument) {
  auto* plan = static_cast<ChildPlan*>(argument);
  if (!tie_to_engine(plan) || !join_cgroups(plan) || !mount_own_view(plan) || !attach_trees(plan) || !enter_network(plan) ||
      !mount_sysfs(plan) || !set_descriptors(plan)) {
    ::syscall(SYS_exit_group, 127);
  }
  ::syscall(SYS_setsid);
  ::syscall(SYS_umask, 022);
  ::syscall(SYS_chdir, "/");
  reset_signals();
  ::syscall(SYS_execve, plan->command[0], plan->command, plan->environment);
  give_up(plan, "execute the runtime");
  ::syscall(SYS_exit_group, 127);
  return 127;
}

constexpr int child_flags = CLONE_VM | CLONE_VFORK | CLONE_NEWNS | CLONE_NEWPID | CLONE_PIDFD;

#if defined(__x86_64__)
constexpr bool can_begin_in_cgroup = true;
// Of <linux/sched.h>, which cannot be had beside <sched.h>.
constexpr std::uint64_t clone_into_cgroup = 0x2'0000'0000;
struct CloneArguments {
  std::uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

// As vfork(), on the stack of who calls it, who waits: the child goes on from here and never returns, and so what is below
// this frame is all that it changes. The system call is made in place because a function that makes it could not return twice.
CAIRN_CHILD_SIDE __attribute__((noinline)) long clone_on_this_stack(CloneArguments* arguments, ChildPlan* plan) {
  long made = 0;
  asm volatile("syscall"
               : "=a"(made)
               : "a"(SYS_clone3), "D"(arguments), "S"(sizeof *arguments)
               : "rcx", "r11", "memory");
  if (made == 0) child_main(plan);
  return made;
}
#else
constexpr bool can_begin_in_cgroup = false;
#endif

// cgroup: that of v2 which it begins in, so that it need not be moved there; or -1.
int make_child(ChildPlan* plan, int cgroup, std::byte* stack, int* pidfd) {
#if defined(__x86_64__)
  if (cgroup >= 0) {
    CloneArguments arguments{};
    arguments.flags = static_cast<std::uint64_t>(child_flags) | clone_into_cgroup;
    arguments.pidfd = reinterpret_cast<std::uint64_t>(pidfd);
    arguments.exit_signal = SIGCHLD;
    arguments.cgroup = static_cast<std::uint64_t>(cgroup);
    const long made = clone_on_this_stack(&arguments, plan);
    if (made < 0) errno = static_cast<int>(-made);
    return static_cast<int>(made);
  }
#endif
  return ::__clone(child_main, stack + stack_size, child_flags | SIGCHLD, plan, pidfd);
}

std::vector<const char*> c_strings(const std::vector<std::string>& strings) {
  std::vector<const char*> pointers;
  for (const std::string& text : strings) pointers.push_back(text.c_str());
  pointers.push_back(nullptr);
  return pointers;
}

base::Result<Child> start(const SpawnPlan& plan, std::byte* stack, int null, int engine_pidfd) {
  static const char* const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                            nullptr};
  CHECK(plan.keep.size() <= kept_max);
  const auto command = c_strings(plan.command);
  std::vector<ChildAttach> attach;
  for (const AttachMount& mount : plan.attach) attach.push_back({mount.mount, mount.path.c_str()});
  std::vector<ChildBind> bind;
  for (const BindMount& mount : plan.bind) {
    bind.push_back({mount.source, mount.path.c_str(), mount.access == snapshot::Access::read_only});
  }
  std::vector<int> join = plan.join;
  Fd procs;
  if (plan.cgroup >= 0 && !can_begin_in_cgroup) {
    procs = Fd(::openat(plan.cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC));
    if (!procs) return base::fail_errno(errno, "start {}: open cgroup.procs of its cgroup", plan.command[0]);
    join.push_back(procs.get());
  }
  ChildPlan child_plan{command.data(),
                       environment,
                       attach.data(),
                       attach.size(),
                       bind.data(),
                       bind.size(),
                       plan.cgroups == CgroupView::private_v2,
                       join.data(),
                       join.size(),
                       plan.network,
                       plan.own_network == OwnNetwork::yes,
                       plan.sysfs.empty() ? nullptr : plan.sysfs.c_str(),
                       plan.keep.data(),
                       plan.keep.size(),
                       null,
                       plan.out,
                       plan.err,
                       engine_pidfd};
  int pidfd = -1;
  const int pid = make_child(&child_plan, plan.cgroup, stack, &pidfd);
  if (pid < 0) return base::fail_errno(errno, "start {}: make its namespaces", plan.command[0]);
  Child child{Fd(pidfd)};
  if (child_plan.failed_at != nullptr) {
    (void)wait_child(child);
    return base::fail_errno(child_plan.error, "start {}: {}", plan.command[0], child_plan.failed_at);
  }
  return child;
}

}  // namespace

Spawner::Spawner(Fd null, Fd self, std::vector<int> groups)
    : null_(std::move(null)), self_(std::move(self)), groups_(std::move(groups)) {
  thread_ = std::jthread([this](std::stop_token stop) { serve(stop); });
}

Spawner::~Spawner() = default;

base::Result<std::unique_ptr<Spawner>> Spawner::open(std::vector<int> groups) {
  const base::HostPath null_path = TRY(base::HostPath::parse("/dev/null"));
  Fd null = TRY(base::open_host(null_path, O_RDONLY));
  Fd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  if (!self) return base::fail_errno(errno, "open a descriptor of the own process");
  return std::unique_ptr<Spawner>(new Spawner(std::move(null), std::move(self), std::move(groups)));
}

base::Status Spawner::join_groups() const {
  for (const int tasks : groups_) TRY(base::write_full(tasks, "0"), "join the cgroups of a step");
  return {};
}

base::Result<Child> Spawner::spawn(const SpawnPlan& plan) {
  Job job{&plan, {}};
  auto done = job.done.get_future();
  state_.lock()->jobs.push_back(&job);
  wake_.notify_one();
  return done.get();
}

void Spawner::serve(std::stop_token stop) {
  // Nothing may run a handler of the engine in a child that shares its memory.
  ::sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  void* memory = ::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  CHECK(memory != MAP_FAILED, "no memory for the stack of children");
  const base::Status joined = join_groups();
  while (true) {
    Job* job = nullptr;
    {
      auto state = state_.lock();
      if (!wake_.wait(state.lock(), stop, [&] { return !state->jobs.empty(); })) break;
      job = state->jobs.front();
      state->jobs.pop_front();
    }
    job->done.set_value(joined ? start(*job->plan, static_cast<std::byte*>(memory), null_.get(), self_.get())
                               : base::Result<Child>(tl::unexpected(joined.error())));
  }
  ::munmap(memory, stack_size);
}

base::Result<int> wait_child(const Child& child) {
  ::siginfo_t info = {};
  int waited = 0;
  do {
    waited = ::waitid(P_PIDFD, static_cast<::id_t>(child.pidfd.get()), &info, WEXITED);
  } while (waited != 0 && errno == EINTR);
  if (waited != 0 && errno == ECHILD) return 255;
  if (waited != 0) return base::fail_errno(errno, "wait for the runtime");
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

void kill_child(const Child& child) {
  // The only failure is that it has ended already.
  (void)::syscall(SYS_pidfd_send_signal, child.pidfd.get(), SIGKILL, nullptr, 0);
}

}  // namespace cairn::solver

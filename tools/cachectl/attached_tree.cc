// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/attached_tree.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "libbase/fs/beneath.h"
#include "tools/cachectl/command.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::Fd;
using base::Result;

namespace {

constexpr int exec_failed = 127;

struct Pipe {
  Fd read, write;
};
Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::fail_errno(errno, "make a pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// In a fork of a process with threads: system calls only. All signals that can be are blocked, as in who forked it, and it has a session of
// its own, so that what ends a whole job of a shell passes it by.
[[noreturn]] void keep(int life, int other_end, const char* mount) {
  ::setsid();
  ::close(other_end);
  char byte;
  while (::read(life, &byte, 1) < 0 && errno == EINTR) {}
  // EINVAL: it has not been attached.
  const bool is_away = ::umount2(mount, MNT_DETACH) == 0 || errno == EINVAL;
  ::_exit(is_away ? 0 : 1);
}

// Of what it is given, execvp changes nothing.
[[noreturn]] void become(const std::vector<char*>& argv, int failure) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execvp(argv[0], argv.data());
  const int error = errno;
  if (::write(failure, &error, sizeof error) < 0) ::_exit(exec_failed - 1);
  ::_exit(exec_failed);
}

int exit_code(const siginfo_t& ended, const std::stop_token& stop) {
  if (ended.si_code == CLD_EXITED) return ended.si_status;
  if (stop.stop_requested() && ended.si_status == SIGTERM) return static_cast<int>(ExitCode::interrupted);  // which it was sent for that
  return 128 + ended.si_status;
}

}  // namespace

Result<AttachedTree> AttachedTree::attach(int tree, const base::HostPath& dir) {
  const Fd place = TRY(base::open_host_dir(dir));
  Pipe pipe = TRY(make_pipe());
  // By its descriptor, so that it is this mount whatever is done to names meanwhile.
  const std::string mount = fmt::format("/proc/self/fd/{}", tree);
  AttachedTree attached;
  attached.keeper_ = ::fork();
  if (attached.keeper_ < 0) return base::fail_errno(errno, "start what takes the mount away");
  if (attached.keeper_ == 0) keep(pipe.read.get(), pipe.write.get(), mount.c_str());
  attached.life_ = std::move(pipe.write);
  if (::move_mount(tree, "", place.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return base::fail_errno(errno, "mount at {}", dir.str());
  return attached;
}

AttachedTree::~AttachedTree() {
  if (keeper_ < 0) return;
  life_.reset();
  while (::waitpid(keeper_, nullptr, 0) < 0 && errno == EINTR) {}
}

Result<int> run_command(const std::vector<std::string>& words, const std::stop_token& stop) {
  std::vector<std::string> copies = words;
  std::vector<char*> argv;
  for (std::string& word : copies) argv.push_back(word.data());
  argv.push_back(nullptr);
  Pipe failure = TRY(make_pipe());  // closed by exec
  const pid_t pid = ::fork();
  if (pid < 0) return base::fail_errno(errno, "run {}", words.front());
  if (pid == 0) become(argv, failure.write.get());
  failure.write.reset();
  siginfo_t ended{};
  {
    // It is not reaped meanwhile, so the number stays its own.
    const std::stop_callback on_stop(stop, [pid] { ::kill(pid, SIGTERM); });
    while (::waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {}
  }
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {}
  const std::string said = TRY(base::read_all(failure.read.get(), sizeof(int)));
  if (said.empty()) return exit_code(ended, stop);
  int error = 0;
  said.copy(reinterpret_cast<char*>(&error), sizeof error);
  return base::fail_errno(error, "run {}", words.front());
}

}  // namespace cairn::cachectl

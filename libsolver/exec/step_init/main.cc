// SPDX-License-Identifier: Apache-2.0
// Process 1 of a bubblewrap step (libsolver/exec/step_init.h): gives itself the limits, the directory, the user and the
// capabilities of the step, and becomes its program. It is static, for it runs in the step's root, where our libraries are
// not; it has all power until it has given it away, and reads nothing of the root but the program that it becomes.
#include "libsolver/exec/step_init.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <initializer_list>

namespace {

namespace init = cairn::solver::step_init;
using init::Stage;

void say(Stage stage, int error, std::uint32_t detail) {
  const init::Report report{stage, error, detail};
  (void)!::write(init::report_fd, &report, sizeof report);
}

[[noreturn]] void give_up(Stage stage, int error, std::uint32_t detail = 0) {
  say(stage, error, detail);
  ::_exit(127);
}

void raise_loopback() {
  const int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ::ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (any < 0 || ::ioctl(any, SIOCSIFFLAGS, &request) != 0) give_up(Stage::network, errno);
  ::close(any);
}

// bubblewrap makes these read-only for everybody.
void uncover_proc() {
  for (const char* path : {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"}) {
    if (::umount2(path, MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) give_up(Stage::proc, errno);
  }
}

void set_limits(const init::Limit* limits, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const struct ::rlimit limit = {limits[i].soft, limits[i].hard};
    if (::setrlimit(static_cast<__rlimit_resource>(limits[i].resource), &limit) != 0) give_up(Stage::limit, errno, i);
  }
}

// A user namespace of one user forbids groups; there nobody has others than the primary one.
void become_user(const init::Header& header, const std::uint32_t* groups) {
  if (::setgroups(header.groups, groups) != 0 && !(errno == EPERM && header.groups <= 1)) give_up(Stage::groups, errno);
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || ::setresgid(header.gid, header.gid, header.gid) != 0 ||
      ::setresuid(header.uid, header.uid, header.uid) != 0) {
    give_up(Stage::user, errno);
  }
}

void drop_bounding(std::uint64_t wanted) {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if ((wanted >> capability & 1) == 0 && ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) give_up(Stage::capabilities, errno);
  }
}

void set_capabilities(std::uint64_t wanted) {
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  struct ::__user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct ::__user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) give_up(Stage::capabilities, errno);
  for (int half = 0; half < 2; ++half) {
    const auto had = data[half].permitted;
    data[half].permitted = data[half].effective = had & static_cast<std::uint32_t>(wanted >> (32 * half));
    data[half].inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, data) != 0) give_up(Stage::capabilities, errno);
}

// Executes it, or returns what is wrong with it.
Stage execute(const char* path, char* const* arguments, char* const* environment) {
  ::execve(path, arguments, environment);
  const int error = errno;
  struct ::stat about {};
  const bool is_there = ::stat(path, &about) == 0;
  errno = error;
  if (error == ENOENT || error == ENOTDIR) return is_there ? Stage::no_interpreter : Stage::not_found;
  if (error == ENOEXEC) return Stage::not_a_program;
  if (error == EACCES || error == EPERM || error == EISDIR) return Stage::not_executable;
  return Stage::execute;
}

// As execvp does, but a text that is no program is not given to a shell.
[[noreturn]] void become_program(char* const* arguments, char* const* environment) {
  const char* name = arguments[0];
  if (std::strchr(name, '/') != nullptr) give_up(execute(name, arguments, environment), errno);
  const char* folders = "";
  for (char* const* variable = environment; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "PATH=", 5) == 0) folders = *variable + 5;
  }
  Stage worst = Stage::not_found;
  while (*name != '\0') {
    const std::size_t size = std::strcspn(folders, ":");
    char path[PATH_MAX];
    if (size + 1 + std::strlen(name) < sizeof path) {
      std::memcpy(path, folders, size);
      path[size] = '/';
      std::strcpy(path + size + (size > 0 ? 1 : 0), name);  // an empty folder is the working directory
      const Stage stage = execute(path, arguments, environment);
      if (stage == Stage::not_executable) worst = stage;
      else if (stage != Stage::not_found) give_up(stage, errno);
    }
    if (folders[size] == '\0') break;
    folders += size + 1;
  }
  give_up(worst, worst == Stage::not_found ? ENOENT : EACCES);
}

char** texts(char*& at, std::uint32_t count) {
  auto** list = static_cast<char**>(::mmap(nullptr, (count + std::size_t{1}) * sizeof(char*), PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (list == MAP_FAILED) give_up(Stage::execute, errno);
  for (std::uint32_t i = 0; i < count; ++i) {
    list[i] = at;
    at += std::strlen(at) + 1;
  }
  return list;  // ends with null, as the memory is new
}

}  // namespace

int main() {
  say(Stage::started, 0, 0);
  struct ::stat about {};
  if (::fstat(init::plan_fd, &about) != 0) give_up(Stage::execute, errno);
  void* plan = ::mmap(nullptr, static_cast<std::size_t>(about.st_size), PROT_READ | PROT_WRITE, MAP_PRIVATE, init::plan_fd, 0);
  if (plan == MAP_FAILED) give_up(Stage::execute, errno);
  const auto& header = *static_cast<const init::Header*>(plan);
  const auto* groups = reinterpret_cast<const std::uint32_t*>(&header + 1);
  const auto* limits = reinterpret_cast<const init::Limit*>(groups + header.groups + header.groups % 2);
  char* at = const_cast<char*>(reinterpret_cast<const char*>(limits + header.limits));
  const char* directory = at;
  at += std::strlen(at) + 1;
  char** arguments = texts(at, header.arguments);
  char** environment = texts(at, header.variables);

  if (header.raise_loopback != 0) raise_loopback();
  if (header.uncover_proc != 0) uncover_proc();
  set_limits(limits, header.limits);
  if (::chdir(directory) != 0) give_up(Stage::directory, errno);
  drop_bounding(header.capabilities);
  become_user(header, groups);
  set_capabilities(header.capabilities);
  (void)::syscall(SYS_close_range, 3u, ~0u, 1u << 2 /* close on exec */);
  become_program(arguments, environment);
}

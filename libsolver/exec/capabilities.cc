// SPDX-License-Identifier: Apache-2.0
#include "libsolver/exec/capabilities.h"

#include <sys/prctl.h>

namespace cairn::solver {
namespace {

// Numbers as in linux/capability.h, whose macros have the same names. Those of a step are the ones that container engines
// have agreed on.
enum class Of : std::uint8_t { steps, insecure_steps };
constexpr struct {
  const char* name;
  int number;
  Of of;
} capability_list[] = {
    {"CAP_CHOWN", 0, Of::steps},
    {"CAP_DAC_OVERRIDE", 1, Of::steps},
    {"CAP_DAC_READ_SEARCH", 2, Of::insecure_steps},
    {"CAP_FOWNER", 3, Of::steps},
    {"CAP_FSETID", 4, Of::steps},
    {"CAP_KILL", 5, Of::steps},
    {"CAP_SETGID", 6, Of::steps},
    {"CAP_SETUID", 7, Of::steps},
    {"CAP_SETPCAP", 8, Of::steps},
    {"CAP_LINUX_IMMUTABLE", 9, Of::insecure_steps},
    {"CAP_NET_BIND_SERVICE", 10, Of::steps},
    {"CAP_NET_BROADCAST", 11, Of::insecure_steps},
    {"CAP_NET_ADMIN", 12, Of::insecure_steps},
    {"CAP_NET_RAW", 13, Of::steps},
    {"CAP_IPC_LOCK", 14, Of::insecure_steps},
    {"CAP_IPC_OWNER", 15, Of::insecure_steps},
    {"CAP_SYS_MODULE", 16, Of::insecure_steps},
    {"CAP_SYS_RAWIO", 17, Of::insecure_steps},
    {"CAP_SYS_CHROOT", 18, Of::steps},
    {"CAP_SYS_PTRACE", 19, Of::insecure_steps},
    {"CAP_SYS_PACCT", 20, Of::insecure_steps},
    {"CAP_SYS_ADMIN", 21, Of::insecure_steps},
    {"CAP_SYS_BOOT", 22, Of::insecure_steps},
    {"CAP_SYS_NICE", 23, Of::insecure_steps},
    {"CAP_SYS_RESOURCE", 24, Of::insecure_steps},
    {"CAP_SYS_TIME", 25, Of::insecure_steps},
    {"CAP_SYS_TTY_CONFIG", 26, Of::insecure_steps},
    {"CAP_MKNOD", 27, Of::steps},
    {"CAP_LEASE", 28, Of::insecure_steps},
    {"CAP_AUDIT_WRITE", 29, Of::steps},
    {"CAP_AUDIT_CONTROL", 30, Of::insecure_steps},
    {"CAP_SETFCAP", 31, Of::steps},
    {"CAP_MAC_OVERRIDE", 32, Of::insecure_steps},
    {"CAP_MAC_ADMIN", 33, Of::insecure_steps},
    {"CAP_SYSLOG", 34, Of::insecure_steps},
    {"CAP_WAKE_ALARM", 35, Of::insecure_steps},
    {"CAP_BLOCK_SUSPEND", 36, Of::insecure_steps},
    {"CAP_AUDIT_READ", 37, Of::insecure_steps},
    {"CAP_PERFMON", 38, Of::insecure_steps},
    {"CAP_BPF", 39, Of::insecure_steps},
    {"CAP_CHECKPOINT_RESTORE", 40, Of::insecure_steps},
};

}  // namespace

std::uint64_t step_capabilities(SecurityMode security) {
  std::uint64_t set = 0;
  for (const auto& capability : capability_list) {
    if (security == SecurityMode::sandbox && capability.of != Of::steps) continue;
    if (::prctl(PR_CAPBSET_READ, capability.number, 0, 0, 0) == 1) set |= std::uint64_t{1} << capability.number;
  }
  return set;
}

std::vector<std::string> capability_names(std::uint64_t capabilities) {
  std::vector<std::string> names;
  for (const auto& capability : capability_list) {
    if ((capabilities >> capability.number & 1) != 0) names.emplace_back(capability.name);
  }
  return names;
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
#include "libsolver/exec/call_filter.h"

#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include <nlohmann/json.hpp>

#include "libbase/fs/beneath.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;

constexpr std::size_t program_size_max = 1 << 20;  // the kernel takes 4096 instructions of 8 bytes

struct RefusedCall {
  std::string_view name;
  int error;  // that it gets
  // Only if this argument has these bits, all of them; nullopt: always.
  struct Bits {
    unsigned argument;
    std::uint64_t mask, value;
  };
  std::optional<Bits> only = std::nullopt;
};

constexpr auto refused = std::to_array<RefusedCall>({
    // Keyrings are not divided by namespaces.
    {"add_key", EPERM}, {"keyctl", EPERM}, {"request_key", EPERM},
    // Programs and eyes in the kernel.
    {"bpf", EPERM}, {"fanotify_init", EPERM}, {"lookup_dcookie", EPERM}, {"perf_event_open", EPERM}, {"userfaultfd", EPERM},
    {"io_uring_enter", EPERM}, {"io_uring_register", EPERM}, {"io_uring_setup", EPERM},
    // Other processes, and where memory is.
    {"get_mempolicy", EPERM}, {"kcmp", EPERM}, {"mbind", EPERM}, {"migrate_pages", EPERM}, {"move_pages", EPERM},
    {"pidfd_getfd", EPERM}, {"process_madvise", EPERM}, {"set_mempolicy", EPERM}, {"set_mempolicy_home_node", EPERM},
    // Namespaces and mounts. The flags of clone3 are in memory, where a filter cannot look: without it clone is used.
    {"clone3", ENOSYS}, {"setns", EPERM}, {"unshare", EPERM},
    {"clone", EPERM, RefusedCall::Bits{0, CLONE_NEWCGROUP, CLONE_NEWCGROUP}}, {"clone", EPERM, RefusedCall::Bits{0, CLONE_NEWIPC, CLONE_NEWIPC}},
    {"clone", EPERM, RefusedCall::Bits{0, CLONE_NEWNET, CLONE_NEWNET}}, {"clone", EPERM, RefusedCall::Bits{0, CLONE_NEWNS, CLONE_NEWNS}},
    {"clone", EPERM, RefusedCall::Bits{0, CLONE_NEWPID, CLONE_NEWPID}}, {"clone", EPERM, RefusedCall::Bits{0, CLONE_NEWUSER, CLONE_NEWUSER}},
    {"clone", EPERM, RefusedCall::Bits{0, CLONE_NEWUTS, CLONE_NEWUTS}},
    {"fsconfig", EPERM}, {"fsmount", EPERM}, {"fsopen", EPERM}, {"fspick", EPERM}, {"mount", EPERM}, {"mount_setattr", EPERM},
    {"move_mount", EPERM}, {"open_by_handle_at", EPERM}, {"open_tree", EPERM}, {"pivot_root", EPERM}, {"umount", EPERM}, {"umount2", EPERM},
    // The machine.
    {"acct", EPERM}, {"clock_adjtime", EPERM}, {"clock_adjtime64", EPERM}, {"clock_settime", EPERM}, {"clock_settime64", EPERM},
    {"create_module", EPERM}, {"delete_module", EPERM}, {"finit_module", EPERM}, {"init_module", EPERM}, {"ioperm", EPERM}, {"iopl", EPERM},
    {"kexec_file_load", EPERM}, {"kexec_load", EPERM}, {"quotactl", EPERM}, {"quotactl_fd", EPERM}, {"reboot", EPERM},
    {"setdomainname", EPERM}, {"sethostname", EPERM}, {"settimeofday", EPERM}, {"stime", EPERM}, {"swapoff", EPERM}, {"swapon", EPERM},
    {"syslog", EPERM}, {"vhangup", EPERM},
    // What only old kernels have.
    {"_sysctl", EPERM}, {"get_kernel_syms", EPERM}, {"nfsservctl", EPERM}, {"query_module", EPERM}, {"sysfs", EPERM}, {"uselib", EPERM},
    {"ustat", EPERM}, {"vm86", EPERM}, {"vm86old", EPERM},
    // Sockets to the machine's hypervisor, which belong to no network namespace.
    {"socket", EPERM, RefusedCall::Bits{0, 0xffff'ffff, AF_VSOCK}},
});

#if defined(__x86_64__)
constexpr auto architectures = std::to_array<std::pair<std::uint32_t, const char*>>(
    {{SCMP_ARCH_X86_64, "SCMP_ARCH_X86_64"}, {SCMP_ARCH_X86, "SCMP_ARCH_X86"}, {SCMP_ARCH_X32, "SCMP_ARCH_X32"}});
#elif defined(__aarch64__)
constexpr auto architectures = std::to_array<std::pair<std::uint32_t, const char*>>(
    {{SCMP_ARCH_AARCH64, "SCMP_ARCH_AARCH64"}, {SCMP_ARCH_ARM, "SCMP_ARCH_ARM"}});
#else
constexpr std::array<std::pair<std::uint32_t, const char*>, 0> architectures{};  // the machine's own alone
#endif

struct Release {
  void operator()(void* filter) const { ::seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

tl::unexpected<base::Error> not_made(int error, std::string_view what) {
  return base::fail(ErrorCode::unavailable, "make the filter of system calls: {}: {}", what, base::errno_text(-error));
}

base::Status refuse(const Filter& filter, const RefusedCall& call) {
  const int number = ::seccomp_syscall_resolve_name(std::string(call.name).c_str());
  if (number == __NR_SCMP_ERROR) return {};  // this library does not know it
  ::scmp_arg_cmp compare{};
  if (call.only) compare = {call.only->argument, SCMP_CMP_MASKED_EQ, call.only->mask, call.only->value};
  const int error = ::seccomp_rule_add_array(filter.get(), SCMP_ACT_ERRNO(static_cast<std::uint16_t>(call.error)), number,
                                             call.only ? 1 : 0, &compare);
  if (error != 0) return not_made(error, call.name);
  return {};
}

}  // namespace

nlohmann::json refused_calls_for_runtime() {
  using nlohmann::json;
  json names = json::array(), calls = json::array();
  for (const auto& [number, name] : architectures) names.push_back(name);
  json plain = json::array();
  for (const RefusedCall& call : refused) {
    if (!call.only && call.error == EPERM) {
      plain.push_back(call.name);
      continue;
    }
    json refusal = {{"names", {call.name}}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", call.error}};
    if (call.only) {
      refusal["args"] = {{{"index", call.only->argument}, {"value", call.only->mask}, {"valueTwo", call.only->value}, {"op", "SCMP_CMP_MASKED_EQ"}}};
    }
    calls.push_back(std::move(refusal));
  }
  calls.push_back({{"names", std::move(plain)}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", EPERM}});
  json filter = {{"defaultAction", "SCMP_ACT_ALLOW"}, {"syscalls", std::move(calls)}};
  if (!names.empty()) filter["architectures"] = std::move(names);
  return filter;
}

base::Result<std::string> refused_calls_program() {
  const Filter filter(::seccomp_init(SCMP_ACT_ALLOW));
  if (!filter) return not_made(-ENOMEM, "begin");
  for (const auto& [number, name] : architectures) {
    const int error = ::seccomp_arch_add(filter.get(), number);
    if (error != 0 && error != -EEXIST) return not_made(error, name);
  }
  for (const RefusedCall& call : refused) TRY(refuse(filter, call));
  const base::Fd file(::memfd_create("cairn-call-filter", MFD_CLOEXEC));
  if (!file) return base::fail_errno(errno, "make a file in memory");
  if (const int error = ::seccomp_export_bpf(filter.get(), file.get()); error != 0) return not_made(error, "write it");
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return base::fail_errno(errno, "read a file in memory");
  return base::read_all(file.get(), program_size_max);
}

}  // namespace cairn::solver

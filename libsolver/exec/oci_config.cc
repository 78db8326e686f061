// SPDX-License-Identifier: Apache-2.0
// config.json, /etc/hosts.
#include "libsolver/exec/oci_config.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include <nlohmann/json.hpp>

namespace cairn::solver {
namespace {

using base::ErrorCode;
using nlohmann::json;

constexpr std::string_view default_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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

// Devices that programs with all power look for, beside those that every container has (spec/solver 6.2).
constexpr const char* insecure_devices[] = {"/dev/kmsg",  "/dev/cuse",  "/dev/fuse",  "/dev/kvm",   "/dev/net/tun",
                                            "/dev/loop-control", "/dev/loop0", "/dev/loop1", "/dev/loop2", "/dev/loop3",
                                            "/dev/loop4", "/dev/loop5", "/dev/loop6", "/dev/loop7"};

bool is_path_variable(const std::string& variable) { return variable.starts_with("PATH="); }

base::Status check_texts(const char* what, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    if (text.find('\0') != std::string::npos) {
      return base::fail(ErrorCode::invalid_argument, "{} \"{}\": a NUL is in it", what, text.c_str());
    }
  }
  return {};
}

// RLIMIT_… of getrlimit(2), without the beginning and in small letters.
constexpr std::string_view ulimit_names[] = {"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice",
                                             "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"};

base::Status check_ulimits(const std::vector<ExecUlimit>& ulimits) {
  for (const ExecUlimit& ulimit : ulimits) {
    if (std::find(std::begin(ulimit_names), std::end(ulimit_names), ulimit.name) == std::end(ulimit_names)) {
      return base::fail(ErrorCode::invalid_argument, "ulimit \"{}\": there is none of this name", ulimit.name);
    }
  }
  return {};
}

json rlimits_section(const std::vector<ExecUlimit>& ulimits) {
  json section = json::array();
  for (const ExecUlimit& ulimit : ulimits) {
    std::string type = "RLIMIT_";
    for (const char c : ulimit.name) type += static_cast<char>(c - 'a' + 'A');
    section.push_back({{"type", type},
                       {"soft", static_cast<std::uint64_t>(ulimit.soft)},
                       {"hard", static_cast<std::uint64_t>(ulimit.hard)}});
  }
  return section;
}

json process_section(const ExecRequest& request, const StepUser& user, const std::vector<std::string>& capabilities) {
  std::vector<std::string> env = request.env;
  if (std::none_of(env.begin(), env.end(), is_path_variable)) env.emplace_back(default_path);
  json section = {{"terminal", false},
                  {"user", {{"uid", user.uid}, {"gid", user.gid}, {"additionalGids", user.groups}}},
                  {"args", request.args},
                  {"env", env},
                  {"cwd", request.cwd},
                  {"noNewPrivileges", false},
                  {"capabilities", {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}}};
  if (!request.ulimits.empty()) section["rlimits"] = rlimits_section(request.ulimits);
  return section;
}

json mounts_section(const std::vector<OciMount>& mounts) {
  json section = json::array();
  for (const OciMount& mount : mounts) {
    section.push_back(
        {{"destination", mount.dest}, {"type", mount.type}, {"source", mount.source}, {"options", mount.options}});
  }
  return section;
}

json devices_section() {
  json section = json::array();
  for (const char* path : insecure_devices) {
    struct ::stat about {};
    if (::stat(path, &about) != 0 || (!S_ISCHR(about.st_mode) && !S_ISBLK(about.st_mode))) continue;
    section.push_back({{"path", path},
                       {"type", S_ISCHR(about.st_mode) ? "c" : "b"},
                       {"major", major(about.st_rdev)},
                       {"minor", minor(about.st_rdev)},
                       {"fileMode", about.st_mode & 0777},
                       {"uid", about.st_uid},
                       {"gid", about.st_gid}});
  }
  return section;
}

json linux_section(const ExecRequest& request, const Runtime& runtime, const StepLimits& told) {
  json namespaces = json::array();
  for (const char* type : {"pid", "ipc", "uts", "mount"}) namespaces.push_back({{"type", type}});
  if (request.network == NetworkMode::none) namespaces.push_back({{"type", "network"}});
  json section = {{"namespaces", std::move(namespaces)}};
  if (request.security == SecurityMode::insecure) {
    section["devices"] = devices_section();
  } else {
    section["maskedPaths"] = {"/proc/acpi",       "/proc/asound",      "/proc/kcore", "/proc/keys",    "/proc/latency_stats", "/proc/timer_list",
                              "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",  "/sys/firmware", "/sys/devices/virtual/powercap"};
    section["readonlyPaths"] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  }
  if (runtime.is_crun()) return section;
  section["cgroupsPath"] = "/cairn/" + request.id;
  json resources = json::object();
  if (request.security == SecurityMode::insecure) resources["devices"] = {{{"allow", true}, {"access", "rwm"}}};
  if (told.processes > 0) resources["pids"] = {{"limit", told.processes}};
  if (told.memory_bytes > 0) resources["memory"] = {{"limit", told.memory_bytes}};
  if (!resources.empty()) section["resources"] = std::move(resources);
  return section;
}

}  // namespace

std::vector<OciMount> default_mounts(SecurityMode security) {
  const char* sys_access = security == SecurityMode::insecure ? "rw" : "ro";
  return {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      {"/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", sys_access}},
  };
}

std::vector<std::string> step_capabilities(SecurityMode security) {
  std::vector<std::string> names;
  for (const auto& capability : capability_list) {
    if (security == SecurityMode::sandbox && capability.of != Of::steps) continue;
    if (::prctl(PR_CAPBSET_READ, capability.number, 0, 0, 0) == 1) names.emplace_back(capability.name);
  }
  return names;
}

base::Result<std::string> oci_config(const ExecRequest& request, const StepUser& user,
                                     const std::vector<OciMount>& mounts, const std::vector<std::string>& capabilities,
                                     const Runtime& runtime, const StepLimits& told) {
  TRY(check_texts("argument", request.args));
  TRY(check_texts("environment", request.env));
  TRY(check_texts("working directory", {request.cwd}));
  TRY(check_texts("host name", {request.hostname}));
  TRY(check_ulimits(request.ulimits));
  const json config = {{"ociVersion", "1.0.2"},
                       {"process", process_section(request, user, capabilities)},
                       {"root", {{"path", "rootfs"}, {"readonly", request.read_only_root}}},
                       {"hostname", std::string(step_hostname(request))},
                       {"mounts", mounts_section(mounts)},
                       {"linux", linux_section(request, runtime, told)}};
  // The only exception that writing JSON throws is about UTF-8; it stops here.
  try {
    return config.dump();
  } catch (const json::exception&) {
    return base::fail(ErrorCode::invalid_argument, "describe \"{}\" to the runtime: a text of the step is not UTF-8",
                      request.args.front());
  }
}

std::string_view step_hostname(const ExecRequest& request) {
  return request.hostname.empty() ? std::string_view("buildkitsandbox") : std::string_view(request.hostname);
}

std::string hosts_file(const ExecRequest& request) {
  std::string text =
      fmt::format("127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n", step_hostname(request));
  for (const auto& [name, address] : request.extra_hosts) text += fmt::format("{}\t{}\n", address, name);
  return text;
}

}  // namespace cairn::solver

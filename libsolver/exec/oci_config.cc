// SPDX-License-Identifier: Apache-2.0
// config.json.
#include "libsolver/exec/oci_config.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <nlohmann/json.hpp>

#include "libsolver/exec/call_filter.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using nlohmann::json;

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
  json section = {{"terminal", false},
                  {"user", {{"uid", user.uid}, {"gid", user.gid}, {"additionalGids", user.groups}}},
                  {"args", request.args},
                  {"env", step_environment(request, user)},
                  {"cwd", request.cwd},
                  {"noNewPrivileges", false},
                  {"capabilities", {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}}};
  section["rlimits"] = rlimits_section(step_ulimits(request));
  return section;
}

struct OciMount {
  const char* type;
  std::string source;
  std::vector<std::string> options;
};

OciMount oci_mount(const StepMount& mount, SecurityMode security) {
  OciMount made;
  switch (mount.kind) {
    case MountKind::tree: made = {"bind", mount.source, {"rbind"}}; break;
    case MountKind::file: made = {"bind", mount.source, {"rbind", "nosuid", "noexec", "nodev"}}; break;
    case MountKind::tmpfs:
      made = {"tmpfs", "tmpfs", {"nosuid"}};
      if (mount.tmpfs_size > 0) made.options.push_back(fmt::format("size={}", mount.tmpfs_size));
      break;
    case MountKind::proc: made = {"proc", "proc", {"nosuid", "noexec", "nodev"}}; break;
    case MountKind::dev: made = {"tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}}; break;
    case MountKind::devpts:
      made = {"devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}};
      break;
    case MountKind::shm:
      made = {"tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", shm_size)}};
      break;
    case MountKind::mqueue: made = {"mqueue", "mqueue", {"nosuid", "noexec", "nodev"}}; break;
    case MountKind::sysfs:
      made = {"sysfs", "sysfs", {"nosuid", "noexec", "nodev", security == SecurityMode::insecure ? "rw" : "ro"}};
      break;
  }
  if (mount.access == snapshot::Access::read_only) made.options.emplace_back("ro");
  return made;
}

json mounts_section(const std::vector<StepMount>& mounts, SecurityMode security) {
  json section = json::array();
  for (const StepMount& mount : mounts) {
    const OciMount oci = oci_mount(mount, security);
    section.push_back({{"destination", mount.dest}, {"type", oci.type}, {"source", oci.source}, {"options", oci.options}});
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
    section["maskedPaths"] = masked_paths;
    section["readonlyPaths"] = read_only_paths;
    section["seccomp"] = refused_calls_for_runtime();
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

base::Result<std::string> oci_config(const ExecRequest& request, const StepUser& user,
                                     const std::vector<StepMount>& mounts, std::uint64_t capabilities,
                                     const Runtime& runtime, const StepLimits& told) {
  const json config = {{"ociVersion", "1.0.2"},
                       {"process", process_section(request, user, capability_names(capabilities))},
                       {"root", {{"path", "rootfs"}, {"readonly", request.read_only_root}}},
                       {"hostname", std::string(step_hostname(request))},
                       {"mounts", mounts_section(mounts, request.security)},
                       {"linux", linux_section(request, runtime, told)}};
  // The only exception that writing JSON throws is about UTF-8; it stops here.
  try {
    return config.dump();
  } catch (const json::exception&) {
    return base::fail(ErrorCode::invalid_argument, "describe \"{}\" to the runtime: a text of the step is not UTF-8",
                      request.args.front());
  }
}

}  // namespace cairn::solver

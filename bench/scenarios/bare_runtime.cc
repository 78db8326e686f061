// SPDX-License-Identifier: Apache-2.0
#include "bench/scenarios/bare_runtime.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "libbase/fs/fd.h"
#include "libsolver/exec/oci_config.h"
#include "libsolver/exec/runtime.h"

namespace cairn::bench {

void enter_private_mounts() {
  CHECK(::unshare(CLONE_NEWNS) == 0, "this bench needs root");
  CHECK(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
  CHECK(::mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, nullptr) == 0);
}

solver::ExecRequest true_request(std::string id, const snapshot::MountedTree* tree) {
  solver::ExecRequest request;
  request.id = std::move(id);
  request.args = {"/bin/true"};
  request.network = solver::NetworkMode::host;
  request.mounts.emplace_back();
  request.mounts.back().dest = "/";
  request.mounts.back().tree = tree;
  return request;
}

BareRuntime::BareRuntime(const base::HostPath& dir, const std::string& rootfs, std::string_view runtime)
    : dir_(dir.str()), name_(runtime == "bubblewrap" ? "crun" : runtime) {
  std::filesystem::create_directories(dir_ + "/bundle");
  std::filesystem::copy(rootfs, dir_ + "/bundle/rootfs",
                        std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
  const auto found = solver::find_runtime(name_).value();
  runtime_ = found.path.str();
  const auto config = solver::oci_config(true_request("bare", nullptr), {}, solver::default_mounts(),
                                         solver::step_capabilities(solver::SecurityMode::sandbox), found).value();
  const auto file = base::open_host(dir / "bundle" / "config.json", O_WRONLY | O_CREAT | O_EXCL, 0644);
  CHECK(file && base::write_full(file->get(), config), "write the bundle's config");
}

void BareRuntime::run() const {
  const std::string state = dir_ + "/bare-state", bundle = dir_ + "/bundle";
  std::vector<const char*> command{runtime_.c_str(), "--root", state.c_str()};
  if (name_ == "crun") command.push_back("--cgroup-manager=disabled");
  command.insert(command.end(), {"run", "--bundle", bundle.c_str(), "bare", nullptr});
  ::pid_t child = 0;
  CHECK(::posix_spawn(&child, runtime_.c_str(), nullptr, nullptr, const_cast<char* const*>(command.data()), environ) ==
        0);
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child && status == 0, "the bare runtime ended with {}", status);
}

}  // namespace cairn::bench

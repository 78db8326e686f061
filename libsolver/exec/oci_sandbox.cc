// SPDX-License-Identifier: Apache-2.0
#include "libsolver/exec/oci_sandbox.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "libbase/fs/beneath.h"
#include "libsolver/exec/oci_config.h"

namespace cairn::solver {
namespace {

using base::Fd;

// runc insists on cgroups, and a killed runc leaves them; they are empty, so removing them is all there is to do.
void remove_cgroups(const Runtime& runtime, const std::string& id) {
  const std::string path = "cairn/" + id;
  const Fd context(::fsopen("cgroup2", FSOPEN_CLOEXEC));
  if (context && ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0) {
    const Fd unified(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
    if (unified) (void)::unlinkat(unified.get(), path.c_str(), AT_REMOVEDIR);
  }
  if (runtime.cgroups == CgroupView::private_v2) return;
  const auto dir = base::open_host_dir(*base::HostPath::parse("/sys/fs/cgroup"));
  if (!dir) return;
  const auto hierarchies = base::list_dir(dir->get());
  if (!hierarchies) return;
  for (const base::DirEntry& hierarchy : *hierarchies) {
    (void)::unlinkat(dir->get(), (hierarchy.name + "/" + path).c_str(), AT_REMOVEDIR);
  }
}

class OciRun : public SandboxRun {
 public:
  OciRun(const Runtime& runtime, const Bundle& bundle, const ExecRequest& request)
      : runtime_(runtime), bundle_(bundle), id_(request.id), program_(request.args.front()) {}
  ~OciRun() override {
    if (!runtime_.is_crun()) remove_cgroups(runtime_, id_);
  }

  base::Result<std::optional<base::Error>> failure(int, std::string_view said) const override {
    return runtime_error(runtime_, TRY(bundle_.read_log()), said, program_);
  }

 private:
  const Runtime& runtime_;
  const Bundle& bundle_;
  const std::string id_, program_;
};

}  // namespace

std::string OciSandbox::about() const {
  return runtime_.path.str() + (runtime_.cgroups == CgroupView::private_v2 ? ", with cgroup2 mounted for itself" : "");
}

base::Result<std::unique_ptr<SandboxRun>> OciSandbox::tell(const PreparedStep& step, Bundle& bundle, SpawnPlan& plan) const {
  const std::string config =
      TRY(oci_config(step.request, step.user, step.mounts, step.capabilities, runtime_, step.told));
  TRY(bundle.write("config.json", config));
  plan.command = runtime_command(runtime_, bundle.dir(), step.request.id);
  plan.cgroups = runtime_.cgroups;
  return std::make_unique<OciRun>(runtime_, bundle, step.request);
}

}  // namespace cairn::solver

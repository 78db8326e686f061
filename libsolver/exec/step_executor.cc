// SPDX-License-Identifier: Apache-2.0
// One run: look at the trees, place the mounts, tell the sandbox, start it, hand over its output, tidy up.
#include "libsolver/exec/step_executor.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "libbase/log/log.h"
#include "libsolver/exec/mount_points.h"
#include "libsolver/exec/output_pump.h"
#include "libsolver/exec/step_process.h"

namespace cairn::solver {

using base::ErrorCode;
using base::Fd;
using base::TreePath;
using snapshot::Access;

struct StepExecutor::Mount {
  TreePath dest;
  StepMount told;
  PointKind kind = PointKind::directory;
  Access access = Access::read_write;
  const snapshot::MountedTree* tree = nullptr;  // null: the sandbox mounts it
  Fd content;                                   // the selected part of the tree
};

struct StepExecutor::Run {
  const ExecRequest& request;
  StepUser user;
  std::optional<Bundle> bundle;
  Mount root;
  std::vector<Mount> mounts;  // without the root, in mount order
  std::optional<MountPoints> points;
  std::unique_ptr<SandboxRun> sandbox;
  std::vector<Fd> clones;
  SpawnPlan plan;
  std::optional<Network> network;
  std::optional<StepPlace> place;
  std::string said;  // the beginning of its output
};

namespace {

constexpr std::size_t resolv_conf_size_max = 1 << 20;
constexpr std::size_t said_size_max = 2000;  // more than a sandbox says about a program

// The part of a tree that a mount shows; a directory is opened for use, anything else as a name only.
base::Result<Fd> open_selected(const ExecMount& mount) {
  const TreePath selector = TRY(TreePath::clean(mount.selector), "mount {}", mount.dest);
  auto found = base::open_beneath(mount.tree->fd(), selector, O_PATH, 0, base::Follow::in_root);
  if (!found && found.error().code == ErrorCode::not_found) {
    return base::fail(ErrorCode::invalid_argument, "mount {}: /{} is not in its tree", mount.dest, selector.str());
  }
  Fd content = TRY(std::move(found), "mount {}: open /{} in its tree", mount.dest, selector.str());
  if (!S_ISDIR(TRY(base::stat_fd(content.get())).st_mode)) return content;
  return base::open_beneath(content.get(), TreePath(), O_RDONLY | O_DIRECTORY);
}

base::Result<Fd> clone_mount(const Fd& content, Access access) {
  Fd clone(::open_tree(content.get(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
  if (!clone) return base::fail_errno(errno, "clone the mount of a tree");
  if (access == Access::read_only) {
    struct ::mount_attr attributes = {};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    if (::mount_setattr(clone.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) != 0) {
      return base::fail_errno(errno, "make a mount read-only");
    }
  }
  return clone;
}

base::Result<std::string> resolv_conf() {
  auto text = base::read_file(TRY(base::HostPath::parse("/etc/resolv.conf")), resolv_conf_size_max);
  if (!text && text.error().code == ErrorCode::not_found) return std::string();
  return text;
}

}  // namespace

StepExecutor::StepExecutor(std::shared_ptr<const Sandbox> sandbox, base::HostPath state_dir,
                           std::unique_ptr<Spawner> spawner, TreeTransfer transfer, Cgroups cgroups, StepLimits limits)
    : sandbox_(std::move(sandbox)),
      state_dir_(std::move(state_dir)),
      spawner_(std::move(spawner)),
      transfer_(transfer),
      cgroups_(std::move(cgroups)),
      limits_(limits),
      places_(cgroups_, limits_),
      capabilities_(step_capabilities(SecurityMode::sandbox)),
      insecure_capabilities_(step_capabilities(SecurityMode::insecure)) {}

base::Result<ExecExit> StepExecutor::run(const ExecRequest& request,
                                        const std::function<void(Stream, std::string_view)>& output,
                                        std::stop_token stop) {
  TRY(check_request(request));
  if (stop.stop_requested()) return base::fail(ErrorCode::cancelled, "the step was stopped before it began");
  Run run{request, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}};
  auto result = run_in(run, output, std::move(stop));
  // Whatever became of the step, its tree is left as the step itself made it.
  if (run.points) {
    const auto restored = run.points->restore(request.remove_mount_stubs_recursive ? RemoveStubs::created_parents
                                                                                   : RemoveStubs::last_component);
    if (!restored && result) result = tl::make_unexpected(base::add_context(restored.error(), "tidy up after a step"));
  }
  // A step with all power may have changed them.
  if (request.security == SecurityMode::sandbox) {
    if (run.network) networks_->give_back(*std::exchange(run.network, std::nullopt));
    if (run.place && request.cgroup_parent.empty()) places_.give_back(*std::exchange(run.place, std::nullopt));
  }
  run.sandbox.reset();
  if (run.bundle) {
    const auto removed = std::move(*run.bundle).remove();
    if (!removed) base::log_warning("{}", removed.error().message);
  }
  return result;
}

base::Result<ExecExit> StepExecutor::run_in(Run& run, const std::function<void(Stream, std::string_view)>& output,
                                           std::stop_token stop) {
  run.bundle = TRY(Bundle::create(state_dir_, run.request.id));
  TRY(enter_cgroup(run));
  TRY(enter_network(run, stop));
  TRY(prepare(run));
  TRY(transfer_trees(run));
  Pipe out = TRY(make_pipe());
  Pipe err = TRY(make_pipe());
  run.plan.out = out.write.get();
  run.plan.err = err.write.get();
  auto child = (run.place->spawner ? *run.place->spawner : *spawner_).spawn(run.plan);
  if (!child && transfer_ == TreeTransfer::attach) {
    child.error().code = ErrorCode::unavailable;
    child.error().hint = "before Linux 6.15 a tree can be mounted for one run only; mount the snapshot again";
  }
  if (!child) return tl::make_unexpected(std::move(child).error());
  ++processes_run_;
  out.write.reset();
  err.write.reset();
  const auto hand_over = [&run, &output](Stream stream, std::string_view text) {
    if (run.said.size() <= said_size_max) run.said.append(text.substr(0, said_size_max + 1));
    output(stream, text);
  };
  const auto code = pump_output(*child, std::move(out.read), std::move(err.read), hand_over, std::move(stop));
  return finish(run, TRY(code));
}

base::Status StepExecutor::enter_cgroup(Run& run) {
  if (run.request.cgroup_parent.empty()) {
    run.place.emplace(TRY(places_.take()));
  } else {
    run.place.emplace(StepPlace{TRY(cgroups_.make(run.request.id, run.request.cgroup_parent, limits_)), nullptr});
    run.plan.join = run.place->cgroup.joins();
  }
  run.plan.cgroup = run.place->cgroup.directory();
  return {};
}

base::Status StepExecutor::enter_network(Run& run, std::stop_token stop) {
  if (run.request.network != NetworkMode::sandbox) return {};
  std::call_once(networks_opened_, [&] {
    const auto program = find_program("slirp4netns");
    if (!program) return base::log_info("network sandbox: a step uses the host's network: slirp4netns: {}", program.error().message);
    networks_ = std::make_unique<Networks>(*program, *spawner_);
    auto first = networks_->take({});
    if (first) return networks_->give_back(std::move(*first));
    base::log_info("network sandbox: a step uses the host's network: {}", first.error().message);
    networks_.reset();
  });
  if (!networks_) return {};
  run.network.emplace(TRY(networks_->take(std::move(stop))));
  run.plan.network = run.network->fd();
  return {};
}

base::Status StepExecutor::prepare(Run& run) {
  const ExecRequest& request = run.request;
  for (const ExecMount& mount : request.mounts) {
    if (!mount.dest.starts_with('/')) {
      return base::fail(ErrorCode::invalid_argument, "mount \"{}\": not absolute", mount.dest);
    }
    Mount planned;
    planned.dest = TRY(TreePath::clean(mount.dest), "mount {}", mount.dest);
    planned.access = mount.read_only ? Access::read_only : Access::read_write;
    planned.tree = mount.tree;
    if (mount.tree == nullptr) {
      planned.told = {MountKind::tmpfs, {}, {}, planned.access, mount.tmpfs_size};
    } else {
      planned.content = TRY(open_selected(mount));
      const bool is_directory = S_ISDIR(TRY(base::stat_fd(planned.content.get())).st_mode);
      planned.kind = is_directory ? PointKind::directory : PointKind::file;
    }
    if (!planned.dest.is_root()) {
      run.mounts.push_back(std::move(planned));
    } else if (run.root.tree == nullptr && planned.tree != nullptr && planned.kind == PointKind::directory) {
      run.root = std::move(planned);
    } else {
      return base::fail(ErrorCode::invalid_argument, "mount /: the root is one directory tree");
    }
  }
  if (run.root.tree == nullptr) return base::fail(ErrorCode::invalid_argument, "run a step: no mount at /");
  run.user = TRY(resolve_user_in(run.root.content.get(), request.user));
  return place_mounts(run);
}

// Defaults first, then the generated files, then the step's own by destination; a step's mount on the destination of
// an earlier one takes its place in the order (spec/solver 6.2).
base::Status StepExecutor::place_mounts(Run& run) {
  std::stable_sort(run.mounts.begin(), run.mounts.end(),
                   [](const Mount& a, const Mount& b) { return a.dest.str() < b.dest.str(); });
  std::vector<Mount> own = std::move(run.mounts);
  run.mounts.clear();
  const auto put = [&run](Mount mount) {
    const auto same = std::find_if(run.mounts.begin(), run.mounts.end(),
                                   [&mount](const Mount& other) { return other.dest == mount.dest; });
    if (same == run.mounts.end()) {
      run.mounts.push_back(std::move(mount));
    } else {
      *same = std::move(mount);
    }
  };
  for (StepMount& each : default_mounts()) {
    Mount mount;
    mount.dest = TRY(TreePath::parse(each.dest));
    mount.told = std::move(each);
    put(std::move(mount));
  }
  std::string name_servers = TRY(resolv_conf());
  if (run.network) name_servers = network_resolv_conf(name_servers);
  TRY(run.bundle->write("resolv.conf", name_servers));
  TRY(run.bundle->write("hosts", hosts_file(run.request)));
  for (const std::string name : {"resolv.conf", "hosts"}) {
    Mount mount;
    mount.dest = TRY(TreePath::parse("etc/" + name));
    mount.kind = PointKind::file;
    mount.told = {MountKind::file, {}, run.bundle->path(name), Access::read_only, 0};
    put(std::move(mount));
  }
  for (Mount& mount : own) put(std::move(mount));

  run.points.emplace(run.root.content.get());
  std::vector<StepMount> told;
  for (Mount& mount : run.mounts) {
    if (mount.tree != nullptr) mount.told = {MountKind::tree, {}, TRY(run.bundle->add_target("m", mount.kind)), mount.access, 0};
    const int content = mount.tree != nullptr && mount.kind == PointKind::directory ? mount.content.get() : -1;
    mount.told.dest = TRY(run.points->add(mount.dest, mount.kind, content, mount.access));
    told.push_back(mount.told);
  }
  const TreePath cwd = TRY(TreePath::clean(run.request.cwd), "working directory");
  TRY(run.points->make_cwd(cwd, run.user));
  const std::uint64_t capabilities =
      run.request.security == SecurityMode::insecure ? insecure_capabilities_ : capabilities_;
  const PreparedStep step{run.request, run.user, told, capabilities, cgroups_.is_v2() ? limits_ : StepLimits()};
  run.sandbox = TRY(sandbox_->tell(step, *run.bundle, run.plan));
  return {};
}

base::Status StepExecutor::transfer_trees(Run& run) {
  run.plan.attach.push_back({run.bundle->mount(), run.bundle->dir()});
  std::vector<std::pair<const Mount*, std::string>> targets{{&run.root, run.bundle->path("rootfs")}};
  for (const Mount& mount : run.mounts) {
    if (mount.tree != nullptr) targets.emplace_back(&mount, mount.told.source);
  }
  std::vector<const snapshot::MountedTree*> attached;
  for (const auto& [mount, path] : targets) {
    // The sandbox makes the root read-only itself, once the mount points are in use.
    const Access access = mount == &run.root ? Access::read_write : mount->access;
    if (transfer_ == TreeTransfer::clone) {
      run.clones.push_back(TRY(clone_mount(mount->content, access), "mount /{}", mount->dest.str()));
      run.plan.attach.push_back({run.clones.back().get(), path});
      continue;
    }
    if (std::find(attached.begin(), attached.end(), mount->tree) == attached.end()) {
      attached.push_back(mount->tree);
      run.plan.attach.push_back({mount->tree->fd(), TRY(run.bundle->add_target("t", PointKind::directory))});
    }
    run.plan.bind.push_back({mount->content.get(), path, access});
  }
  return {};
}

base::Result<ExecExit> StepExecutor::finish(const Run& run, int code) const {
  if (code != 0) {
    const std::string_view said = run.said.size() <= said_size_max ? std::string_view(run.said) : std::string_view();
    if (auto error = TRY(run.sandbox->failure(code, said))) return tl::make_unexpected(std::move(*error));
  }
  const auto& valid = run.request.valid_exit_codes;
  const bool is_valid = valid.empty() ? code == 0 : std::find(valid.begin(), valid.end(), code) != valid.end();
  return ExecExit{code, is_valid, is_valid ? std::string() : run.place->cgroup.what_limits_did()};
}

}  // namespace cairn::solver

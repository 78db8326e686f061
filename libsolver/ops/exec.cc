// SPDX-License-Identifier: Apache-2.0
// An exec step: forks the trees it may write, mounts them and the ones it reads, runs the process, and commits what it
// wrote (spec/solver 6.1). Nothing is forked or mounted before its lookup has missed.
#include <sys/statvfs.h>

#include <algorithm>
#include <atomic>

#include "libsolver/ops/ops.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Result;
using base::Status;

// A process that failed while less is left has most likely met the end of the disk. (File systems refuse the last blocks:
// ext4 has 0.2 MiB left where it takes no more of one large file.)
constexpr std::uint64_t disk_full_below = 4 << 20;

std::string join_path(const std::string& base_dir, const std::string& path) {
  return path.starts_with('/') ? path : (base_dir.empty() ? "/" : base_dir) + "/" + path;
}

NetworkMode network_of(wire::NetMode mode) {
  switch (mode) {
    case wire::NetMode::host: return NetworkMode::host;
    case wire::NetMode::none: return NetworkMode::none;
    case wire::NetMode::unset: break;
  }
  return NetworkMode::sandbox;
}

// One mount of the step while it runs.
struct Prepared {
  const wire::Mount* mount = nullptr;
  OptionalRef input;                        // what is under it, if anything
  std::optional<cache::MutableRef> fork;    // what it writes to
  snapshot::MountedTree tree;
};

class ExecStep final : public PureOp {
 public:
  ExecStep(std::shared_ptr<const Vertex> vertex, const wire::ExecOp& exec, std::uint32_t outputs)
      : PureOp(std::move(vertex)), exec_(exec), outputs_(outputs) {}

  Result<OpOutputs> execute(std::span<const OptionalRef> inputs, const OpContext& context,
                            cache::Publication& publication) override {
    Executor& executor = *TRY(context.executor());
    std::vector<Prepared> mounts;
    for (const wire::Mount& mount : exec_.mounts) mounts.push_back(TRY(prepare(mount, inputs, context), "prepare mount {}", mount.dest));
    const ExecRequest request = make_request(mounts);
    const ExecExit exit = TRY(executor.run(request, context.output, context.stop));
    if (!exit.valid) {
      // Looked at while what the process wrote is still there.
      if (const auto full = full_disk(mounts))
        return base::fail(ErrorCode::no_space, "process \"{}\" did not complete successfully: exit code: {}: {}",
                          fmt::join(exec_.meta->args, " "), exit.code, *full);
      return base::fail(ErrorCode::io, "process \"{}\" did not complete successfully: exit code: {}",
                        fmt::join(exec_.meta->args, " "), exit.code);
    }
    return commit(std::move(mounts), publication);
  }

  std::uint32_t outputs() const override { return outputs_; }

 private:
  Result<Prepared> prepare(const wire::Mount& mount, std::span<const OptionalRef> inputs, const OpContext& context) {
    Prepared prepared;
    prepared.mount = &mount;
    if (mount.type == wire::MountType::tmpfs) return prepared;
    if (mount.input >= 0) prepared.input = inputs[static_cast<std::size_t>(mount.input)];
    const bool is_root = mount.dest == "/";
    // A read-only root is forked too, so that mount points can be made in it; the fork is thrown away.
    if (!mount.readonly || is_root || !prepared.input) {
      prepared.fork = TRY(context.cache.create(prepared.input));
      prepared.tree = TRY(prepared.fork->mount(snapshot::Access::read_write));
    } else {
      prepared.tree = TRY(prepared.input->mount());
    }
    return prepared;
  }

  // "the disk of the store is full (0 bytes free)", if one that the process wrote to is.
  static std::optional<std::string> full_disk(const std::vector<Prepared>& mounts) {
    for (const Prepared& mount : mounts) {
      struct ::statvfs disk {};
      if (!mount.fork || ::fstatvfs(mount.tree.fd(), &disk) != 0) continue;
      const std::uint64_t free = disk.f_bavail * disk.f_frsize;
      if (free < disk_full_below) return fmt::format("the disk of the store is full ({} bytes free)", free);
      if (disk.f_files != 0 && disk.f_favail == 0) return std::string("the disk of the store has no inodes left");
    }
    return std::nullopt;
  }

  ExecRequest make_request(const std::vector<Prepared>& mounts) const {
    static std::atomic<std::uint64_t> counter{0};
    const wire::Meta& meta = *exec_.meta;
    ExecRequest request;
    request.id = fmt::format("{}-{}", vertex_->digest.hex().substr(0, 12), ++counter);
    request.args = meta.args;
    request.env = meta.env;
    if (meta.proxy_env) add_proxy_env(*meta.proxy_env, request.env);
    request.cwd = join_path("/", meta.cwd);
    request.user = meta.user;
    request.hostname = meta.hostname;
    request.network = network_of(exec_.network);
    request.valid_exit_codes = meta.valid_exit_codes;
    request.remove_mount_stubs_recursive = meta.remove_mount_stubs_recursive;
    for (const wire::HostIp& host : meta.extra_hosts) request.extra_hosts.emplace_back(host.host, host.ip);
    for (const Prepared& prepared : mounts) {
      const wire::Mount& mount = *prepared.mount;
      ExecMount& place = request.mounts.emplace_back();
      place.dest = join_path(meta.cwd, mount.dest);
      place.tree = prepared.tree ? &prepared.tree : nullptr;
      place.selector = mount.selector;
      place.read_only = mount.readonly && mount.dest != "/";
      if (mount.tmpfs) place.tmpfs_size = mount.tmpfs->size;
      if (mount.dest == "/") request.read_only_root = mount.readonly;
    }
    return request;
  }

  // Both spellings, as programs differ in which they read.
  static void add_proxy_env(const wire::ProxyEnv& proxy, std::vector<std::string>& env) {
    const std::pair<std::string, const std::string&> entries[] = {{"http_proxy", proxy.http_proxy},
                                                                  {"https_proxy", proxy.https_proxy},
                                                                  {"ftp_proxy", proxy.ftp_proxy},
                                                                  {"no_proxy", proxy.no_proxy},
                                                                  {"all_proxy", proxy.all_proxy}};
    for (const auto& [name, value] : entries) {
      if (value.empty()) continue;
      std::string upper = name;
      std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      env.push_back(upper + "=" + value);
      env.push_back(name + "=" + value);
    }
  }

  Result<OpOutputs> commit(std::vector<Prepared> mounts, cache::Publication& publication) {
    OpOutputs outputs;
    outputs.refs.resize(outputs_);
    for (Prepared& prepared : mounts) {
      const wire::Mount& mount = *prepared.mount;
      prepared.tree = {};
      if (mount.output < 0) continue;
      OptionalRef& output = outputs.refs[static_cast<std::size_t>(mount.output)];
      if (mount.readonly && mount.dest != "/") {
        output = std::move(prepared.input);
        continue;
      }
      cache::RecordFacts facts;
      facts.description = mount.dest == "/" ? vertex_->name : fmt::format("{} ({})", vertex_->name, mount.dest);
      output = TRY(std::move(*prepared.fork).commit(publication, std::move(facts)), "commit {}", mount.dest);
    }
    return outputs;
  }

  const wire::ExecOp& exec_;  // in *vertex_
  std::uint32_t outputs_;
};

Status check_mount(const wire::Mount& mount, std::size_t inputs, std::vector<bool>& outputs) {
  if (mount.type == wire::MountType::secret || mount.type == wire::MountType::ssh || mount.type == wire::MountType::cache) {
    const char* kind = mount.type == wire::MountType::secret ? "secret" : mount.type == wire::MountType::ssh ? "ssh" : "cache";
    return base::fail(ErrorCode::unavailable, "not supported: {} mount {} of exec op", kind, mount.dest);
  }
  if (mount.input >= static_cast<std::int64_t>(inputs)) {
    return base::fail(ErrorCode::invalid_argument, "mount {} takes input {} of {}", mount.dest, mount.input, inputs);
  }
  if (mount.output < 0) return {};
  if (mount.type != wire::MountType::bind) {
    return base::fail(ErrorCode::invalid_argument, "mount {} cannot have an output", mount.dest);
  }
  // Each output belongs to one mount, and a mount each: more outputs than mounts leave a hole.
  const auto index = static_cast<std::size_t>(mount.output);
  if (index >= outputs.size() || outputs[index]) {
    return base::fail(ErrorCode::invalid_argument, "mount {} has output {}, which is taken or out of order", mount.dest, mount.output);
  }
  outputs[index] = true;
  return {};
}

}  // namespace

Result<std::unique_ptr<Op>> make_exec(std::shared_ptr<const Vertex> vertex, const wire::ExecOp& exec) {
  CHECK(exec.meta.has_value(), "loading checks that");
  if (exec.security != wire::SecurityMode::sandbox) return base::fail(ErrorCode::unavailable, "not supported: security mode insecure of exec op");
  if (!exec.secret_env.empty()) return base::fail(ErrorCode::unavailable, "not supported: secret environment of exec op");
  if (!exec.cdi_devices.empty()) return base::fail(ErrorCode::unavailable, "not supported: CDI devices of exec op");
  if (!exec.meta->ulimits.empty()) return base::fail(ErrorCode::unavailable, "not supported: ulimits of exec op");
  if (!exec.meta->cgroup_parent.empty()) return base::fail(ErrorCode::unavailable, "not supported: cgroup parent of exec op");
  std::vector<bool> outputs(exec.mounts.size(), false);
  for (const wire::Mount& mount : exec.mounts) TRY(check_mount(mount, vertex->inputs.size(), outputs));
  const auto count = static_cast<std::uint32_t>(std::count(outputs.begin(), outputs.end(), true));
  if (std::find(outputs.begin(), outputs.begin() + count, false) != outputs.begin() + count) {
    return base::fail(ErrorCode::invalid_argument, "the outputs of an exec op are not numbered without gaps");
  }
  return std::make_unique<ExecStep>(std::move(vertex), exec, count);
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// Processes: their mounts in the order of their paths, outputs numbered over those that can be written and kept.
#include <algorithm>

#include "libsolver/llb/node.h"

namespace cairn::solver::llb {
namespace {

bool has_output(const Mount& mount) {
  return !mount.no_output && !mount.read_only && mount.cache_id.empty() && !mount.tmpfs;
}

void need_capabilities(Node& node, const Mount& mount) {
  if (!mount.selector.empty()) node.need_capability("exec.mount.selector");
  if (!mount.cache_id.empty()) {
    node.need_capability("exec.mount.cache");
    node.need_capability("exec.mount.cache.sharing");
  } else if (mount.tmpfs) {
    node.need_capability("exec.mount.tmpfs");
    if (mount.tmpfs_size > 0) node.need_capability("exec.mount.tmpfs.size");
  } else if (!mount.source.is_scratch()) {
    node.need_capability("exec.mount.bind");
  }
  if (mount.no_output) node.need_capability("exec.mount.bind.readwrite-nooutput");
  if (mount.content_cache != wire::ContentCache::by_default) node.need_capability("exec.mount.cache.content");
}

wire::Mount wire_mount(const Mount& mount, std::int64_t input, std::int64_t output) {
  wire::Mount out;
  out.input = input;
  out.selector = mount.selector;
  out.dest = mount.dest;
  out.output = output;
  out.readonly = mount.read_only;
  out.content_cache = mount.content_cache;
  if (!mount.cache_id.empty()) {
    out.type = wire::MountType::cache;
    out.cache = wire::CacheOpt{mount.cache_id, mount.cache_sharing, {}};
  }
  if (mount.tmpfs) {
    out.type = wire::MountType::tmpfs;
    out.tmpfs = wire::TmpfsOpt{mount.tmpfs_size, {}};
  }
  return out;
}

// Mounts may share an input; inputs are numbered as the sorted mounts first use them.
void add_mounts(Node& node, wire::ExecOp& exec, std::vector<Mount> mounts) {
  for (const auto& mount : mounts) {
    need_capabilities(node, mount);
    if (!mount.source.is_scratch()) node.need_state(mount.source);  // needs keeps the author's order, inputs the sorted
  }
  std::stable_sort(mounts.begin(), mounts.end(), [](const Mount& a, const Mount& b) { return a.dest < b.dest; });
  std::int64_t outputs = 0;
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    const Mount& mount = mounts[i];
    if (i > 0 && mounts[i - 1].dest == mount.dest) {
      node.error = base::Error{base::ErrorCode::invalid_argument, fmt::format("two mounts at {}", mount.dest), {}};
    }
    std::int64_t input = wire::no_input;
    if (!mount.source.is_scratch()) {
      const std::size_t need = node.need_state(mount.source);
      const auto known = std::find(node.inputs.begin(), node.inputs.end(), need);
      input = known - node.inputs.begin();
      if (known == node.inputs.end()) node.inputs.push_back(need);
    }
    exec.mounts.push_back(wire_mount(mount, input, has_output(mount) ? outputs++ : wire::no_output));
  }
}

void add_secrets(Node& node, wire::ExecOp& exec, const std::vector<Secret>& secrets) {
  for (const auto& secret : secrets) {
    if (!secret.env.empty()) {
      exec.secret_env.push_back({secret.id, secret.env, secret.optional, {}});
      node.need_capability("exec.secretenv");
    }
    if (secret.dest.empty()) continue;
    wire::Mount mount;
    mount.input = wire::no_input;
    mount.dest = secret.dest;
    mount.type = wire::MountType::secret;
    mount.secret = wire::SecretOpt{secret.id, secret.uid, secret.gid, secret.mode, secret.optional, {}};
    exec.mounts.push_back(std::move(mount));
    node.need_capability("exec.mount.secret");
  }
}

void add_ssh(Node& node, wire::ExecOp& exec, std::vector<Ssh> sockets) {
  if (sockets.empty()) return;
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    if (sockets[i].dest.empty()) sockets[i].dest = fmt::format("/run/buildkit/ssh_agent.{}", i);
  }
  std::vector<std::string>& env = exec.meta->env;
  const auto is_set = [](const std::string& variable) { return variable.starts_with("SSH_AUTH_SOCK="); };
  if (std::none_of(env.begin(), env.end(), is_set)) env.push_back("SSH_AUTH_SOCK=" + sockets.front().dest);
  for (const Ssh& socket : sockets) {
    wire::Mount mount;
    mount.input = wire::no_input;
    mount.dest = socket.dest;
    mount.type = wire::MountType::ssh;
    mount.ssh = wire::SshOpt{socket.id, socket.uid, socket.gid, socket.mode, socket.optional, {}};
    exec.mounts.push_back(std::move(mount));
  }
  node.need_capability("exec.mount.ssh");
}

}  // namespace

ExecState State::run(std::vector<std::string> args, const RunOptions& options) const {
  auto node = std::make_shared<Node>();
  State inside = *this;
  for (const auto& [key, value] : options.env) inside = inside.env(key, value);
  const Values& state_values = inside.values();

  wire::ExecOp exec;
  wire::Meta& meta = exec.meta.emplace();
  meta.args = std::move(args);
  for (const auto& [key, value] : state_values.env) meta.env.push_back(fmt::format("{}={}", key, value));
  meta.cwd = options.cwd.empty() ? state_values.dir : options.cwd;
  if (meta.cwd.empty()) meta.cwd = "/";
  meta.user = options.user.empty() ? state_values.user : options.user;
  meta.remove_mount_stubs_recursive = true;
  meta.hostname = options.hostname;
  for (const auto& [name, address] : options.extra_hosts) meta.extra_hosts.push_back({name, address, {}});
  meta.ulimits = options.ulimits;
  meta.cgroup_parent = options.cgroup_parent;
  meta.valid_exit_codes = options.valid_exit_codes;
  meta.proxy_env = options.proxy_env;
  exec.network = options.network;
  exec.security = options.security;
  exec.cdi_devices = options.devices;
  node->need_capability("exec.meta.base");
  if (!meta.ulimits.empty()) node->need_capability("exec.meta.ulimit");
  if (!meta.valid_exit_codes.empty()) node->need_capability("exec.validexitcode");
  if (options.network != wire::NetMode::unset) node->need_capability("exec.meta.network");
  if (options.security != wire::SecurityMode::sandbox) node->need_capability("exec.meta.security");
  if (!options.devices.empty()) node->need_capability("exec.meta.cdi");
  if (options.proxy_env) node->need_capability("exec.meta.proxyenv");

  std::vector<Mount> mounts{Mount{.dest = "/", .source = *this, .read_only = options.read_only_root}};
  mounts.insert(mounts.end(), options.mounts.begin(), options.mounts.end());
  add_mounts(*node, exec, std::move(mounts));
  add_secrets(*node, exec, options.secrets);
  add_ssh(*node, exec, options.ssh);
  if (meta.args.empty()) node->error = base::Error{base::ErrorCode::invalid_argument, "a process without arguments", {}};

  node->folds_inputs = true;
  node->platform_use = PlatformUse::wanted;
  node->platform = options.platform ? options.platform : state_values.platform;
  node->note(options.notes);
  node->name(options.name);
  node->op.op = std::move(exec);
  return ExecState(*this, std::move(node));
}

ExecState State::run(std::vector<std::string> args) const { return run(std::move(args), RunOptions{}); }
ExecState State::shell(std::string_view line, const RunOptions& options) const {
  return run({"/bin/sh", "-c", std::string(line)}, options);
}
ExecState State::shell(std::string_view line) const { return shell(line, RunOptions{}); }

State ExecState::mount_output(std::string_view dest) const {
  for (const auto& mount : std::get<wire::ExecOp>(node_->op.op).mounts) {
    const bool is_output = mount.output != wire::no_output && mount.type == wire::MountType::bind;
    if (mount.dest == dest && is_output) return before_.on(node_, mount.output);
  }
  return wrong(fmt::format("the process has no output at {}", dest));
}

}  // namespace cairn::solver::llb

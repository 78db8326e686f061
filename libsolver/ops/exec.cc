// SPDX-License-Identifier: Apache-2.0
// An exec step: forks the trees it may write, mounts them and the ones it reads, runs the process, and commits what it
// wrote (spec/solver 6.1). Nothing is forked or mounted before its lookup has missed.
#include <sys/statvfs.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>

#include "libbase/crash_point.h"
#include "libsolver/exec/agent_socket.h"
#include "libsolver/exec/secret_tree.h"
#include "libsolver/ops/cache_mounts.h"
#include "libsolver/ops/ops.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Result;
using base::Status;

// A process that failed while less is left has most likely met the end of the disk. (File systems refuse the last blocks:
// ext4 has 0.2 MiB left where it takes no more of one large file.)
constexpr std::uint64_t disk_full_below = 4 << 20;

// Of output that is handed on, both streams together: as much as BuildKit keeps (spec/solver 6.3).
constexpr std::size_t log_max = 2 << 20;

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
  OptionalRef input{};                      // what is under it, if anything
  std::optional<cache::MutableRef> fork{};  // what it writes to
  snapshot::MountedTree tree{};
  std::optional<CacheMountUse> cache{};     // instead of fork and tree
  std::optional<AgentSocket> agent{};       // outlives its use in tree

  const snapshot::MountedTree& shown() const { return cache ? cache->tree() : tree; }
  bool is_written() const { return fork || cache; }
};

// What the client has given of what the step names, and wants of it if it fails.
struct Given {
  std::map<std::string, std::string> secrets;
  std::map<std::string, base::HostPath> agents;
  CacheMountOnFail cache_mount_on_fail = CacheMountOnFail::keep;
  FailedTrees failed_trees = FailedTrees::drop;
};

const std::string& agent_of(const wire::Mount& mount) {
  static const std::string usual = "default";
  return mount.ssh->id.empty() ? usual : mount.ssh->id;
}

// Not by a signal, after which what it wrote may be half of something.
bool ended_by_itself(const ExecExit& exit) { return exit.code < 128; }

// As much of a step's output as anybody reads; the rest is read from the process and dropped.
std::function<void(Stream, std::string_view)> capped(std::function<void(Stream, std::string_view)> output) {
  return [output = std::move(output), left = std::size_t{log_max}](Stream stream, std::string_view bytes) mutable {
    if (left == 0) return;
    const std::string_view shown = bytes.substr(0, left);
    output(stream, shown);
    left -= shown.size();
    if (left == 0) output(Stream::err, fmt::format("\n[the step has written {} bytes of output; more is not shown]\n", log_max));
  };
}

class ExecStep final : public PureOp {
 public:
  ExecStep(std::shared_ptr<const Vertex> vertex, const wire::ExecOp& exec, std::uint32_t outputs, Given given)
      : PureOp(std::move(vertex)),
        exec_(exec),
        outputs_(outputs),
        given_(std::move(given)) {}

  Result<OpOutputs> execute(std::span<const OptionalRef> inputs, const OpContext& context,
                            cache::Publication& publication) override {
    TRY(check_given());
    Executor& executor = *TRY(context.executor());
    const auto turns = TRY(take_turns(inputs, context));
    std::vector<Prepared> mounts;
    for (const wire::Mount& mount : exec_.mounts) {
      if (is_left_out(mount)) continue;
      mounts.push_back(TRY(prepare(mount, inputs, context), "prepare mount {}", mount.dest));
    }
    const ExecRequest request = make_request(mounts);
    const ExecExit exit = TRY(executor.run(request, capped(context.output), context.stop));
    // Looked at while what the process wrote is still there.
    const auto full = exit.valid ? std::nullopt : full_disk(mounts);
    if (!full && (exit.valid || (given_.cache_mount_on_fail == CacheMountOnFail::keep && ended_by_itself(exit)))) keep_cache_mounts(mounts, context);
    if (!exit.valid) {
      if (full)
        return base::fail(ErrorCode::no_space, "process \"{}\" did not complete successfully: exit code: {}: {}",
                          fmt::join(exec_.meta->args, " "), exit.code, *full);
      const bool keeps = given_.failed_trees == FailedTrees::keep && ended_by_itself(exit);
      const auto kept = keeps ? keep_failed_trees(mounts, context) : std::vector<KeptTree>();
      auto error = base::fail(ErrorCode::io, "process \"{}\" did not complete successfully: exit code: {}{}{}{}",
                              fmt::join(exec_.meta->args, " "), exit.code, exit.note.empty() ? "" : ": ", exit.note, text_of(kept));
      if (!kept.empty()) error.value().hint = fmt::format("look at a tree that was kept: cachectl record export {} DIR", kept.front().record.value());
      return error;
    }
    return commit(std::move(mounts), publication);
  }

  std::uint32_t outputs() const override { return outputs_; }

 private:
  Result<Prepared> prepare(const wire::Mount& mount, std::span<const OptionalRef> inputs, const OpContext& context) {
    Prepared prepared;
    prepared.mount = &mount;
    if (mount.type == wire::MountType::tmpfs) return prepared;
    if (mount.type == wire::MountType::secret) {
      const wire::SecretOpt& secret = *mount.secret;
      prepared.tree = TRY(make_secret_tree(given_.secrets.at(secret.id), {.owner = secret.uid, .group = secret.gid, .mode = secret.mode}));
      return prepared;
    }
    if (mount.type == wire::MountType::ssh) {
      const wire::SshOpt& ssh = *mount.ssh;
      prepared.agent = TRY(AgentSocket::open(given_.agents.at(agent_of(mount)), {.owner = ssh.uid, .group = ssh.gid, .mode = ssh.mode}));
      prepared.tree = prepared.agent->take_tree();
      return prepared;
    }
    if (mount.input >= 0) prepared.input = inputs[static_cast<std::size_t>(mount.input)];
    if (mount.type == wire::MountType::cache) {
      const bool shares = mount.cache->sharing == wire::CacheSharing::shared && TRY(context.executor())->shares_trees();
      prepared.cache.emplace(TRY(CacheMountUse::open({.cache = context.cache,
                                                      .queues = context.cache_mounts,
                                                      .live = shares ? context.live_cache_mounts : nullptr,
                                                      .id = mount.cache->id,
                                                      .begin = prepared.input,
                                                      .owner = context.owner},
                                                     context.stop)));
      return prepared;
    }
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

  // What it names and need not have.
  bool is_left_out(const wire::Mount& mount) const {
    if (mount.type == wire::MountType::secret) return !given_.secrets.contains(mount.secret->id);
    return mount.type == wire::MountType::ssh && !given_.agents.contains(agent_of(mount));
  }

  Status check_given() const {
    const auto check = [this](const std::string& id, bool optional) -> Status {
      if (optional || given_.secrets.contains(id)) return {};
      auto error = base::fail(ErrorCode::not_found, "the secret \"{}\" is not given", id);
      error.value().hint = fmt::format("add --secret id={},src=FILE", id);
      return error;
    };
    for (const wire::Mount& mount : exec_.mounts) {
      if (mount.type == wire::MountType::secret) TRY(check(mount.secret->id, mount.secret->optional));
      if (mount.type != wire::MountType::ssh || mount.ssh->optional || given_.agents.contains(agent_of(mount))) continue;
      auto error = base::fail(ErrorCode::not_found, "the ssh agent \"{}\" is not given", agent_of(mount));
      error.value().hint = fmt::format("add --ssh {}, or --ssh {}=SOCKET", agent_of(mount), agent_of(mount));
      return error;
    }
    for (const wire::SecretEnv& secret : exec_.secret_env) TRY(check(secret.id, secret.optional));
    return {};
  }

  // In one order for all steps, so that no two wait for each other.
  Result<std::vector<CacheMountTurns::Turn>> take_turns(std::span<const OptionalRef> inputs, const OpContext& context) const {
    std::set<KeyDigest> keys;
    for (const wire::Mount& mount : exec_.mounts) {
      if (mount.type != wire::MountType::cache || mount.cache->sharing != wire::CacheSharing::locked) continue;
      keys.insert(cache_mount_key(mount.cache->id, mount.input < 0 ? OptionalRef() : inputs[static_cast<std::size_t>(mount.input)]));
    }
    std::vector<CacheMountTurns::Turn> turns;
    for (const KeyDigest& key : keys) turns.push_back(TRY(context.cache_mounts.locked.take(key, context.stop)));
    return turns;
  }

  // A step that fails keeps them, too: what a compiler has cached is as good as before.
  void keep_cache_mounts(std::vector<Prepared>& mounts, const OpContext& context) const {
    for (Prepared& prepared : mounts) {
      if (!prepared.cache) continue;
      const std::string description = fmt::format("cache mount {} of {}", prepared.mount->dest, vertex_->name);
      const auto kept = prepared.cache->keep(description);
      if (!kept) context.output(Stream::err, fmt::format("cache mount {} is not kept: {}\n", prepared.mount->dest, kept.error().message));
    }
  }

  // As records that no key leads to. They are durable when this returns.
  std::vector<KeptTree> keep_failed_trees(std::vector<Prepared>& mounts, const OpContext& context) const {
    std::vector<KeptTree> kept;
    const auto keep = [&]() -> Status {
      cache::Publication publication;
      publication.owned_by(context.owner);
      for (Prepared& prepared : mounts) {
        const std::string& dest = prepared.mount->dest;
        if (!prepared.fork || prepared.mount->readonly) continue;
        prepared.tree = {};
        cache::RecordFacts facts;
        facts.description = fmt::format("failed: {}, mount {}", vertex_->name, dest);
        kept.push_back({dest, TRY(std::move(*prepared.fork).commit(publication, std::move(facts)), "commit {}", dest).id()});
      }
      TRY(context.cache.writer().wait_durable(TRY(context.cache.publish(std::move(publication))), context.stop));
      CRASH_POINT("solver.exec.failed_trees_kept");
      return {};
    };
    if (const Status done = keep(); !done) {
      context.output(Stream::err, fmt::format("the trees of the failed step are not kept: {}\n", done.error().message));
      return {};
    }
    if (context.kept) std::for_each(kept.begin(), kept.end(), context.kept);
    return kept;
  }

  // "; kept: / is record 12, /out is record 13"
  static std::string text_of(const std::vector<KeptTree>& kept) {
    std::string text;
    for (const KeptTree& tree : kept) text += fmt::format("{} {} is record {}", text.empty() ? "; kept:" : ",", tree.mount, tree.record.value());
    return text;
  }

  // "the disk of the store is full (0 bytes free)", if one that the process wrote to is.
  static std::optional<std::string> full_disk(const std::vector<Prepared>& mounts) {
    for (const Prepared& mount : mounts) {
      struct ::statvfs disk {};
      if (!mount.is_written() || ::fstatvfs(mount.shown().fd(), &disk) != 0) continue;
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
    if (exec_.security == wire::SecurityMode::insecure) request.security = SecurityMode::insecure;
    request.cgroup_parent = meta.cgroup_parent;
    request.valid_exit_codes = meta.valid_exit_codes;
    request.remove_mount_stubs_recursive = meta.remove_mount_stubs_recursive;
    for (const wire::HostIp& host : meta.extra_hosts) request.extra_hosts.emplace_back(host.host, host.ip);
    for (const wire::Ulimit& ulimit : meta.ulimits) request.ulimits.push_back({ulimit.name, ulimit.soft, ulimit.hard});
    for (const wire::SecretEnv& secret : exec_.secret_env) {
      const auto found = given_.secrets.find(secret.id);
      if (found != given_.secrets.end()) request.env.push_back(secret.name + "=" + found->second);
    }
    for (const Prepared& prepared : mounts) {
      const wire::Mount& mount = *prepared.mount;
      ExecMount& place = request.mounts.emplace_back();
      place.dest = join_path(meta.cwd, mount.dest);
      place.tree = prepared.shown() ? &prepared.shown() : nullptr;
      place.selector = mount.selector;
      place.read_only = mount.readonly && mount.dest != "/";
      if (mount.tmpfs) place.tmpfs_size = mount.tmpfs->size;
      if (mount.type == wire::MountType::secret) {
        place.selector = secret_file;
        place.read_only = true;
      }
      if (mount.type == wire::MountType::ssh) place.selector = AgentSocket::file;
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
      if (mount.output < 0 || mount.type == wire::MountType::secret || mount.type == wire::MountType::ssh) continue;
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
  Given given_;
};

Status check_mount(const wire::Mount& mount, std::size_t inputs, std::vector<bool>& outputs) {
  if (mount.type == wire::MountType::ssh && !mount.ssh) {
    return base::fail(ErrorCode::invalid_argument, "ssh mount {} says nothing of its agent", mount.dest);
  }
  if (mount.type == wire::MountType::secret && !mount.secret) {
    return base::fail(ErrorCode::invalid_argument, "secret mount {} names no secret", mount.dest);
  }
  if (mount.type == wire::MountType::cache && (!mount.cache || mount.cache->id.empty())) {
    return base::fail(ErrorCode::invalid_argument, "cache mount {} has no id", mount.dest);
  }
  if (mount.input >= static_cast<std::int64_t>(inputs)) {
    return base::fail(ErrorCode::invalid_argument, "mount {} takes input {} of {}", mount.dest, mount.input, inputs);
  }
  // A client says nothing of their outputs, which reads as the number 0.
  if (mount.output < 0 || mount.type == wire::MountType::secret || mount.type == wire::MountType::ssh) return {};
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

tl::unexpected<base::Error> not_allowed(const char* entitlement) {
  auto error = base::fail(ErrorCode::invalid_argument, "{} is not allowed", entitlement);
  error.value().hint = fmt::format("add --allow {}", entitlement);
  return error;
}

}  // namespace

Result<std::unique_ptr<Op>> make_exec(std::shared_ptr<const Vertex> vertex, const wire::ExecOp& exec,
                                      const SolveRequest& request) {
  CHECK(exec.meta.has_value(), "loading checks that");
  if (exec.security == wire::SecurityMode::insecure && !request.allowed.insecure) return not_allowed("security.insecure");
  if (exec.network == wire::NetMode::host && !request.allowed.host_network) return not_allowed("network.host");
  const auto needed = [](const wire::CdiDevice& device) { return !device.optional; };
  if (std::any_of(exec.cdi_devices.begin(), exec.cdi_devices.end(), needed)) {
    return base::fail(ErrorCode::unavailable, "not supported: CDI devices of exec op");
  }
  std::vector<bool> outputs(exec.mounts.size(), false);
  for (const wire::Mount& mount : exec.mounts) TRY(check_mount(mount, vertex->inputs.size(), outputs));
  const auto count = static_cast<std::uint32_t>(std::count(outputs.begin(), outputs.end(), true));
  if (std::find(outputs.begin(), outputs.begin() + count, false) != outputs.begin() + count) {
    return base::fail(ErrorCode::invalid_argument, "the outputs of an exec op are not numbered without gaps");
  }
  Given given{.secrets = {}, .agents = {}, .cache_mount_on_fail = request.cache_mount_on_fail, .failed_trees = request.failed_trees};
  const auto want = [&](const std::string& id) {
    const auto found = request.secrets.find(id);
    if (found != request.secrets.end()) given.secrets.insert(*found);
  };
  for (const wire::SecretEnv& secret : exec.secret_env) want(secret.id);
  for (const wire::Mount& mount : exec.mounts) {
    if (mount.type == wire::MountType::secret) want(mount.secret->id);
    if (mount.type != wire::MountType::ssh) continue;
    const auto found = request.ssh_agents.find(agent_of(mount));
    if (found != request.ssh_agents.end()) given.agents.insert(*found);
  }
  return std::make_unique<ExecStep>(std::move(vertex), exec, count, std::move(given));
}

}  // namespace cairn::solver

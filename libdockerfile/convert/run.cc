// SPDX-License-Identifier: Apache-2.0
// RUN: what is run, with which mounts.
#include <algorithm>

#include "libdockerfile/convert/conversion.h"
#include "libdockerfile/convert/paths.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {

using base::Result;
using base::Status;
namespace llb = solver::llb;
namespace wire = solver::wire;

namespace {

constexpr const char* pipes = "/dev/pipes/";

// The first line of a heredoc, for progress.
std::string summary_of(std::string_view text) {
  const Cut at = cut(trim(text), '\n');
  std::string_view line = at.head;
  if (line.ends_with('\r')) line.remove_suffix(1);
  return std::string(line) + (at.found ? "..." : "");
}

// "|2 A=1 B=2 <words>", as the history of an image has it.
std::string with_arguments(const std::vector<std::string>& words, const std::vector<Arg::Entry>& arguments,
                           const Environment& environment) {
  std::vector<std::pair<std::string, std::string>> used;
  for (const Arg::Entry& argument : arguments) {
    const std::string* set = find_variable(environment, argument.key);
    const std::string value = set != nullptr ? *set : argument.value.value_or("");
    const auto known =
        std::find_if(used.begin(), used.end(), [&](const auto& each) { return each.first == argument.key; });
    if (known == used.end())
      used.emplace_back(argument.key, value);
    else
      known->second = value;
  }
  std::vector<std::string> out;
  if (!used.empty()) out.push_back(fmt::format("|{}", used.size()));
  for (const auto& [key, value] : used) out.push_back(fmt::format("{}={}", key, value));
  out.insert(out.end(), words.begin(), words.end());
  return join(out, " ");
}

std::optional<wire::ProxyEnv> proxy_of(const std::map<std::string, std::string>& build_args) {
  wire::ProxyEnv proxy;
  bool found = false;
  for (const auto& [key, value] : build_args) {
    const std::string name = lower(key);
    std::string* place = name == "http_proxy"    ? &proxy.http_proxy
                         : name == "https_proxy" ? &proxy.https_proxy
                         : name == "ftp_proxy"   ? &proxy.ftp_proxy
                         : name == "no_proxy"    ? &proxy.no_proxy
                         : name == "all_proxy"   ? &proxy.all_proxy
                                                 : nullptr;
    if (place == nullptr) continue;
    *place = value;
    found = true;
  }
  return found ? std::optional(proxy) : std::nullopt;
}

wire::NetMode network_of(const std::string& name, wire::NetMode usual) {
  if (name == "none") return wire::NetMode::none;
  return name == "host" ? wire::NetMode::host : usual;
}

// A directory of a cache that belongs to somebody.
State with_owner(const State& from, const RunMount& mount) {
  llb::FileActions make;
  make.mkdir("/cache", static_cast<std::int32_t>(mount.mode.value_or(0755)));
  make.owner({std::to_string(mount.uid.value_or(0)), std::to_string(mount.gid.value_or(0))});
  make.name("[internal] setting cache mount permissions");
  return from.file(make);
}

Result<llb::Secret> secret_of(const RunMount& mount) {
  llb::Secret secret;
  secret.id = mount.source.empty() ? mount.id : mount.source;
  if (secret.id.empty() && mount.target.empty()) return refuse("one of source, target required");
  if (secret.id.empty()) secret.id = base_name(mount.target);
  secret.dest = mount.target;
  if (mount.env)
    secret.env = *mount.env;
  else if (secret.dest.empty())
    secret.dest = "/run/secrets/" + base_name(secret.id);
  secret.optional = !mount.required;
  secret.uid = mount.uid.value_or(0);
  secret.gid = mount.gid.value_or(0);
  secret.mode = mount.mode.value_or(0400);
  return secret;
}

Result<llb::Ssh> ssh_of(const RunMount& mount) {
  if (!mount.source.empty()) return refuse("ssh does not support source");
  llb::Ssh ssh;
  ssh.id = mount.id;
  ssh.dest = mount.target;
  ssh.optional = !mount.required;
  ssh.uid = mount.uid.value_or(0);
  ssh.gid = mount.gid.value_or(0);
  ssh.mode = mount.mode.value_or(0600);
  return ssh;
}

// What the mount that was added last takes of whoever builds.
void note_mount(StageParameters& parameters, const RunMount& mount, const llb::RunOptions& options, Lines lines) {
  if (mount.kind == MountKind::secret)
    StageParameters::add(parameters.secrets, options.secrets.back().id, mount.required, lines);
  if (mount.kind == MountKind::ssh)
    StageParameters::add(parameters.ssh, mount.id.empty() ? "default" : mount.id, mount.required, lines);
  if (mount.kind == MountKind::cache)
    StageParameters::add(parameters.caches, mount.id.empty() ? clean_path(mount.target) : mount.id, false, lines);
}

}  // namespace

Status Converter::add_mount(BuildStage& stage, RunMount mount, BuildStage* source, llb::RunOptions& options) {
  if (mount.kind == MountKind::secret) {
    options.secrets.push_back(TRY(secret_of(mount)));
    return {};
  }
  if (mount.kind == MountKind::ssh) {
    options.ssh.push_back(TRY(ssh_of(mount)));
    return {};
  }
  if (mount.from.empty() && mount.kind == MountKind::cache) mount.from = "scratch";
  llb::Mount out;
  out.source = main_state_;
  if (!mount.from.empty()) {
    if (!source->is_dispatched) {
      return refuse("cannot mount from stage {} to {}, stage needs to be defined before current command",
                    go_quoted(mount.from), go_quoted(mount.target));
    }
    out.source = source->state;
  }
  if (mount.kind == MountKind::tmpfs) {
    out.source = State();
    out.tmpfs = true;
    out.tmpfs_size = mount.size;
  }
  out.read_only = mount.read_only;
  out.no_output = !mount.read_only && mount.kind == MountKind::bind;
  if (mount.kind == MountKind::cache) {
    out.cache_id = options_.cache_mount_namespace + "/" + (mount.id.empty() ? clean_path(mount.target) : mount.id);
    if (mount.sharing == "private") out.cache_sharing = wire::CacheSharing::exclusive;
    if (mount.sharing == "locked") out.cache_sharing = wire::CacheSharing::locked;
  }
  out.dest = mount.target;
  if (!is_absolute(clean_path(mount.target), platform_of(stage).os))
    out.dest = join_path(join_path("/", stage.state.directory()), mount.target);
  if (out.dest == "/") return refuse("invalid mount target {}", go_quoted(out.dest));
  const std::string path = join_path("/", mount.source);
  if (path != "/") {
    out.selector = path;
  } else if (mount.uid || mount.gid || mount.mode) {
    out.source = with_owner(out.source, mount);
    out.selector = "/cache";
  }
  options.mounts.push_back(std::move(out));
  if (mount.from.empty())
    stage.context_paths.insert(path);
  else
    source->paths->insert(path);
  return {};
}

Status Converter::add_mounts(BuildStage& stage, const Run& run, const PlannedCommand& planned,
                             llb::RunOptions& options) {
  const Expand expand = [&](const std::string& text) { return expand_text(stage, text, planned.command); };
  for (std::size_t i = 0; i < run.mounts.size(); ++i) {
    const RunMount mount = TRY(parse_mount(run.mounts[i], expand));
    TRY(add_mount(stage, mount, planned.sources[i], options));
    note_mount(stage.parameters, mount, options, planned.command.lines);
  }
  return {};
}

Status Converter::run_step(BuildStage& stage, const Run& run, const PlannedCommand& planned) {
  const Command& command = planned.command;
  stage.paths->insert("/");
  std::string shown_as = command.code;
  llb::RunOptions options;
  CommandLine line = run.line;
  if (!line.files.empty()) {
    if (!line.for_shell || line.words.size() != 1)
      return refuse("parsing produced an invalid run command: [{}]", join(line.words, " "));
    const Heredoc& first = line.files.front();
    if (TRY(parse_heredoc(line.words[0]))) {
      const std::string data = first.chomp ? without_leading_tabs(first.content) : first.content;
      if (platform_of(stage).os != "windows" && first.content.starts_with("#!")) {
        llb::FileActions file;
        file.mkfile(first.name, 0755, data);
        file.name("[internal] preparing inline document");
        options.mounts.push_back({.dest = pipes, .source = State().file(file), .selector = "/", .read_only = true});
        line.words = {pipes + first.name};
      } else {
        line.words = {data};
      }
      shown_as += fmt::format(" ({})", summary_of(first.content));
    } else {
      for (const Heredoc& file : line.files) line.words[0] += "\n" + file.content + file.name;
    }
  }
  const std::vector<std::string> words = shell_words(stage, line, command);
  TRY(add_mounts(stage, run, planned, options));
  if (options_.shm_size > 0)
    options.mounts.push_back({.dest = "/dev/shm", .tmpfs = true, .tmpfs_size = options_.shm_size});
  options.network = run.network == "default" ? network_of(options_.network_mode, wire::NetMode::unset)
                                             : network_of(run.network, wire::NetMode::unset);
  if (run.security == "insecure") options.security = wire::SecurityMode::insecure;
  options.proxy_env = proxy_of(options_.build_args);
  options.hostname = options_.hostname;
  options.extra_hosts = options_.extra_hosts;
  options.ulimits = options_.ulimits;
  options.cgroup_parent = options_.cgroup_parent;
  options.platform = platform_of(stage);
  options.notes = notes_of(stage, command.lines);
  options.notes.description["com.docker.dockerfile.v1.command"] = command.code;
  options.notes.capabilities.push_back("exec.meta.setsdefaultpath");
  if (options_.resources) {
    options.notes.resources = options_.resources;
    options.notes.capabilities.push_back("exec.meta.linux.resources");
  }
  WordRules rules = word_rules();
  rules.raw_quotes = true;
  rules.skip_unset = true;
  // What is a secret is not shown.
  Environment shown_environment = stage.state.environment();
  for (const llb::Secret& secret : options.secrets) {
    if (!secret.env.empty()) shown_environment.emplace_back(secret.env, "****");
  }
  options.name = prefixed(stage, shown(shown_environment, command, shown_as, rules), &platform_of(stage));
  record(stage, "RUN " + with_arguments(words, stage.build_args.entries(), stage.state.environment()), Layer::made);
  stage.state = stage.state.run(words, options).root();
  return {};
}

}  // namespace cairn::dockerfile

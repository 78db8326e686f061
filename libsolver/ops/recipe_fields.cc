// SPDX-License-Identifier: Apache-2.0
#include "libsolver/ops/recipe_fields.h"

#include <algorithm>
#include <array>

#include "libbase/hash/sha256.h"
#include "libsolver/ops/cache_maps.h"

namespace cairn::solver {
namespace {

using Fields = std::vector<cache::RecipeField>;

class Writer {
 public:
  void add(std::string name, std::string value) { fields_.push_back({std::move(name), std::move(value)}); }
  void add_if(std::string name, const std::string& value) {
    if (!value.empty()) add(std::move(name), value);
  }
  Fields take() { return std::move(fields_); }

 private:
  Fields fields_;
};

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ", ") + text;
  return out;
}

std::string platform_text(const wire::Platform& platform) {
  std::string text = platform.os + "/" + platform.architecture;
  return platform.variant.empty() ? text : text + "/" + platform.variant;
}

void add_platform(Writer& out, const wire::Platform& platform) {
  out.add("platform", platform_text(platform));
  out.add_if("os version", platform.os_version);
  out.add_if("os features", joined(platform.os_features));
}

std::string network_text(wire::NetMode mode) {
  switch (mode) {
    case wire::NetMode::unset: return "sandbox";
    case wire::NetMode::host: return "host";
    case wire::NetMode::none: return "none";
  }
  return std::to_string(static_cast<int>(mode));
}

std::string security_text(wire::SecurityMode mode) {
  switch (mode) {
    case wire::SecurityMode::sandbox: return "sandbox";
    case wire::SecurityMode::insecure: return "insecure";
  }
  return std::to_string(static_cast<int>(mode));
}

std::string sharing_text(wire::CacheSharing sharing) {
  switch (sharing) {
    case wire::CacheSharing::shared: return "shared";
    case wire::CacheSharing::exclusive: return "private";
    case wire::CacheSharing::locked: return "locked";
  }
  return std::to_string(static_cast<int>(sharing));
}

template <class Shown>  // a secret or an agent: by its id, never by what it is
std::string shown_file(std::string_view kind, const Shown& shown) {
  return fmt::format("{} \"{}\", owner {}:{}, mode {:o}{}", kind, shown.id, shown.uid, shown.gid, shown.mode, shown.optional ? ", optional" : "");
}

std::string mount_text(const wire::Mount& mount) {
  std::string text;
  switch (mount.type) {
    case wire::MountType::bind: text = "bind"; break;
    case wire::MountType::secret: text = mount.secret ? shown_file("secret", *mount.secret) : "secret"; break;
    case wire::MountType::ssh: text = mount.ssh ? shown_file("ssh", *mount.ssh) : "ssh"; break;
    case wire::MountType::cache: text = "cache"; break;
    case wire::MountType::tmpfs: text = mount.tmpfs ? fmt::format("tmpfs of {} bytes", mount.tmpfs->size) : "tmpfs"; break;
    default: text = fmt::format("type {}", static_cast<int>(mount.type)); break;
  }
  if (mount.cache) text += fmt::format(" \"{}\", {}", mount.cache->id, sharing_text(mount.cache->sharing));
  text += mount.input < 0 ? ", from scratch" : fmt::format(", from input {}", mount.input);
  if (mount.output >= 0) text += fmt::format(", output {}", mount.output);
  if (mount.readonly) text += ", read-only";
  if (!mount.result_id.empty()) text += fmt::format(", result \"{}\"", mount.result_id);
  return text;
}

void add_mount(Writer& out, const wire::Mount& mount, const std::string& selector) {
  out.add("mount " + mount.dest, mount_text(mount));
  if (selector != "/") out.add("mount " + mount.dest + " selector", selector);
  if (mount.content_cache == wire::ContentCache::by_default) return;
  out.add("mount " + mount.dest + " content cache", mount.content_cache == wire::ContentCache::on ? "on" : "off");
}

void add_process(Writer& out, const wire::Meta& meta) {
  for (std::size_t i = 0; i < meta.args.size(); ++i) out.add(fmt::format("argument {}", i), meta.args[i]);
  for (const std::string& variable : meta.env) {
    const std::size_t end = std::min(variable.find('='), variable.size());
    out.add("env " + variable.substr(0, end), end < variable.size() ? variable.substr(end + 1) : "");
  }
  out.add_if("cwd", meta.cwd);
  out.add_if("user", meta.user);
  out.add_if("hostname", meta.hostname);
  for (const wire::HostIp& host : meta.extra_hosts) out.add("extra host " + host.host, "");
  for (const wire::Ulimit& limit : meta.ulimits) out.add("ulimit " + limit.name, fmt::format("{}:{}", limit.soft, limit.hard));
  out.add_if("cgroup parent", meta.cgroup_parent);
  if (meta.remove_mount_stubs_recursive) out.add("mount stubs", "removed with what is below");
  std::string codes;
  for (const std::int32_t code : meta.valid_exit_codes) codes += (codes.empty() ? "" : ", ") + std::to_string(code);
  out.add_if("valid exit codes", codes);
}

void add_exec(Writer& out, const wire::ExecOp& exec, const wire::Platform& platform) {
  if (exec.meta) add_process(out, *exec.meta);
  out.add("network", network_text(exec.network));
  out.add("security", security_text(exec.security));
  const wire::ExecOp counted = counted_of(exec);
  for (std::size_t i = 0; i < counted.mounts.size(); ++i) add_mount(out, counted.mounts[i], rooted_path(exec.mounts[i].selector));
  for (const wire::SecretEnv& secret : exec.secret_env)
    out.add("secret env " + secret.name, fmt::format("secret \"{}\"{}", secret.id, secret.optional ? ", optional" : ""));
  for (const wire::CdiDevice& device : exec.cdi_devices) out.add("device " + device.name, device.optional ? "optional" : "required");
  add_platform(out, platform);
}

std::string user_text(const std::optional<wire::UserOpt>& user) {
  if (!user) return "";
  if (const auto* named = std::get_if<wire::NamedUserOpt>(&user->user)) return fmt::format("{} of input {}", named->name, named->input);
  if (const auto* number = std::get_if<std::uint32_t>(&user->user)) return std::to_string(*number);
  return "";
}

// One action of a file step; every field begins with its number.
class ActionWriter {
 public:
  ActionWriter(Writer& out, std::size_t number) : out_(out), name_(fmt::format("action {}", number)) {}

  void operator()(const std::monostate&) { out_.add(name_, "unknown"); }
  void operator()(const wire::FileActionCopy& copy) {
    out_.add(name_, "copy");
    add("from", copy.src);
    add("to", copy.dest);
    add_owner(copy.owner);
    if (copy.mode != -1) add("mode", fmt::format("{:o}", copy.mode));
    add("mode text", copy.mode_str);
    std::vector<std::string> options;
    const std::array<std::pair<bool, const char*>, 7> all = {{{copy.follow_symlink, "follow links"},
                                                              {copy.dir_copy_contents, "copy contents"},
                                                              {copy.attempt_unpack, "unpack"},
                                                              {copy.create_dest_path, "create path"},
                                                              {copy.allow_wildcard, "wildcards"},
                                                              {copy.allow_empty_wildcard, "wildcards may match nothing"},
                                                              {copy.always_replace_existing, "replace"}}};
    for (const auto& [is_set, text] : all)
      if (is_set) options.emplace_back(text);
    add("options", joined(options));
    add("include", joined(copy.include_patterns));
    add("exclude", joined(copy.exclude_patterns));
    add("required", joined(copy.required_paths));
    add_time(copy.timestamp);
  }
  void operator()(const wire::FileActionMkFile& file) {
    out_.add(name_, "mkfile");
    add("path", file.path);
    add("mode", fmt::format("{:o}", file.mode));
    add("data", fmt::format("{} bytes, sha256:{}", file.data.value.size(), base::to_hex(base::sha256(file.data.value))));
    add_owner(file.owner);
    add_time(file.timestamp);
  }
  void operator()(const wire::FileActionMkDir& directory) {
    out_.add(name_, "mkdir");
    add("path", directory.path);
    add("mode", fmt::format("{:o}", directory.mode));
    if (directory.make_parents) add("options", "make parents");
    add_owner(directory.owner);
    add_time(directory.timestamp);
  }
  void operator()(const wire::FileActionRm& rm) {
    out_.add(name_, "rm");
    add("path", rm.path);
    std::vector<std::string> options;
    if (rm.allow_not_found) options.emplace_back("may be missing");
    if (rm.allow_wildcard) options.emplace_back("wildcards");
    add("options", joined(options));
  }
  void operator()(const wire::FileActionSymlink& link) {
    out_.add(name_, "symlink");
    add("path", link.newpath);
    add("to", link.oldpath);
    add_owner(link.owner);
    add_time(link.timestamp);
  }

 private:
  void add(const char* what, const std::string& value) { out_.add_if(name_ + " " + what, value); }
  void add_owner(const std::optional<wire::ChownOpt>& owner) {
    if (owner) add("owner", user_text(owner->user) + ":" + user_text(owner->group));
  }
  void add_time(std::int64_t time) {
    if (time != -1) add("time", std::to_string(time));
  }

  Writer& out_;
  std::string name_;
};

void add_file(Writer& out, const wire::FileOp& file) {
  const bool indexes_count = !has_default_indexes(file.actions);
  for (std::size_t i = 0; i < file.actions.size(); ++i) {
    const wire::FileAction& action = file.actions[i];
    ActionWriter writer(out, i);
    std::visit(writer, action.action);
    if (indexes_count)
      out.add(fmt::format("action {} inputs", i), fmt::format("{}, {} to {}", action.input, action.secondary_input, action.output));
  }
}

// A name and password in an address are nobody's business.
std::string without_credentials(const std::string& identifier) {
  const std::size_t scheme = identifier.find("://");
  if (scheme == std::string::npos) return identifier;
  const std::size_t host = scheme + 3;
  const std::size_t end = std::min(identifier.find('/', host), identifier.size());
  const std::size_t at = identifier.rfind('@', end);
  if (at == std::string::npos || at < host || identifier.starts_with("docker-image") || identifier.starts_with("oci-layout")) return identifier;
  return identifier.substr(0, host) + "…" + identifier.substr(at);
}

void add_source(Writer& out, const Vertex& vertex, const wire::SourceOp& source, const std::vector<CacheMap>& maps) {
  // They are of one session, or say how to ask, not what it is.
  static constexpr std::array<std::string_view, 6> no_part = {"local.session",     "local.unique",    "local.sharedkeyhint",
                                                              "image.resolvemode", "oci.session", "oci.store"};
  out.add("source", without_credentials(source.identifier));
  for (const auto& [name, value] : source.attrs)
    if (std::find(no_part.begin(), no_part.end(), name) == no_part.end()) out.add("attribute " + name, without_credentials(value));
  const bool is_image = source.identifier.starts_with("docker-image://") || source.identifier.starts_with("oci-layout://");
  if (is_image && vertex.op.platform) add_platform(out, *vertex.op.platform);
  constexpr std::string_view prefix = "buildkit.source.v0:";
  const CacheMap& map = maps.back();
  if (map.digest.scope == OpDigest::Scope::portable)
    out.add("resolved", map.hashed.starts_with(prefix) ? map.hashed.substr(prefix.size()) : map.hashed);
}

struct OpWriter {
  Writer& out;
  const Vertex& vertex;
  const std::vector<CacheMap>& maps;

  void operator()(const std::monostate&) const {}
  void operator()(const wire::ExecOp& exec) const { add_exec(out, exec, vertex.op.platform.value_or(wire::Platform{})); }
  void operator()(const wire::FileOp& file) const { add_file(out, file); }
  void operator()(const wire::SourceOp& source) const { add_source(out, vertex, source, maps); }
  void operator()(const wire::MergeOp& merge) const {
    std::vector<std::string> inputs;
    for (const wire::InputNumber& input : merge.inputs) inputs.push_back(std::to_string(input.input));
    out.add("inputs", joined(inputs));
  }
  void operator()(const wire::DiffOp& diff) const {
    const auto side = [](const std::optional<wire::InputNumber>& number) {
      return !number || number->input < 0 ? std::string("scratch") : fmt::format("input {}", number->input);
    };
    out.add("lower", side(diff.lower));
    out.add("upper", side(diff.upper));
  }
  void operator()(const wire::PassthroughOp& pass) const {
    out.add("id", pass.id);
    std::vector<std::string> outputs;
    for (const std::int64_t output : pass.outputs) outputs.push_back(std::to_string(output));
    out.add("outputs", joined(outputs));
  }
  void operator()(const wire::BuildOp& build) const {
    out.add("builder", std::to_string(build.builder));
    for (const auto& [name, input] : build.inputs) out.add("input " + name, std::to_string(input.input));
    for (const auto& [name, value] : build.attrs) out.add("attribute " + name, value);
  }
};

}  // namespace

std::vector<cache::RecipeField> recipe_fields(const Vertex& vertex, const std::vector<CacheMap>& maps) {
  Writer out;
  out.add("type", std::string(kind_of(vertex.op)));
  std::visit(OpWriter{out, vertex, maps}, vertex.op.op);
  return out.take();
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/solve_options.h"

#include <cstdlib>

#include "libbase/fs/fd.h"
#include "libcache/policy.h"
#include "libdockerfile/dockerfile.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<std::map<std::string, std::string>> parse_bindings(const std::vector<std::string>& texts, const char* option) {
  std::map<std::string, std::string> bindings;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == text.size()) {
      return fail(ErrorCode::invalid_argument, "{} {}: want NAME=DIR", option, text);
    }
    const base::HostPath dir = TRY(base::HostPath::from_user(text.substr(equals + 1)), "{} {}", option, text);
    if (!bindings.emplace(text.substr(0, equals), dir.str()).second) {
      return fail(ErrorCode::invalid_argument, "{} {}: the name is given twice", option, text);
    }
  }
  return bindings;
}

// Values may be secrets: messages have none.
Result<std::map<std::string, std::string>> parse_attributes(const std::string& text, const std::string& option,
                                                            const std::string& directory) {
  std::map<std::string, std::string> attributes;
  for (const std::string& part : TRY(dockerfile::csv_fields(text), "{}", option)) {
    const std::size_t equals = part.find('=');
    if (equals == 0 || equals == std::string::npos)
      return fail(ErrorCode::invalid_argument, "{}: want NAME=VALUE, not \"{}\"", option, part);
    std::string value = part.substr(equals + 1);
    if (part.substr(0, equals) == directory && value != "-")
      value = TRY(base::HostPath::from_user(value), "{}", option).str();
    if (!attributes.emplace(part.substr(0, equals), value).second)
      return fail(ErrorCode::invalid_argument, "{}: {} is given twice", option, part.substr(0, equals));
  }
  return attributes;
}

namespace {

// Of "id=ID,src=FILE" or "id=ID,env=NAME"; without either the file or variable is called as the secret.
Result<std::pair<std::string, std::string>> parse_secret(const std::string& text) {
  constexpr std::size_t secret_max = 500 << 10;
  std::map<std::string, std::string> fields;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, comma - at);
    at = comma + 1;
    const std::size_t equals = part.find('=');
    const std::string name = part.substr(0, equals);
    if (equals == std::string::npos || (name != "id" && name != "src" && name != "env")) {
      return fail(ErrorCode::invalid_argument, "--secret: do not know \"{}\"", name);  // it may be the secret itself
    }
    fields[name] = part.substr(equals + 1);
  }
  const std::string id = fields["id"];
  if (id.empty()) return fail(ErrorCode::invalid_argument, "--secret: id is missing");
  if (fields.contains("src") && fields.contains("env")) return fail(ErrorCode::invalid_argument, "--secret {}: src or env, not both", id);
  const std::string variable_name = fields.contains("env") ? fields["env"] : fields.contains("src") ? "" : id;
  if (const char* variable = variable_name.empty() ? nullptr : std::getenv(variable_name.c_str())) return std::pair(id, std::string(variable));
  if (fields.contains("env")) return fail(ErrorCode::not_found, "--secret {}: the variable {} is not set", id, variable_name);
  const base::HostPath file = TRY(base::HostPath::from_user(fields.contains("src") ? fields["src"] : id));
  return std::pair(id, TRY(base::read_file(file, secret_max), "--secret {}", id));
}

Result<std::map<std::string, std::string>> parse_secrets(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> secrets;
  for (const std::string& text : texts) {
    auto secret = TRY(parse_secret(text));
    if (!secrets.insert(std::move(secret)).second) return fail(ErrorCode::invalid_argument, "--secret: an id is given twice");
  }
  return secrets;
}

// Of "ID=SOCKET", or "ID": the agent of whoever calls.
Result<std::map<std::string, std::string>> parse_agents(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> agents;
  for (const std::string& text : texts) {
    const std::size_t equals = std::min(text.find('='), text.size());
    const std::string id = text.substr(0, equals);
    std::string socket = equals < text.size() ? text.substr(equals + 1) : "";
    if (id.empty()) return fail(ErrorCode::invalid_argument, "--ssh {}: want ID or ID=SOCKET", text);
    if (socket.empty()) {
      const char* variable = std::getenv("SSH_AUTH_SOCK");
      if (variable == nullptr || *variable == '\0') return fail(ErrorCode::invalid_argument, "--ssh {}: SSH_AUTH_SOCK is not set, so say ID=SOCKET", text);
      socket = variable;
    }
    const base::HostPath path = TRY(base::HostPath::from_user(socket), "--ssh {}", text);
    if (!agents.emplace(id, path.str()).second) return fail(ErrorCode::invalid_argument, "--ssh {}: the id is given twice", text);
  }
  return agents;
}

// The options that say how remote sides are asked.
base::Status read_remote_options(const SolveOptions& arguments, engine::SolveOrder& order) {
  if (arguments.offline) order.ask_remotes = solver::RemoteUse::Ask::never;
  if (!arguments.resolve_age.empty()) {
    order.resolve_age = std::chrono::floor<std::chrono::seconds>(TRY(cache::parse_age(arguments.resolve_age), "--resolve-age"));
  }
  if (arguments.max_download.empty()) return {};
  const cache::Space space = TRY(cache::parse_space(arguments.max_download), "--max-download");
  if (space.parts().size() != 1 || space.parts()[0].unit != cache::Space::Part::Unit::bytes) {
    return fail(ErrorCode::invalid_argument, "--max-download {}: want bytes", arguments.max_download);
  }
  order.download_max = space.parts()[0].amount;
  return {};
}

// A reference alone is that of a registry. A directory becomes an absolute path.
Result<solver::CacheAttributes> parse_cache(const std::string& text, const std::string& option,
                                            const std::string& directory) {
  if (text.find('=') == std::string::npos) return solver::CacheAttributes{{"type", "registry"}, {"ref", text}};
  return parse_attributes(text, option, directory);
}

// Where to look, and where to write to; what means nothing is said before anything runs.
base::Status read_caches(const SolveOptions& arguments, engine::SolveOrder& order) {
  for (const std::string& text : arguments.cache_from) {
    order.cache_from.push_back(TRY(parse_cache(text, "--cache-from", "src")));
    TRY(solver::parse_cache_import(order.cache_from.back()), "--cache-from");
  }
  for (const std::string& text : arguments.cache_to) {
    order.cache_to.push_back(TRY(parse_cache(text, "--cache-to", "dest")));
    TRY(solver::parse_cache_export(order.cache_to.back()), "--cache-to");
  }
  return {};
}

base::Status read_usage(const SolveOptions& options, engine::SolveOrder& order) {
  TRY(cache::check_owner({.project = options.project, .build = options.build, .step = {}}));
  order.project = options.project;
  order.build = options.build;
  order.ssh_agents = TRY(parse_agents(options.ssh_agents));
  TRY(read_remote_options(options, order));
  TRY(read_caches(options, order));
  if (options.cache_mount_on_fail == "drop") order.cache_mount_on_fail = solver::CacheMountOnFail::drop;
  if (options.keep_failed) order.failed_trees = solver::FailedTrees::keep;
  for (const std::string& entitlement : options.allowed)
    (entitlement == "network.host" ? order.allowed.host_network : order.allowed.insecure) = true;
  order.use_cache = options.no_cache ? solver::UseCache::no : solver::UseCache::yes;
  return {};
}

base::Status read_files(const SolveOptions& options, engine::SolveOrder& order) {
  if (!options.secrets.empty()) engine::forbid_core_files();
  auto secrets = TRY(parse_secrets(options.secrets));
  order.secrets.merge(secrets);
  if (options.source_policy.empty()) return {};
  order.source_policy = TRY(read_input(options.source_policy));
  // An empty one is no policy, and nobody gives that on purpose.
  if (order.source_policy.empty()) order.source_policy = " ";
  return {};
}

}  // namespace

ExitCode fill_order(const SolveOptions& options, engine::SolveOrder& order) {
  if (const auto usage = read_usage(options, order); !usage) return report_usage(usage.error());
  const auto read = read_files(options, order);
  if (read) return ExitCode::done;
  return read.error().code == ErrorCode::invalid_argument ? report_usage(read.error()) : report_error(read.error());
}

void add_solve_options(CLI::App& verb, SolveOptions& options) {
  verb.add_option("--secret", options.secrets, "A secret that steps may see, from a file or a variable; it is stored nowhere")
      ->type_name("id=ID,src=FILE|env=NAME");
  verb.add_option("--ssh", options.ssh_agents, "The agent behind a step's ssh mount, by its socket; alone, that of SSH_AUTH_SOCK")
      ->type_name("ID[=SOCKET]");
  verb.add_option("--allow", options.allowed, "What steps may have beyond the usual: network.host, security.insecure")
      ->check(CLI::IsMember({"network.host", "security.insecure"}));
  verb.add_option("--cache-mount-on-fail", options.cache_mount_on_fail, "What becomes of a failed step's cache mounts")
      ->check(CLI::IsMember({"keep", "drop"}))->capture_default_str();
  verb.add_flag("--keep-failed", options.keep_failed, "Keep the trees of a step that fails, as records to look at");
  verb.add_option("--cache-from", options.cache_from, "A cache to look into, too: what it has is not made again")
      ->type_name("type=local,src=DIR|type=registry,ref=REF|type=s3,bucket=NAME,...");
  verb.add_option("--cache-to", options.cache_to,
                  "Where the cache of this solve is written for others; mode=max: every step's layers")
      ->type_name("type=local,dest=DIR|type=registry,ref=REF|type=s3,bucket=NAME,...|type=inline[,mode=max]");
  verb.add_option("--source-policy", options.source_policy, "Which sources it may have, and which it gets instead: BuildKit's JSON")
      ->type_name("FILE");
  verb.add_option("--executor", options.executor, "What steps run in, if this process becomes the store's owner; auto: the first that works")
      ->check(CLI::IsMember({"auto", "oci", "crun", "runc", "bubblewrap"}));
  verb.add_option("--project", options.project, "Whose build it is: a label for du and stats")->type_name("NAME");
  verb.add_option("--build", options.build, "Which build it is: a label for du")->type_name("NAME");
  verb.add_flag("--explain", options.explain, "Say at the end why each executed step had to run");
  verb.add_flag("--no-cache", options.no_cache, "Run every step; results are stored all the same");
  verb.add_option("--resolve-age", options.resolve_age, "What remote sides have said is not asked again for so long")->type_name("AGE");
  verb.add_option("--max-download", options.max_download, "The largest file that a source may fetch")->type_name("SPACE");
  verb.add_flag("--offline", options.offline, "Ask no remote side: sources are what they were when they were last asked");
  verb.add_option("--progress", options.progress, "How progress is shown on standard error")
      ->check(CLI::IsMember({"auto", "plain", "json", "none"}))->capture_default_str();
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "libbase/fs/fd.h"
#include "libcache/policy.h"
#include "tools/cachectl/explanation.h"
#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/progress_view.h"
#include "tools/cachectl/registry_logins.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::fail;
using base::Result;
using solver::StepState;

namespace {

struct SolveArguments {
  std::string file;
  std::vector<std::string> locals, oci_layouts, secrets, ssh_agents, allowed, cache_from, cache_to;
  std::string cache_mount_on_fail = "keep";
  bool keep_failed = false;
  std::string output;
  std::string source_policy;  // a file; "": none
  bool no_cache = false, offline = false, explain = false;
  std::string resolve_age, max_download;  // "": not given
  std::string project, build;
  std::string progress = "auto";
  std::string executor;  // "": what CAIRN_RUNTIME says, else "auto"
  Output format = Output::text;
};

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

// type=local,dest=DIR; the order is free.
Result<std::string> parse_output(const std::string& text) {
  if (text.empty()) return std::string();
  std::string type, dest;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, comma - at);
    at = comma + 1;
    if (part.starts_with("type=")) type = part.substr(5);
    else if (part.starts_with("dest=")) dest = part.substr(5);
    else return fail(ErrorCode::invalid_argument, "--output {}: do not know \"{}\"", text, part);
  }
  if (type != "local") return fail(ErrorCode::invalid_argument, "--output {}: want type=local,dest=DIR", text);
  if (dest.empty()) return fail(ErrorCode::invalid_argument, "--output {}: dest is missing", text);
  return TRY(base::HostPath::from_user(dest)).str();
}

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
base::Status read_remote_options(const SolveArguments& arguments, engine::SolveOrder& order) {
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

// "NAME=VALUE,NAME=VALUE"; the order is free. A directory becomes an absolute path; a reference alone is that of a
// registry.
Result<solver::CacheAttributes> parse_cache(const std::string& text, const std::string& option,
                                            const std::string& directory) {
  solver::CacheAttributes attributes;
  if (text.find('=') == std::string::npos) return solver::CacheAttributes{{"type", "registry"}, {"ref", text}};
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, comma - at);
    at = comma + 1;
    const std::size_t equals = part.find('=');
    if (equals == 0 || equals == std::string::npos)
      return fail(ErrorCode::invalid_argument, "{} {}: want NAME=VALUE, not \"{}\"", option, text, part);
    std::string value = part.substr(equals + 1);
    if (part.substr(0, equals) == directory) value = TRY(base::HostPath::from_user(value), "{} {}", option, text).str();
    if (!attributes.emplace(part.substr(0, equals), value).second)
      return fail(ErrorCode::invalid_argument, "{} {}: {} is given twice", option, text, part.substr(0, equals));
  }
  return attributes;
}

// Where to look, and where to write to; what means nothing is said before anything runs.
base::Status read_caches(const SolveArguments& arguments, engine::SolveOrder& order) {
  for (const std::string& text : arguments.cache_from) {
    order.cache_from.push_back(TRY(parse_cache(text, "--cache-from", "src")));
    TRY(solver::parse_cache_import(order.cache_from.back()), "--cache-from {}", text);
  }
  for (const std::string& text : arguments.cache_to) {
    order.cache_to.push_back(TRY(parse_cache(text, "--cache-to", "dest")));
    TRY(solver::parse_cache_export(order.cache_to.back()), "--cache-to {}", text);
  }
  return {};
}

ProgressMode progress_mode(const std::string& name) {
  if (name == "plain") return ProgressMode::plain;
  if (name == "json") return ProgressMode::json;
  if (name == "none") return ProgressMode::none;
  return ProgressMode::automatic;
}

using Reasons = std::map<cache::RecordId, cache::Explanation>;

// Of what was executed and is stored; read beside the owner. What is not known is left out.
Result<Reasons> find_reasons(const base::HostPath& root, const engine::SolveReport& report) {
  Reasons reasons;
  const auto env = TRY(engine::open_read_only(root));
  for (const solver::StepResult& step : report.steps) {
    if (!step.made) continue;
    auto reason = cache::explain(*env, step.made);
    if (!reason && reason.error().code != ErrorCode::not_found) return tl::unexpected(std::move(reason).error());
    if (reason) reasons.emplace(step.made, std::move(*reason));
  }
  return reasons;
}

void print_reasons(const engine::SolveReport& report, const Reasons& reasons) {
  const base::WallTime now = base::SystemClock().now();
  for (const solver::StepResult& step : report.steps) {
    if (step.state != StepState::executed) continue;
    const auto reason = reasons.find(step.made);
    std::cout << printable(step.name) << ": " << (reason != reasons.end() ? reason_line(reason->second, now) : "nothing is kept of how it was made") << '\n';
    if (reason != reasons.end()) std::cout << path_lines(reason->second.reason);
  }
}

void print_json(const engine::SolveReport& report, const Reasons& reasons) {
  nlohmann::ordered_json steps = nlohmann::ordered_json::array();
  for (const solver::StepResult& step : report.steps) {
    nlohmann::ordered_json json = {{"digest", step.digest.str()},
                                   {"name", step.name},
                                   {"state", std::string(solver::to_string(step.state))},
                                   {"duration_ns", step.duration.count()}};
    if (step.evicted)
      json["evicted"] = {{"when", rfc3339(step.evicted->when)},
                         {"rule", step.evicted->rule},
                         {"build_time_ns", step.evicted->build_time.count()}};
    if (const auto reason = reasons.find(step.made); reason != reasons.end()) json["why"] = explanation_json(reason->second);
    if (step.state == StepState::failed) json["error"] = step.error;
    for (const solver::KeptTree& tree : step.kept) {
      json["kept"].push_back({{"mount", tree.mount}, {"record", std::to_string(tree.record.value())}});
    }
    steps.push_back(std::move(json));
  }
  nlohmann::ordered_json json = {{"format", 1},
                                       {"vertices", report.steps.size()},
                                       {"executed", report.count(StepState::executed)},
                                       {"cached", report.count(StepState::cached)},
                                       {"failed", report.count(StepState::failed)},
                                       {"cancelled", report.count(StepState::cancelled)},
                                       {"duration_ns", report.duration.count()},
                                       {"steps", std::move(steps)}};
  for (const engine::CacheReport& cache : report.caches) {
    json["caches"].push_back({{"to", cache.to},
                              {"manifest", cache.exported.manifest.is_zero() ? "" : cache.exported.manifest.str()},
                              {"records", cache.exported.records},
                              {"layers", cache.exported.layers},
                              {"new_blobs", cache.exported.new_blobs},
                              {"new_bytes", cache.exported.new_bytes}});
  }
  std::cout << json_line(json);
}

// "evicted 3h ago by rule 2, 41.0s to rebuild"
void print_evicted(const engine::SolveReport& report) {
  const base::WallTime now = base::SystemClock().now();
  for (const solver::StepResult& step : report.steps) {
    if (!step.evicted) continue;
    const auto ago = std::chrono::duration_cast<std::chrono::seconds>(now - step.evicted->when);
    std::cout << fmt::format("{}: evicted {} ago by {}, {} to rebuild\n", printable(step.name),
                             cache::to_string(std::max(ago, std::chrono::seconds(1))), printable(step.evicted->rule),
                             human_duration(step.evicted->build_time));
  }
}

void print_text(const engine::SolveReport& report) {
  std::cout << fmt::format("{} steps: {} executed, {} cached", report.steps.size(), report.count(StepState::executed),
                           report.count(StepState::cached));
  if (const auto failed = report.count(StepState::failed)) std::cout << ", " << failed << " failed";
  if (const auto cancelled = report.count(StepState::cancelled)) std::cout << ", " << cancelled << " cancelled";
  std::cout << " in " << human_duration(report.duration) << '\n';
  for (const engine::CacheReport& cache : report.caches) {
    std::cout << fmt::format("{}: {} records, {} layers; {} new blobs, {}\n", printable(cache.to),
                             cache.exported.records, cache.exported.layers, cache.exported.new_blobs,
                             human_bytes(static_cast<std::int64_t>(cache.exported.new_bytes)));
  }
  if (report.exported_files != 0) {
    std::cout << fmt::format("exported {} files, {}\n", report.exported_files,
                             human_bytes(static_cast<std::int64_t>(report.exported_bytes)));
  }
}

ExitCode run_solve(const GlobalOptions& global, const SolveArguments& arguments) {
  engine::SolveOrder order;
  auto locals = parse_bindings(arguments.locals, "--local");
  auto layouts = parse_bindings(arguments.oci_layouts, "--oci-layout");
  auto agents = parse_agents(arguments.ssh_agents);
  auto output = parse_output(arguments.output);
  auto options = store_options(global);
  const auto wrong = [](const auto& parsed) {
    if (!parsed) report_error(parsed.error());
    return !parsed;
  };
  const base::Status labels = cache::check_owner({.project = arguments.project, .build = arguments.build, .step = {}});
  if (wrong(labels) || wrong(locals) || wrong(layouts) || wrong(agents) || wrong(output) || wrong(options)) return ExitCode::usage;
  if (wrong(read_remote_options(arguments, order)) || wrong(read_caches(arguments, order))) return ExitCode::usage;
  if (!arguments.secrets.empty()) engine::forbid_core_files();
  auto secrets = parse_secrets(arguments.secrets);
  if (!secrets) return secrets.error().code == ErrorCode::invalid_argument ? (report_error(secrets.error()), ExitCode::usage) : report_error(secrets.error());
  order.secrets = std::move(*secrets);
  options->engine.runtime = arguments.executor;
  auto definition = read_input(arguments.file);
  if (!definition) return report_error(definition.error());
  order.definition = std::move(*definition);
  order.locals = std::move(*locals);
  order.oci_layouts = std::move(*layouts);
  order.output_dir = std::move(*output);
  order.project = arguments.project;
  order.build = arguments.build;
  order.ssh_agents = std::move(*agents);
  if (arguments.cache_mount_on_fail == "drop") order.cache_mount_on_fail = solver::CacheMountOnFail::drop;
  if (arguments.keep_failed) order.failed_trees = solver::FailedTrees::keep;
  for (const std::string& entitlement : arguments.allowed) {
    (entitlement == "network.host" ? order.allowed.host_network : order.allowed.insecure) = true;
  }
  order.use_cache = arguments.no_cache ? solver::UseCache::no : solver::UseCache::yes;

  if (!arguments.source_policy.empty()) {
    auto policy = read_input(arguments.source_policy);
    if (!policy) return report_error(policy.error());
    // An empty one is no policy, and nobody gives that on purpose.
    if (policy->empty()) *policy = " ";
    order.source_policy = std::move(*policy);
  }

  add_registry_logins(order);
  const Interrupt interrupt;
  auto progress = make_progress_view(progress_mode(arguments.progress));
  const auto report = engine::solve_in_store(*options, order, *progress, interrupt.token());
  progress.reset();  // the live view gives the terminal back
  if (!report) return report_error(report.error());
  for (const std::string& warning : report->warnings) std::cerr << "cachectl: warning: " << printable(warning) << '\n';
  Result<Reasons> reasons = arguments.explain ? find_reasons(options->engine.root, *report) : Reasons();
  if (!reasons) std::cerr << "cachectl: warning: no reasons: " << printable(reasons.error().message) << '\n';
  if (arguments.format == Output::json) print_json(*report, reasons ? *reasons : Reasons());
  if (arguments.format == Output::text && arguments.explain && reasons) print_reasons(*report, *reasons);
  if (report->error) {
    const ExitCode code = report_error(*report->error);
    return code == ExitCode::busy ? ExitCode::failed : code;  // 5 means the store, nothing else
  }
  if (arguments.format == Output::text && !arguments.explain) print_evicted(*report);
  if (arguments.format == Output::text) print_text(*report);
  return ExitCode::done;
}

}  // namespace

void add_solve(CLI::App& app, Program& program) {
  auto [verb, solve] = add_verb<SolveArguments>(app, program, "solve", R"(Solve a graph: run what has not been done before.

Examples:
  cachectl solve graph.pb --local src=. --oci-layout base=./base-image --output type=local,dest=out
  my-front-end | cachectl solve - --progress plain
  cachectl solve graph.pb --cache-from type=local,src=cache --cache-to type=local,dest=cache,mode=max)",
                               run_solve);
  verb.add_option("FILE", solve.file, "A pb.Definition as BuildKit's clients send it; - reads standard input")->required();
  verb.add_option("--local", solve.locals, "The directory behind local://NAME")->type_name("NAME=DIR");
  verb.add_option("--oci-layout", solve.oci_layouts, "The image layout behind oci-layout://NAME@DIGEST")->type_name("NAME=DIR");
  verb.add_option("--secret", solve.secrets, "A secret that steps may see, from a file or a variable; it is stored nowhere")
      ->type_name("id=ID,src=FILE|env=NAME");
  verb.add_option("--ssh", solve.ssh_agents, "The agent behind a step's ssh mount, by its socket; alone, that of SSH_AUTH_SOCK")
      ->type_name("ID[=SOCKET]");
  verb.add_option("--allow", solve.allowed, "What steps may have beyond the usual: network.host, security.insecure")
      ->check(CLI::IsMember({"network.host", "security.insecure"}));
  verb.add_option("--cache-mount-on-fail", solve.cache_mount_on_fail, "What becomes of a failed step's cache mounts")
      ->check(CLI::IsMember({"keep", "drop"}))->capture_default_str();
  verb.add_flag("--keep-failed", solve.keep_failed, "Keep the trees of a step that fails, as records to look at");
  verb.add_option("--output", solve.output, "Where the result goes")->type_name("type=local,dest=DIR");
  verb.add_option("--cache-from", solve.cache_from, "A cache to look into, too: what it has is not made again")
      ->type_name("type=local,src=DIR|type=registry,ref=REF");
  verb.add_option("--cache-to", solve.cache_to,
                  "Where the cache of this solve is written for others; mode=max: every step's layers")
      ->type_name("type=local,dest=DIR|type=registry,ref=REF[,mode=max]");
  verb.add_option("--source-policy", solve.source_policy, "Which sources it may have, and which it gets instead: BuildKit's JSON")
      ->type_name("FILE");
  verb.add_option("--executor", solve.executor, "What steps run in, if this process becomes the store's owner; auto: the first that works")
      ->check(CLI::IsMember({"auto", "oci", "crun", "runc", "bubblewrap"}));
  verb.add_option("--project", solve.project, "Whose build it is: a label for du and stats")->type_name("NAME");
  verb.add_option("--build", solve.build, "Which build it is: a label for du")->type_name("NAME");
  verb.add_flag("--explain", solve.explain, "Say at the end why each executed step had to run");
  verb.add_flag("--no-cache", solve.no_cache, "Run every step; results are stored all the same");
  verb.add_option("--resolve-age", solve.resolve_age, "What remote sides have said is not asked again for so long")->type_name("AGE");
  verb.add_option("--max-download", solve.max_download, "The largest file that a source may fetch")->type_name("SPACE");
  verb.add_flag("--offline", solve.offline, "Ask no remote side: sources are what they were when they were last asked");
  verb.add_option("--progress", solve.progress, "How progress is shown on standard error")
      ->check(CLI::IsMember({"auto", "plain", "json", "none"}))->capture_default_str();
}

}  // namespace cairn::cachectl

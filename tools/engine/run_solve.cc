// SPDX-License-Identifier: Apache-2.0
// A solve or a build as it was ordered: graphs are loaded or made of a Dockerfile, solved one after the other, and what
// came of them is written where it was asked for.
#include <algorithm>
#include <mutex>
#include <utility>

#include "libbase/do_each.h"
#include "libbase/fs/host_tree.h"
#include "libbase/hash/sha256.h"
#include "libsolver/definition.h"
#include "libsolver/identifier.h"
#include "libsolver/lost.h"
#include "libsolver/platform.h"
#include "libsolver/source_policy.h"
#include "libsolver/source_lines.h"
#include "tools/engine/build_facts.h"
#include "tools/engine/export_record.h"
#include "tools/engine/order.h"

namespace cairn::engine {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

Result<std::map<std::string, base::HostPath>> parse_paths(const std::map<std::string, std::string>& named) {
  std::map<std::string, base::HostPath> paths;
  for (const auto& [name, path] : named) paths.emplace(name, TRY(base::HostPath::parse(path), "{}={}", name, path));
  return paths;
}

// Everything of a request but the definition, and the results of elsewhere.
Result<solver::SolveRequest> make_request(const SolveOrder& order) {
  std::vector<solver::SourcePolicy> policies;
  if (!order.source_policy.empty()) policies.push_back(TRY(solver::SourcePolicy::parse(order.source_policy)));
  cache::Owner owner{.project = order.project, .build = order.build, .step = {}};
  TRY(cache::check_owner(owner));
  return solver::SolveRequest{.definition = {},
                              .locals = TRY(parse_paths(order.locals)),
                              .oci_layouts = TRY(parse_paths(order.oci_layouts)),
                              .secrets = order.secrets,
                              .logins = order.logins,
                              .ssh_agents = TRY(parse_paths(order.ssh_agents)),
                              .allowed = order.allowed,
                              .cache_mount_on_fail = order.cache_mount_on_fail,
                              .failed_trees = order.failed_trees,
                              .use_cache = order.use_cache,
                              .owner = std::move(owner),
                              .remote = {.ask = order.ask_remotes, .believed_for = order.resolve_age, .file_bytes_max = order.download_max},
                              .source_policies = std::move(policies)};
}

Status set_definition(solver::SolveRequest& request, const std::string& bytes) {
  request.definition = TRY(solver::load_definition_under(bytes, request.source_policies));
  return {};
}

std::string credentials_for(const solver::CacheAddress& address, const SolveOrder& order) {
  return solver::cache_credentials(address, order.secrets, order.logins);
}

// The lines of its source that a step of a definition is about; "": it has none.
std::string excerpt_of(const solver::Definition& definition, const std::string& bytes, const solver::VertexDigest& step) {
  std::string excerpt;
  for (const solver::SourceLines& lines : solver::source_lines(definition, bytes, step))
    excerpt += dockerfile::excerpt(lines.filename, lines.text, {lines.first, lines.last});
  return excerpt;
}

bool is_inline(const solver::CacheExport& to) { return to.to.type == solver::CacheAddress::Type::in_image; }
bool is_tree(const solver::ImageOutput& output) {
  return output.type == solver::ImageOutput::Type::tar || output.type == solver::ImageOutput::Type::local;
}

// One image that is to be made: a graph, and what goes around its tree.
struct Planned {
  std::string definition;
  solver::wire::Platform platform;
  std::string config, base_config;  // "": it was no Dockerfile
};
struct Built {
  Planned plan;
  solver::SolveOutcome outcome;  // holds the result
};

// One order while it is worked on, by one thread.
class Work {
 public:
  Work(Engine& engine, const SolveOrder& order, solver::ProgressSink& progress, std::stop_token stop)
      : engine_(engine), order_(order), progress_(progress), stop_(std::move(stop)) {}

  SolveReport run() {
    const auto begun = std::chrono::steady_clock::now();
    if (Status done = try_run(); !done && !report_.error) report_.error = std::move(done).error();
    // Of several solves: from the first to the end of what was written.
    if (order_.dockerfile) report_.duration = std::chrono::steady_clock::now() - begun;
    return std::move(report_);
  }

 private:
  Status try_run() {
    request_ = TRY(make_request(order_));
    for (const solver::OutputAttributes& attributes : order_.outputs)
      outputs_.push_back(TRY(solver::parse_image_output(attributes), "output"));
    TRY(use_caches());
    if (wants_inline_cache() && std::all_of(outputs_.begin(), outputs_.end(), is_tree))
      report_.warnings.emplace_back("an inline cache is written with an image, and none is exported");
    std::vector<Planned> plans = TRY(plan());
    if (order_.call != SolveOrder::Call::build) return {};
    for (Planned& planned : plans) TRY(build(std::move(planned)));
    if (!order_.output_dir.empty()) {
      const Status exported = export_directory();
      if (!exported) return tl::unexpected(base::add_context(exported.error(), fmt::format("export to {}", order_.output_dir)));
    }
    for (std::size_t i = 0; i < outputs_.size(); ++i) TRY(export_whole_images(i));
    for (const solver::CacheExport& to : cache_exports_)
      if (!is_inline(to))
        for (const Built& built : built_) TRY(export_cache(built, to));
    return {};
  }

  // What the caches that are there have is looked for, too; what is not, or cannot be read, is a warning, and the build
  // goes on without. Errors: attributes that mean nothing.
  Status use_caches() {
    for (const solver::CacheAttributes& to : order_.cache_to)
      cache_exports_.push_back(TRY(solver::parse_cache_export(to), "cache to"));
    // What BuildKit's front end is told by an argument.
    if (order_.dockerfile)
      if (const auto wanted = order_.dockerfile->find("build-arg:BUILDKIT_INLINE_CACHE"); wanted != order_.dockerfile->end() && wanted->second == "1")
        cache_exports_.push_back(TRY(solver::parse_cache_export({{"type", "inline"}})));
    if (!cache_exports_.empty()) request_.keys = solver::SolveRequest::Keys::keep;
    std::vector<solver::CacheAddress> addresses;
    for (const solver::CacheAttributes& attributes : order_.cache_from)
      addresses.push_back(TRY(solver::parse_cache_import(attributes), "cache from"));
    if (order_.call != SolveOrder::Call::build) return {};
    // Beside each other: one that keeps silent keeps nobody waiting for the others.
    std::vector<Result<std::unique_ptr<solver::ResultStore>>> imported(addresses.size());
    TRY(base::do_each(addresses.size(), addresses.size(), [&](std::size_t at) -> Status {
      imported[at] = engine_.solver().import_cache(addresses[at], credentials_for(addresses[at], order_), stop_);
      return {};
    }));
    for (auto& cache : imported) {
      if (cache) {
        request_.more_results.push_back(cache->get());
        imported_.push_back(std::move(*cache));
      } else {
        report_.warnings.push_back("no cache is imported: " + cache.error().message);
      }
    }
    return {};
  }

  // The graphs of the order.
  Result<std::vector<Planned>> plan() {
    if (!order_.dockerfile) {
      std::vector<Planned> one(1);
      one.front().definition = order_.definition;
      one.front().platform = solver::host_platform();
      return one;
    }
    dockerfile::Options options = TRY(dockerfile::parse_options(*order_.dockerfile));
    options.build_platform = solver::host_platform();
    // Whose directories these are. Builds of one directory are the same build, so their steps are the same vertices, which
    // the history tells of.
    const auto context = order_.locals.find(options.context_name);
    options.session_id = base::to_hex(base::sha256("cairn.build:" + (context != order_.locals.end() ? context->second : options.context))).substr(0, 25);
    TRY(find_layouts(options));
    epoch_ = options.epoch;
    form_ = options.multi_platform ? solver::ImageExport::Form::index : solver::ImageExport::Form::by_count;
    const auto request_for = [this](const std::string& definition) -> Result<solver::SolveRequest> {
      solver::SolveRequest request = request_;
      request.keys = solver::SolveRequest::Keys::drop;
      TRY(set_definition(request, definition));
      return request;
    };
    facts_.emplace(engine_, request_, request_for, progress_, report_.warnings, stop_);
    return convert(options);
  }

  // Front ends want digests; who asks may have said tags.
  Status find_layouts(dockerfile::Options& options) const {
    constexpr std::string_view scheme = "oci-layout://";
    for (auto& [name, value] : options.named_contexts) {
      if (!value.starts_with(scheme) || value.find('@') != std::string::npos) continue;
      const std::size_t colon = value.find(':', scheme.size());
      const auto layout = request_.oci_layouts.find(value.substr(scheme.size(), colon - scheme.size()));
      if (layout == request_.oci_layouts.end()) continue;  // the front end says so
      const std::string tag = colon == std::string::npos ? "" : value.substr(colon + 1);
      value = value.substr(0, colon) + "@" + TRY(solver::find_in_layout(layout->second, tag), "context {}", name).str();
    }
    return {};
  }

  // Answers with the stages of the file, for which nothing has to be known but its text.
  Result<dockerfile::Conversion> list_targets(const dockerfile::Options& options, dockerfile::Diagnostics& diagnostics) {
    TRY(dockerfile::read_dockerfile(options, *facts_, diagnostics));
    report_.answer = dockerfile::print_targets(TRY(dockerfile::list_targets(diagnostics.text, diagnostics)), diagnostics.text);
    return dockerfile::Conversion();
  }

  Result<std::vector<Planned>> convert(const dockerfile::Options& options) {
    dockerfile::Diagnostics diagnostics;
    auto conversion = order_.call == SolveOrder::Call::targets ? list_targets(options, diagnostics)
                                                               : dockerfile::build_dockerfile(options, *facts_, diagnostics);
    if (order_.call == SolveOrder::Call::check)
      report_.answer = dockerfile::print_lint(diagnostics, options.filename, conversion ? std::nullopt : std::optional(conversion.error()));
    if (order_.call == SolveOrder::Call::outline && conversion)
      report_.answer = dockerfile::print_outline(conversion->outline, diagnostics.text);
    const auto excerpt = [&](const dockerfile::Lines& lines) { return dockerfile::excerpt(options.filename, diagnostics.text, lines); };
    for (const dockerfile::Warning& warning : diagnostics.warnings)
      report_.checks.push_back({warning.rule, warning.message, warning.url, warning.lines.first, warning.lines.last, excerpt(warning.lines)});
    report_.notes = std::move(diagnostics.notes);
    if (!conversion) {
      report_.error_excerpt = excerpt(diagnostics.error_lines);
      return tl::unexpected(std::move(conversion).error());
    }
    std::vector<Planned> plans;
    for (dockerfile::BuiltImage& image : conversion->images)
      plans.push_back({std::move(image.definition), std::move(image.platform), std::move(image.config), std::move(image.base_config)});
    return plans;
  }

  Status build(Planned planned) {
    solver::SolveRequest request = request_;
    TRY(set_definition(request, planned.definition));
    // What is no definition at all (an empty file, a text) may well read as one without steps, and nobody wants that.
    if (!request.definition.result && !order_.dockerfile)
      return fail(ErrorCode::invalid_argument, "load definition: it holds no steps");
    if (!order_.output_dir.empty() || std::any_of(outputs_.begin(), outputs_.end(), is_tree))
      request.tree = solver::SolveRequest::Tree::here;
    solver::SolveOutcome outcome = engine_.solve(request, progress_, stop_);
    report_.warnings.insert(report_.warnings.end(), outcome.warnings.begin(), outcome.warnings.end());
    report_.duration += outcome.duration;
    report_.steps.insert(report_.steps.end(), outcome.steps.begin(), outcome.steps.end());
    if (!outcome.not_cached.empty())
      report_.warnings.push_back(fmt::format("the result is good but was not cached: {}", outcome.not_cached));
    if (!outcome.status) {
      report_.error = outcome.status.error();
      for (const solver::StepResult& step : outcome.steps)
        if (step.state == solver::StepState::failed && report_.error_excerpt.empty())
          report_.error_excerpt = excerpt_of(request.definition, planned.definition, step.digest);
      if (report_.error->code == ErrorCode::no_space && report_.error->hint.empty()) {
        report_.error->hint = fmt::format(
            "the disk of the store {} is full, and nothing more may go from it: free some room there, or lower the "
            "floors in gc.toml",
            engine_.root().str());
      }
      return outcome.status;
    }
    built_.push_back({std::move(planned), std::move(outcome)});
    return {};
  }

  Status export_directory() {
    const base::HostPath dest = TRY(base::HostPath::parse(order_.output_dir));
    const solver::OptionalRef& result = built_.front().outcome.result;
    if (!result) return base::make_host_dirs(dest);  // scratch: an empty directory
    const solver::ExportReport exported = TRY(export_record(engine_, *result, dest, stop_));
    report_.exported_files = exported.files;
    report_.exported_bytes = exported.bytes;
    report_.warnings.insert(report_.warnings.end(), exported.warnings.begin(), exported.warnings.end());
    return {};
  }

  bool wants_inline_cache() const { return std::any_of(cache_exports_.begin(), cache_exports_.end(), is_inline); }

  // A layer that a cache was believed to have may turn out to be gone when an archive wants its bytes: then what it was
  // made by is done again, once. Not if the beginning of the archive may be on its way to somebody.
  Status export_whole_images(std::size_t number) {
    Status exported = export_images(number);
    if (exported || !solver::may_be_lost(exported.error()) || request_.tree == solver::SolveRequest::Tree::here || stop_.stop_requested()) return exported;
    if (order_.output_fd >= 0 && (attribute(number, "dest").empty() || attribute(number, "dest") == "-")) return exported;
    const auto is_lazy = [](const Built& built) { return built.outcome.result && built.outcome.result->is_lazy(); };
    if (std::none_of(built_.begin(), built_.end(), is_lazy)) return exported;
    report_.warnings.push_back(exported.error().message + "; what is not to be had is done again");
    TRY(build_whole());
    return export_images(number);
  }

  // The same once more, with the trees of the results here.
  Status build_whole() {
    request_.tree = solver::SolveRequest::Tree::here;
    std::vector<solver::StepResult> steps = std::exchange(report_.steps, {});
    for (Built& built : std::exchange(built_, {})) TRY(build(std::move(built.plan)));
    for (solver::StepResult& again : std::exchange(report_.steps, std::move(steps))) {
      const auto first = std::find_if(report_.steps.begin(), report_.steps.end(), [&](const solver::StepResult& step) { return step.digest == again.digest; });
      if (first == report_.steps.end()) report_.steps.push_back(std::move(again));
      else if (again.state == solver::StepState::executed) *first = std::move(again);
    }
    return {};
  }

  std::string attribute(std::size_t output, const char* name) const {
    const auto found = order_.outputs[output].find(name);
    return found == order_.outputs[output].end() ? std::string() : found->second;
  }

  Status export_images(std::size_t number) {
    solver::ImageExport wanted{.output = outputs_[number], .images = {}};
    for (const Built& built : built_) {
      wanted.images.push_back({built.plan.platform, built.outcome.result, built.plan.config, built.plan.base_config, {}});
      if (wants_inline_cache() && built.outcome.keys)
        wanted.images.back().inline_cache = [this, &built](const std::vector<solver::CacheLayer>& layers) {
          return engine_.solver().inline_cache(*built.outcome.keys, layers, stop_);
        };
    }
    wanted.form = form_;
    wanted.epoch = epoch_;
    wanted.fd = order_.output_fd;
    wanted.credentials = [this](const std::string& host) { return solver::registry_credentials(host, order_.secrets, order_.logins); };
    std::mutex telling;  // uploads beside each other tell on their own threads
    wanted.progress = [&](std::uint64_t done, std::uint64_t total) {
      std::lock_guard lock(telling);
      progress_.on_bytes(0, done, total);
    };
    const std::string type = attribute(number, "type");
    auto exported = TRY(progress_.step("exporting to " + type, [&] { return engine_.solver().export_images(wanted, stop_); }), "export {}", type);
    report_.warnings.insert(report_.warnings.end(), exported.warnings.begin(), exported.warnings.end());
    report_.images.push_back({type, attribute(number, "dest"), std::move(exported)});
    return {};
  }

  Status export_cache(const Built& built, const solver::CacheExport& to) {
    if (!built.outcome.keys) {
      report_.warnings.push_back(
          fmt::format("nothing is exported to {}: the keys of the solve could not be read", to.to.text()));
      return {};
    }
    auto exported = engine_.solver().export_cache(*built.outcome.keys, to, credentials_for(to.to, order_), stop_);
    if (exported) {
      report_.caches.push_back({to.to.text(), std::move(*exported)});
      return {};
    }
    if (to.on_error != solver::CacheExport::OnError::warn)
      return tl::unexpected(base::add_context(std::move(exported).error(), "export cache"));
    report_.warnings.push_back("export cache: " + exported.error().message);
    return {};
  }

  Engine& engine_;
  const SolveOrder& order_;
  BuildProgress progress_;
  const std::stop_token stop_;
  SolveReport report_;
  solver::SolveRequest request_;
  std::vector<std::unique_ptr<solver::ResultStore>> imported_;
  std::vector<solver::CacheExport> cache_exports_;
  std::vector<solver::ImageOutput> outputs_;
  std::optional<std::int64_t> epoch_;
  solver::ImageExport::Form form_ = solver::ImageExport::Form::by_count;
  std::optional<BuildFacts> facts_;
  std::vector<Built> built_;
};

}  // namespace

SolveReport run_order(Engine& engine, const SolveOrder& order, solver::ProgressSink& progress, std::stop_token stop) {
  return Work(engine, order, progress, std::move(stop)).run();
}

}  // namespace cairn::engine

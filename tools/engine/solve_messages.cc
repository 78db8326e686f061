// SPDX-License-Identifier: Apache-2.0
// Solves and builds as they cross the socket: what is ordered, and what came of it.
#include "libdockerfile/dockerfile.h"
#include "tools/engine/message_fields.h"
#include "tools/engine/protocol.h"

namespace cairn::engine {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

Message encode_paths(const std::map<std::string, std::string>& paths) {
  Message list = Message::array();
  for (const auto& [name, path] : paths) list.push_back({{"name", bytes_of(name)}, {"path", bytes_of(path)}});
  return list;
}

Result<std::map<std::string, std::string>> decode_paths(const Message& message, const char* name) {
  std::map<std::string, std::string> paths;
  for (const Message& entry : *TRY(take_array(message, name))) {
    paths[TRY(take<std::string>(entry, "name"))] = TRY(take<std::string>(entry, "path"));
  }
  return paths;
}

Message encode_attributes(const std::vector<std::map<std::string, std::string>>& all) {
  Message list = Message::array();
  for (const auto& attributes : all) list.push_back({{"attributes", encode_paths(attributes)}});
  return list;
}

Result<std::vector<std::map<std::string, std::string>>> decode_attributes(const Message& message, const char* name) {
  std::vector<std::map<std::string, std::string>> all;
  for (const Message& entry : *TRY(take_array(message, name))) all.push_back(TRY(decode_paths(entry, "attributes")));
  return all;
}

Message encode_images(const std::vector<ImageReport>& reports) {
  Message list = Message::array();
  for (const ImageReport& report : reports) {
    const solver::ImagesExported& exported = report.exported;
    Message images = Message::array();
    for (const auto& image : exported.images)
      images.push_back({{"platform", bytes_of(dockerfile::format_platform(image.platform))},
                        {"manifest", bytes_of(image.manifest.raw())},
                        {"config", bytes_of(image.config.raw())},
                        {"layers", image.layers}});
    Message message = {{"type", bytes_of(report.type)},       {"dest", bytes_of(report.dest)},
                       {"names", encode_texts(exported.names)}, {"images", std::move(images)},
                       {"bytes", exported.bytes},              {"files", exported.files}};
    if (exported.root)
      message["root"] = {{"digest", bytes_of(exported.root->digest.raw())},
                         {"media_type", bytes_of(exported.root->media_type)},
                         {"size", exported.root->size}};
    list.push_back(std::move(message));
  }
  return list;
}

Result<ImageReport> decode_image_report(const Message& message) {
  ImageReport report{TRY(take<std::string>(message, "type")), TRY(take<std::string>(message, "dest")), {}};
  solver::ImagesExported& exported = report.exported;
  exported.names = TRY(decode_texts(message, "names"));
  exported.bytes = TRY(take<std::uint64_t>(message, "bytes"));
  exported.files = TRY(take<std::uint64_t>(message, "files"));
  for (const Message& image : *TRY(take_array(message, "images")))
    exported.images.push_back({TRY(dockerfile::parse_platform(TRY(take<std::string>(image, "platform")))),
                               TRY(BlobDigest::from_raw(TRY(take<std::string>(image, "manifest")))),
                               TRY(BlobDigest::from_raw(TRY(take<std::string>(image, "config")))),
                               TRY(take<std::uint64_t>(image, "layers"))});
  if (const auto root = message.find("root"); root != message.end())
    exported.root = {TRY(BlobDigest::from_raw(TRY(take<std::string>(*root, "digest")))),
                     TRY(take<std::string>(*root, "media_type")), TRY(take<std::uint64_t>(*root, "size"))};
  return report;
}

Message encode_checks(const std::vector<BuildWarning>& checks) {
  Message list = Message::array();
  for (const BuildWarning& check : checks)
    list.push_back({{"rule", bytes_of(check.rule)},
                    {"message", bytes_of(check.message)},
                    {"url", bytes_of(check.url)},
                    {"first_line", check.first_line},
                    {"last_line", check.last_line},
                    {"excerpt", bytes_of(check.excerpt)}});
  return list;
}

Result<BuildWarning> decode_check(const Message& message) {
  return BuildWarning{TRY(take<std::string>(message, "rule")), TRY(take<std::string>(message, "message")),
                      TRY(take<std::string>(message, "url")),  TRY(take<int>(message, "first_line")),
                      TRY(take<int>(message, "last_line")),    TRY(take<std::string>(message, "excerpt"))};
}

Result<SolveOrder::Call> decode_call(const Message& message) {
  using Call = SolveOrder::Call;
  const int number = TRY(take<int>(message, "call"));
  for (const Call call : {Call::build, Call::check, Call::outline, Call::targets})
    if (number == static_cast<int>(call)) return call;
  return fail(ErrorCode::corrupt, "call {} is none of ours", number);
}

Result<solver::StepResult> decode_step(const Message& entry) {
  solver::StepResult step;
  step.digest = TRY(solver::VertexDigest::from_raw(TRY(take<std::string>(entry, "digest"))));
  step.name = TRY(take<std::string>(entry, "name"));
  const int state = TRY(take<int>(entry, "state"));
  if (state < 0 || state > static_cast<int>(solver::StepState::cancelled)) {
    return fail(ErrorCode::corrupt, "message with a strange state");
  }
  step.state = static_cast<solver::StepState>(state);
  step.duration = std::chrono::nanoseconds(TRY(take<std::int64_t>(entry, "duration")));
  step.error = TRY(take<std::string>(entry, "error"));
  if (entry.contains("made")) step.made = cache::RecordId(TRY(take<std::uint64_t>(entry, "made")));
  if (const auto evicted = entry.find("evicted"); evicted != entry.end() && evicted->is_object()) {
    step.evicted = cache::Tombstone{base::from_unix_ns(TRY(take<std::int64_t>(*evicted, "when"))),
                                    TRY(take<std::string>(*evicted, "rule")),
                                    std::chrono::nanoseconds(TRY(take<std::int64_t>(*evicted, "build_time")))};
  }
  for (const Message& tree : *TRY(take_array(entry, "kept"))) {
    step.kept.push_back({TRY(take<std::string>(tree, "mount")), cache::RecordId(TRY(take<std::uint64_t>(tree, "record")))});
  }
  return step;
}

}  // namespace

Message encode(const SolveOrder& order) {
  Message secrets = Message::array();
  for (const auto& [id, bytes] : order.secrets) secrets.push_back({{"id", bytes_of(id)}, {"bytes", bytes_of(bytes)}});
  Message message = {{"definition", bytes_of(order.definition)},
          {"call", static_cast<int>(order.call)},
          {"outputs", encode_attributes(order.outputs)},
          {"output_fd", order.output_fd >= 0},
          {"locals", encode_paths(order.locals)},
          {"oci_layouts", encode_paths(order.oci_layouts)},
          {"secrets", std::move(secrets)},
          {"logins", encode_paths(order.logins)},
          {"ssh_agents", encode_paths(order.ssh_agents)},
          {"allow_insecure", order.allowed.insecure},
          {"allow_host_network", order.allowed.host_network},
          {"drop_failed_caches", order.cache_mount_on_fail == solver::CacheMountOnFail::drop},
          {"keep_failed", order.failed_trees == solver::FailedTrees::keep},
          {"output_dir", bytes_of(order.output_dir)},
          {"no_cache", order.use_cache == solver::UseCache::no},
          {"source_policy", bytes_of(order.source_policy)},
          {"offline", order.ask_remotes == solver::RemoteUse::Ask::never},
          {"resolve_age", order.resolve_age.count()},
          {"download_max", order.download_max},
          {"cache_from", encode_attributes(order.cache_from)},
          {"cache_to", encode_attributes(order.cache_to)},
          {"project", bytes_of(order.project)},
          {"build", bytes_of(order.build)}};
  if (order.dockerfile) message["dockerfile"] = encode_paths(*order.dockerfile);
  return message;
}

Result<SolveOrder> decode_order(const Message& message) {
  SolveOrder order;
  order.definition = TRY(take<std::string>(message, "definition"));
  if (message.contains("dockerfile")) order.dockerfile = TRY(decode_paths(message, "dockerfile"));
  order.call = TRY(decode_call(message));
  order.outputs = TRY(decode_attributes(message, "outputs"));
  order.locals = TRY(decode_paths(message, "locals"));
  order.oci_layouts = TRY(decode_paths(message, "oci_layouts"));
  const Message* const secrets = TRY(take_array(message, "secrets"));
  order.logins = TRY(decode_paths(message, "logins"));
  if (!secrets->empty() || !order.logins.empty()) forbid_core_files();
  for (const Message& secret : *secrets) {
    order.secrets[TRY(take<std::string>(secret, "id"))] = TRY(take<std::string>(secret, "bytes"));
  }
  order.ssh_agents = TRY(decode_paths(message, "ssh_agents"));
  order.allowed.insecure = TRY(take<bool>(message, "allow_insecure"));
  order.allowed.host_network = TRY(take<bool>(message, "allow_host_network"));
  using OnFail = solver::CacheMountOnFail;
  order.cache_mount_on_fail = TRY(take<bool>(message, "drop_failed_caches")) ? OnFail::drop : OnFail::keep;
  using FailedTrees = solver::FailedTrees;
  order.failed_trees = TRY(take<bool>(message, "keep_failed")) ? FailedTrees::keep : FailedTrees::drop;
  order.output_dir = TRY(take<std::string>(message, "output_dir"));
  order.use_cache = TRY(take<bool>(message, "no_cache")) ? solver::UseCache::no : solver::UseCache::yes;
  order.source_policy = TRY(take<std::string>(message, "source_policy"));
  using Ask = solver::RemoteUse::Ask;
  order.ask_remotes = TRY(take<bool>(message, "offline")) ? Ask::never : Ask::always;
  order.resolve_age = std::chrono::seconds(TRY(take<std::int64_t>(message, "resolve_age")));
  order.download_max = TRY(take<std::uint64_t>(message, "download_max"));
  order.cache_from = TRY(decode_attributes(message, "cache_from"));
  order.cache_to = TRY(decode_attributes(message, "cache_to"));
  if (message.contains("project")) order.project = TRY(take<std::string>(message, "project"));
  if (message.contains("build")) order.build = TRY(take<std::string>(message, "build"));
  return order;
}

Message encode(const SolveReport& report) {
  Message steps = Message::array();
  for (const solver::StepResult& step : report.steps) {
    Message message = {{"digest", bytes_of(step.digest.raw())},
                       {"name", bytes_of(step.name)},
                       {"state", static_cast<int>(step.state)},
                       {"duration", step.duration.count()},
                       {"error", bytes_of(step.error)},
                       {"made", step.made.value()}};
    if (step.evicted)
      message["evicted"] = {{"when", base::to_unix_ns(step.evicted->when)},
                            {"rule", bytes_of(step.evicted->rule)},
                            {"build_time", step.evicted->build_time.count()}};
    message["kept"] = Message::array();
    for (const solver::KeptTree& tree : step.kept) {
      message["kept"].push_back({{"mount", bytes_of(tree.mount)}, {"record", tree.record.value()}});
    }
    steps.push_back(std::move(message));
  }
  Message warnings = encode_texts(report.warnings);
  Message caches = Message::array();
  for (const CacheReport& cache : report.caches) {
    caches.push_back({{"to", bytes_of(cache.to)},
                      {"manifest", bytes_of(cache.exported.manifest.raw())},
                      {"records", cache.exported.records},
                      {"layers", cache.exported.layers},
                      {"new_blobs", cache.exported.new_blobs},
                      {"new_bytes", cache.exported.new_bytes}});
  }
  Message message = {{"steps", std::move(steps)},
                     {"warnings", std::move(warnings)},
                     {"notes", encode_texts(report.notes)},
                     {"checks", encode_checks(report.checks)},
                     {"answer", bytes_of(report.answer)},
                     {"images", encode_images(report.images)},
                     {"error_excerpt", bytes_of(report.error_excerpt)},
                     {"caches", std::move(caches)},
                     {"duration", report.duration.count()},
                     {"exported_files", report.exported_files},
                     {"exported_bytes", report.exported_bytes}};
  if (report.error) message["error"] = encode(*report.error);
  return message;
}

Result<SolveReport> decode_solve_report(const Message& message) {
  SolveReport report;
  for (const Message& entry : *TRY(take_array(message, "steps"))) report.steps.push_back(TRY(decode_step(entry)));
  for (const Message& entry : *TRY(take_array(message, "warnings"))) {
    report.warnings.push_back(TRY(take<std::string>(entry, "text")));
  }
  report.notes = TRY(decode_texts(message, "notes"));
  report.error_excerpt = TRY(take<std::string>(message, "error_excerpt"));
  report.answer = TRY(take<std::string>(message, "answer"));
  for (const Message& entry : *TRY(take_array(message, "checks"))) report.checks.push_back(TRY(decode_check(entry)));
  for (const Message& entry : *TRY(take_array(message, "images"))) report.images.push_back(TRY(decode_image_report(entry)));
  report.duration = std::chrono::nanoseconds(TRY(take<std::int64_t>(message, "duration")));
  for (const Message& entry : *TRY(take_array(message, "caches"))) {
    report.caches.push_back({TRY(take<std::string>(entry, "to")),
                             {.manifest = TRY(BlobDigest::from_raw(TRY(take<std::string>(entry, "manifest")))),
                              .records = TRY(take<std::uint64_t>(entry, "records")),
                              .layers = TRY(take<std::uint64_t>(entry, "layers")),
                              .new_blobs = TRY(take<std::uint64_t>(entry, "new_blobs")),
                              .new_bytes = TRY(take<std::uint64_t>(entry, "new_bytes"))}});
  }
  report.exported_files = TRY(take<std::uint64_t>(message, "exported_files"));
  report.exported_bytes = TRY(take<std::uint64_t>(message, "exported_bytes"));
  if (message.contains("error")) report.error = decode_error(message["error"]);
  return report;
}

}  // namespace cairn::engine

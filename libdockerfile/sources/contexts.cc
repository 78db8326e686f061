// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/sources/contexts.h"

#include <algorithm>

#include "libdockerfile/convert/paths.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"
#include "libdockerfile/sources/git_ref.h"
#include "libsolver/identifier.h"
#include "libsolver/platform.h"

namespace cairn::dockerfile {
namespace {

using base::Result;
using base::Status;
namespace llb = solver::llb;

constexpr const char* ignore_name = ".dockerignore";
constexpr const char* usual_name = "Dockerfile";
constexpr const char* loads_remote = "[internal] load remote build context";

// Of gzip, bzip2, xz, and of a tar archive.
bool is_archive(std::string_view data) {
  for (const std::string_view magic : {std::string_view("\x1f\x8b\x08"), std::string_view("BZh"),
                                       std::string_view("\xfd"
                                                        "7zXZ\0",
                                                        6)}) {
    if (data.starts_with(magic)) return true;
  }
  return data.size() > 262 && data.substr(257, 5) == "ustar";
}

State unpacked(const State& archive, const std::string& name) {
  llb::FileActions unpack;
  unpack.copy(archive, "/" + name, "/", {.unpack = true});
  return State().file(unpack);
}

std::string hint_of(std::string_view context, std::string_view of_directory) {
  return fmt::format("context:{}-{}", context, of_directory);
}

// The short form of an image reference, as contexts are named by it.
std::string familiar(const std::string& name) {
  const auto full = solver::normalize_image_reference(name);
  if (!full) return name;
  std::string out = *full;
  for (const std::string_view prefix : {std::string_view("docker.io/library/"), std::string_view("docker.io/")}) {
    if (!out.starts_with(prefix)) continue;
    out.erase(0, prefix.size());
    break;
  }
  if (out.ends_with(":latest")) out.resize(out.size() - std::string_view(":latest").size());
  return out;
}

State as_image(State state, const ImageConfig& image) {
  for (const std::string& variable : image.env) {
    const Cut at = cut(variable, '=');
    state = state.env(at.head, at.rest);
  }
  if (!image.working_dir.empty()) state = state.dir(image.working_dir);
  if (!image.platform.architecture.empty() && !image.platform.os.empty()) state = state.platform(image.platform);
  return state;
}

}  // namespace

void LateLocal::settle(const std::set<std::string>& paths) {
  llb::LocalOptions options;
  options.session_id = session_id;
  options.exclude_patterns = excludes;
  options.shared_key_hint = shared_key_hint;
  options.name = shown_as;
  if (!paths.contains("/")) {
    for (const std::string& path : paths) options.follow_paths.push_back(clean_path(path.substr(1)));
    std::sort(options.follow_paths.begin(), options.follow_paths.end());
  }
  tree.become(llb::local(name, options));
}

Result<std::string> Contexts::definition_of(const State& state) const {
  llb::MarshalOptions options;
  options.platform = options_.build_platform;
  return llb::marshal(state, options);
}

std::string Contexts::session_of(const std::string& local) const {
  const auto found = options_.session_of_local.find(local);
  return found == options_.session_of_local.end() ? options_.session_id : found->second;
}

State Contexts::local_file(const std::string& local, std::vector<std::string> paths, const std::string& hint,
                           const std::string& shown, const std::string& session) const {
  llb::LocalOptions options;
  options.session_id = session;
  options.follow_paths = std::move(paths);
  options.shared_key_hint = hint;
  options.differ = llb::LocalDiffer::none;
  options.name = shown;
  return llb::local(local, options);
}

Status Contexts::open() {
  filename_ = options_.filename.empty() ? usual_name : options_.filename;
  const std::string& archive = options_.context_archive;
  if (!archive.empty()) {
    const std::string& local = options_.context_name;
    remote_ = unpacked(local_file(local, {archive}, hint_of(local, archive), loads_remote, session_of(local)), archive);
  } else if (!options_.context.empty()) {
    TRY(open_address());
  }
  dockerfile_source_ = remote_;
  if (remote_ && !options_.context_subdir.empty()) {
    llb::FileActions copy;
    copy.copy(*remote_, options_.context_subdir, "/", {.dir_copy_contents = true});
    remote_ = State().file(copy);
  }
  return {};
}

Status Contexts::open_address() {
  auto git = TRY(parse_git_ref(options_.context), "context {}", options_.context);
  if (git) {
    const auto keep = options_.build_args.find("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
    const bool keep_by_argument = keep != options_.build_args.end() && (keep->second == "1" || keep->second == "true");
    git->options.keep_git_dir = git->keep_git_dir.value_or(keep_by_argument);
    git->options.name = "[internal] load git source " + options_.context;
    remote_ = llb::git(git->remote, git->options);
  } else if (is_http(options_.context)) {
    TRY(open_http());
  }
  return {};
}

// An archive is the context; anything else is the Dockerfile, and there is no more.
Status Contexts::open_http() {
  llb::HttpOptions options;
  options.filename = "context";
  options.name = loads_remote;
  const State file = llb::http(options_.context, options);
  const auto data = TRY(facts_.read_file(TRY(definition_of(file)), "context", Facts::Part::head));
  if (data && is_archive(*data)) {
    remote_ = unpacked(file, "context");
  } else {
    filename_ = "context";
    remote_ = file;
  }
  return {};
}

Result<std::string> Contexts::read_dockerfile() {
  const bool is_usual = base_name(filename_) == usual_name;
  const std::string in_lower = join_path(
      filename_.find('/') == std::string::npos ? "" : filename_.substr(0, filename_.rfind('/')), lower(usual_name));
  State source;
  if (dockerfile_source_ && options_.dockerfile_name.empty()) {
    source = *dockerfile_source_;
  } else {
    const std::string local = options_.dockerfile_name.empty() ? "dockerfile" : options_.dockerfile_name;
    std::vector<std::string> paths{filename_, filename_ + ".dockerignore"};
    if (is_usual) paths.push_back(in_lower);
    source = local_file(local, std::move(paths), local, "[internal] load build definition from " + filename_,
                        session_of(local));
  }
  dockerfile_definition_ = TRY(definition_of(source));
  auto text = TRY(facts_.read_file(dockerfile_definition_, filename_, Facts::Part::whole));
  if (!text && is_usual) text = TRY(facts_.read_file(dockerfile_definition_, in_lower, Facts::Part::whole));
  if (!text)
    return base::fail(base::ErrorCode::not_found, "failed to read dockerfile: open {}: no such file or directory",
                      filename_);
  return std::move(*text);
}

// A context that is no directory of the client is taken whole.
Result<std::vector<std::string>> Contexts::read_ignore_file() {
  if (remote_) return std::vector<std::string>();
  auto text = TRY(facts_.read_file(dockerfile_definition_, filename_ + ".dockerignore", Facts::Part::whole));
  if (!text) {
    const std::string& local = options_.context_name;
    const State source = local_file(local, {ignore_name}, local + "-" + ignore_name,
                                    fmt::format("[internal] load {}", ignore_name), session_of(local));
    text = TRY(facts_.read_file(TRY(definition_of(source)), ignore_name, Facts::Part::whole));
  }
  return text ? parse_ignore_file(*text) : std::vector<std::string>();
}

LateLocal Contexts::make_main(std::vector<std::string> excludes) const {
  LateLocal main;
  main.name = options_.context_name;
  main.session_id = session_of(options_.context_name);
  main.shared_key_hint = options_.context_name;
  main.shown_as = "[internal] load build context";
  main.excludes = std::move(excludes);
  if (remote_) main.tree.become(*remote_);
  return main;
}

std::optional<Contexts::Key> Contexts::find_key(const std::string& name, const Platform& platform) const {
  if (options_.named_contexts.empty()) return std::nullopt;
  const std::string plain = familiar(name);
  for (const std::string& key : {plain + "::" + format_platform(solver::normalize_platform(platform)), plain}) {
    const auto found = options_.named_contexts.find(key);
    if (found != options_.named_contexts.end()) return Key{key, found->second};
  }
  return std::nullopt;
}

Result<std::optional<NamedContext>> Contexts::find(const std::string& name, const Platform& platform) {
  const auto key = find_key(name, platform);
  if (!key) return std::nullopt;
  const Cut at = cut(key->specifier, ':');
  if (!at.found) return refuse("invalid context specifier {} for {}", key->specifier, key->shown);
  std::string_view address = at.rest;
  if (address.starts_with("//")) address.remove_prefix(2);
  if (at.head == "docker-image") return TRY(find_image(*key, address, platform));
  if (at.head == "oci-layout") return TRY(find_oci_layout(*key, name, address, platform));
  if (at.head == "local") return TRY(find_local(*key, std::string(at.rest)));
  auto git = TRY(parse_git_ref(key->specifier));
  if (git) {
    git->options.keep_git_dir = git->keep_git_dir.value_or(false);
    git->options.name = "[internal] load git source " + key->specifier;
    return NamedContext{llb::git(git->remote, git->options), {}, {}};
  }
  if (is_http(key->specifier)) {
    llb::HttpOptions options;
    options.name = fmt::format("[context {}] {}", key->shown, key->specifier);
    return NamedContext{llb::http(key->specifier, options), {}, {}};
  }
  // A graph that another front end would have handed on.
  if (at.head == "input") return refuse("context {} is the input {} of the build, and it has none", key->shown, at.rest);
  return refuse("unsupported context source {} for {}", at.head, key->shown);
}

Result<NamedContext> Contexts::find_image(const Key& key, std::string_view reference, const Platform& platform) {
  if (reference == "scratch") return NamedContext{};
  const std::string full = TRY(solver::normalize_image_reference(reference));
  const auto found = TRY(facts_.resolve_image(full, platform, options_.resolve_mode, {}));
  ImageConfig image = TRY(parse_image_config(found.config));
  image.created.clear();
  llb::ImageOptions options;
  options.platform = platform;
  options.name = fmt::format("[context {}] {}", key.shown, reference);
  State state = as_image(llb::image(found.reference.empty() ? full : found.reference, options), image);
  return NamedContext{std::move(state), std::move(image), {}};
}

Result<NamedContext> Contexts::find_oci_layout(const Key& key, const std::string& name, std::string_view reference,
                                               const Platform& platform) {
  const Cut at = cut(reference, '@');
  if (!at.found) return refuse("oci-layout reference {} must have a digest", go_quoted(reference));
  const std::string store(cut(at.head, ':').head);
  std::string named = TRY(solver::normalize_image_reference(name));
  named = fmt::format("{}@{}", named, at.rest);
  const auto found = TRY(facts_.resolve_image(named, platform, options_.resolve_mode, store));
  ImageConfig image = TRY(parse_image_config(found.config));
  image.created.clear();
  llb::OciLayoutOptions options;
  options.platform = platform;
  options.session_id = options_.session_id;
  options.store_id = store;
  options.name = fmt::format("[context {}] OCI load from client", key.shown);
  return NamedContext{as_image(llb::oci_layout(named, options), image), std::move(image), {}};
}

Result<NamedContext> Contexts::find_local(const Key& key, const std::string& name) {
  LateLocal local;
  local.name = name;
  local.session_id = session_of(name);
  const auto shared = options_.shared_key_of_local.find(name);
  local.shared_key_hint = hint_of(key.shown, shared == options_.shared_key_of_local.end() ? "" : shared->second);
  local.shown_as = fmt::format("[context {}] load from client", key.shown);
  const State source = local_file(name, {ignore_name}, hint_of(key.shown, ignore_name),
                                  fmt::format("[context {}] load {}", key.shown, ignore_name), local.session_id);
  const auto text = TRY(facts_.read_file(TRY(definition_of(source)), ignore_name, Facts::Part::whole));
  if (text) local.excludes = parse_ignore_file(*text);
  NamedContext context{local.tree.state(), {}, {}};
  context.local = std::move(local);
  return context;
}

}  // namespace cairn::dockerfile

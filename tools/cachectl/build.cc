// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "libbase/compress/archive_decoder.h"
#include "libbase/fs/fd.h"
#include "libcache/policy.h"
#include "libdockerfile/dockerfile.h"
#include "libsolver/identifier.h"
#include "libsolver/platform.h"
#include "tools/cachectl/build_call.h"
#include "tools/cachectl/solve_options.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

struct BuildArguments {
  std::string context, file;
  std::vector<std::string> tags, build_args, platforms, contexts, labels, annotations, no_cache_filter, extra_hosts, ulimits;
  std::string target, network, shm_size, cgroup_parent, call = "build";
  std::vector<std::string> outputs;
  bool pull = false, push = false, check = false, quiet = false;
  std::string id_file, metadata_file;
  SolveOptions options;
  Output format = Output::text;
};

using Attributes = std::map<std::string, std::string>;

constexpr std::size_t text_max = 64u << 20;

// A directory for what came on standard input, gone with it.
class InputDirectory {
 public:
  static Result<InputDirectory> make(const std::string& name) {
    const char* parent = std::getenv("TMPDIR");
    std::string path = std::string(parent != nullptr && *parent != '\0' ? parent : "/tmp") + "/cachectl-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return base::fail_errno(errno, "make a directory like {}", path);
    const base::HostPath directory = TRY(base::HostPath::from_user(path));
    return InputDirectory(directory.str(), directory.str() + "/" + name);
  }
  InputDirectory(InputDirectory&& other) noexcept : path_(std::exchange(other.path_, {})), file_(std::move(other.file_)) {}
  InputDirectory& operator=(InputDirectory&&) = delete;
  ~InputDirectory() {
    if (path_.empty()) return;
    ::unlink(file_.c_str());
    ::rmdir(path_.c_str());
  }
  const std::string& path() const { return path_; }
  // The one file, with these bytes, and behind them what `rest` gives (-1: nothing).
  Status write(std::string_view bytes, int rest = -1) const {
    const base::HostPath name = TRY(base::HostPath::parse(file_));
    const base::Fd file = TRY(base::open_host(name, O_WRONLY | O_CREAT | O_EXCL, 0644), "write {}", file_);
    TRY(base::write_full(file.get(), bytes), "write {}", file_);
    std::vector<std::byte> buffer(rest < 0 ? 0 : 1 << 20);
    while (rest >= 0) {
      const std::size_t count = TRY(base::read_full(rest, buffer), "read standard input");
      if (count == 0) break;
      TRY(base::write_full(file.get(), std::span(buffer).first(count)), "write {}", file_);
    }
    return {};
  }

 private:
  InputDirectory(std::string path, std::string file) : path_(std::move(path)), file_(std::move(file)) {}
  std::string path_, file_;
};

// Of a tar archive, compressed or not, as far as its beginning tells.
bool begins_an_archive(std::string_view head) {
  return base::detect_archive_compression(head) != base::ArchiveCompression::none || (head.size() > 262 && head.substr(257, 5) == "ustar");
}

bool is_address(std::string_view text) {
  for (const char* prefix : {"http://", "https://", "git://", "ssh://", "git@", "github.com/"})
    if (text.starts_with(prefix)) return true;
  return false;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 ? "/" : path.substr(0, slash);
}

class BuildOrder {
 public:
  BuildOrder(const BuildArguments& arguments, const BuildCall& call) : arguments_(arguments), call_(call) {}

  Status read() {
    TRY(read_places());
    TRY(read_contexts());
    TRY(read_pairs());
    TRY(read_limits());
    TRY(read_outputs());
    order_.dockerfile = std::move(front_end_);
    order_.call = call_.call;
    return {};
  }
  engine::SolveOrder take() { return std::move(order_); }

 private:
  // Where the files and the Dockerfile are.
  Status read_places() {
    const std::string& context = arguments_.context;
    if (is_address(context)) {
      front_end_["context"] = context;
      if (!arguments_.file.empty()) front_end_["filename"] = arguments_.file;
      return {};
    }
    if (context == "-") return read_input_place();
    const base::HostPath directory = TRY(base::HostPath::from_user(context), "{}", context);
    if (::access(directory.c_str(), F_OK) != 0)
      return fail(ErrorCode::not_found, "{}: there is no such directory", directory.str());
    order_.locals["context"] = directory.str();
    if (arguments_.file == "-") return take_text({});
    set_dockerfile(arguments_.file.empty() ? directory.str() + "/Dockerfile" : TRY(base::HostPath::from_user(arguments_.file), "--file {}", arguments_.file).str());
    return {};
  }

  void set_dockerfile(const std::string& file) {
    order_.locals["dockerfile"] = parent_of(file);
    front_end_["filename"] = file.substr(file.rfind('/') + 1);
  }

  // Standard input is an archive of everything, or a Dockerfile alone.
  Status read_input_place() {
    std::string head(dockerfile::Facts::head_bytes, '\0');
    head.resize(TRY(base::read_full(STDIN_FILENO, std::as_writable_bytes(std::span(head))), "read standard input"));
    if (!begins_an_archive(head)) {
      if (!arguments_.file.empty())
        return fail(ErrorCode::invalid_argument, "-: standard input is the Dockerfile of a build without files; --file names one in an archive");
      TRY(take_text(std::move(head)));
      order_.locals["context"] = input_->path();
      return {};
    }
    if (arguments_.file == "-") return fail(ErrorCode::invalid_argument, "-: standard input cannot be both the context and the Dockerfile");
    if (!arguments_.file.empty()) front_end_["filename"] = arguments_.file;
    front_end_["context-archive"] = "context";
    input_.emplace(TRY(InputDirectory::make("context")));
    order_.locals["context"] = input_->path();
    return input_->write(head, STDIN_FILENO);
  }

  // The Dockerfile is what is on standard input, behind what has been read of it.
  Status take_text(std::string text) {
    text += TRY(read_input("-"));
    if (text.size() > text_max) return fail(ErrorCode::invalid_argument, "-: more than {} bytes", text_max);
    if (begins_an_archive(text) || text.find('\0') != std::string::npos) {
      auto error = fail(ErrorCode::invalid_argument, "-: this is no Dockerfile");
      error.value().hint = "an archive (tar, or one that gzip, bzip2, xz or zstd has compressed) is taken as the context: cachectl build - < context.tar";
      return error;
    }
    input_.emplace(TRY(InputDirectory::make("Dockerfile")));
    TRY(input_->write(text));
    set_dockerfile(input_->path() + "/Dockerfile");
    return {};
  }

  Status read_contexts() {
    for (const std::string& text : arguments_.contexts) {
      const std::size_t equals = text.find('=');
      if (equals == 0 || equals == std::string::npos || equals + 1 == text.size())
        return fail(ErrorCode::invalid_argument, "--build-context {}: want NAME=VALUE", text);
      const std::string name = text.substr(0, equals), value = text.substr(equals + 1);
      if (front_end_.contains("context:" + name)) return fail(ErrorCode::invalid_argument, "--build-context {}: the name is given twice", text);
      front_end_["context:" + name] = TRY(read_context(name, value), "--build-context {}", text);
    }
    return {};
  }

  Result<std::string> read_context(const std::string& name, const std::string& value) {
    if (value.starts_with("docker-image://") || is_address(value)) return value;
    if (value.starts_with("target:") || value.starts_with("input:")) {
      auto error = fail(ErrorCode::invalid_argument, "{} is what another build hands on to this one, and there is none", value);
      error.value().hint = "build it first with -o DIR, or with -o type=oci,tar=false,dest=DIR, and give the directory or oci-layout://DIR";
      return error;
    }
    if (value.starts_with("oci-layout://")) {
      std::string rest = value.substr(13);
      const std::size_t at = rest.find('@');
      std::string behind = at == std::string::npos ? "" : rest.substr(at);
      rest = rest.substr(0, at);
      if (const std::size_t colon = rest.rfind(':'); colon != std::string::npos && rest.find('/', colon) == std::string::npos) {
        behind = rest.substr(colon) + behind;
        rest.resize(colon);
      }
      const std::string id = "layout-" + std::to_string(order_.oci_layouts.size());
      order_.oci_layouts[id] = TRY(base::HostPath::from_user(rest)).str();
      return "oci-layout://" + id + behind;
    }
    const base::HostPath directory = TRY(base::HostPath::from_user(value));
    if (name == "context" || name == "dockerfile") return fail(ErrorCode::invalid_argument, "the name is taken");
    order_.locals[name] = directory.str();
    return "local:" + name;
  }

  Status read_pairs() {
    if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH"); epoch != nullptr && *epoch != '\0')
      front_end_["build-arg:SOURCE_DATE_EPOCH"] = epoch;
    for (const std::string& text : arguments_.build_args) {
      const std::size_t equals = text.find('=');
      const std::string name = text.substr(0, equals);
      if (name.empty()) return fail(ErrorCode::invalid_argument, "--build-arg {}: want NAME=VALUE, or NAME of a variable", text);
      if (equals != std::string::npos) front_end_["build-arg:" + name] = text.substr(equals + 1);
      else if (const char* value = std::getenv(name.c_str())) front_end_["build-arg:" + name] = value;
    }
    for (const std::string& text : arguments_.labels) {
      const std::size_t equals = std::min(text.find('='), text.size());
      if (equals == 0) return fail(ErrorCode::invalid_argument, "--label {}: want NAME=VALUE", text);
      front_end_["label:" + text.substr(0, equals)] = equals < text.size() ? text.substr(equals + 1) : "";
    }
    const auto joined = [](const std::vector<std::string>& texts) {
      std::string all;
      for (const std::string& text : texts) all += (all.empty() ? "" : ",") + text;
      return all;
    };
    if (!arguments_.platforms.empty()) front_end_["platform"] = joined(arguments_.platforms);
    if (!arguments_.target.empty()) front_end_["target"] = arguments_.target;
    if (!arguments_.no_cache_filter.empty()) front_end_["no-cache"] = joined(arguments_.no_cache_filter);
    if (arguments_.pull) front_end_["image-resolve-mode"] = "pull";
    if (!arguments_.network.empty() && arguments_.network != "default") front_end_["force-network-mode"] = arguments_.network;
    if (!arguments_.cgroup_parent.empty()) front_end_["cgroup-parent"] = arguments_.cgroup_parent;
    if (!arguments_.ulimits.empty()) front_end_["ulimit"] = joined(arguments_.ulimits);
    return {};
  }

  Status read_limits() {
    std::string hosts;
    for (const std::string& text : arguments_.extra_hosts) {
      // "name=address", or, as before, "name:address".
      const std::size_t cut = text.find('=') != std::string::npos ? text.find('=') : text.find(':');
      if (cut == 0 || cut == std::string::npos || cut + 1 == text.size())
        return fail(ErrorCode::invalid_argument, "--add-host {}: want NAME:ADDRESS", text);
      hosts += (hosts.empty() ? "" : ",") + text.substr(0, cut) + "=" + text.substr(cut + 1);
    }
    if (!hosts.empty()) front_end_["add-hosts"] = hosts;
    if (arguments_.shm_size.empty()) return {};
    const cache::Space space = TRY(cache::parse_space(arguments_.shm_size), "--shm-size");
    if (space.parts().size() != 1 || space.parts()[0].unit != cache::Space::Part::Unit::bytes)
      return fail(ErrorCode::invalid_argument, "--shm-size {}: want bytes", arguments_.shm_size);
    front_end_["shm-size"] = std::to_string(space.parts()[0].amount);
    return {};
  }

  // "-o DIR" and "-o -" are what they look like; tags and annotations are for every output that has documents.
  Status read_outputs() {
    Attributes annotated;  // what is no annotation is said, whether there is an output or not
    for (const std::string& text : arguments_.annotations) TRY(add_annotation(annotated, text));
    std::vector<std::string> texts = arguments_.outputs;
    if (arguments_.push) texts.emplace_back("type=image,push=true");
    // Who wants to know what the image is called has it made.
    if (texts.empty() && (!arguments_.id_file.empty() || !arguments_.metadata_file.empty() || arguments_.quiet)) texts.emplace_back("type=image");
    std::string names;
    for (const std::string& tag : arguments_.tags)
      names += (names.empty() ? "" : ",") + TRY(solver::normalize_image_reference(tag), "--tag {}", tag);
    for (const std::string& text : texts) {
      Attributes attributes;
      if (text == "-") attributes = {{"type", "tar"}, {"dest", "-"}};
      else if (text.find('=') == std::string::npos) attributes = {{"type", "local"}, {"dest", TRY(base::HostPath::from_user(text)).str()}};
      else attributes = TRY(parse_attributes(text, "--output", "dest"));
      TRY(complete(attributes, names, annotated), "--output {}", text);
      order_.outputs.push_back(std::move(attributes));
    }
    return {};
  }

  Status complete(Attributes& attributes, const std::string& names, const Attributes& annotated) {
    const bool has_documents = attributes["type"] != "local" && attributes["type"] != "tar";
    if (has_documents && !names.empty() && !attributes.contains("name")) attributes["name"] = names;
    if (has_documents) attributes.insert(annotated.begin(), annotated.end());
    const auto output = TRY(solver::parse_image_output(attributes));
    const bool is_archive = output.type == solver::ImageOutput::Type::tar ||
                            ((output.type == solver::ImageOutput::Type::oci || output.type == solver::ImageOutput::Type::docker) &&
                             output.shape == solver::ImageOutput::Shape::archive);
    if (!is_archive || (!output.dest.empty() && output.dest != "-")) return {};
    if (is_terminal(STDOUT_FILENO)) return fail(ErrorCode::invalid_argument, "an archive on a terminal is of no use: say dest=FILE, or lead it elsewhere");
    if (order_.output_fd >= 0) return fail(ErrorCode::invalid_argument, "standard output is taken");
    if (arguments_.format == Output::json) return fail(ErrorCode::invalid_argument, "standard output is --json's");
    order_.output_fd = STDOUT_FILENO;
    attributes["dest"] = "-";
    return {};
  }

  // "KEY=VALUE", or "index:KEY=VALUE" and so on.
  static Status add_annotation(Attributes& attributes, const std::string& text) {
    const std::size_t equals = text.find('='), colon = text.find(':');
    if (equals == 0 || equals == std::string::npos) return fail(ErrorCode::invalid_argument, "--annotation {}: want KEY=VALUE", text);
    std::string key = text.substr(0, equals), where;
    const bool has_place = colon < equals && key.find('.') > colon;
    if (has_place) {
      where = "-" + key.substr(0, colon);
      key = key.substr(colon + 1);
    }
    attributes["annotation" + where + "." + key] = text.substr(equals + 1);
    return {};
  }

  const BuildArguments& arguments_;
  const BuildCall& call_;
  engine::SolveOrder order_;
  Attributes front_end_;
  std::optional<InputDirectory> input_;
};

// Notes which registries a Dockerfile names, and knows nothing of any image.
class NamedRegistries final : public dockerfile::Facts {
 public:
  Result<Image> resolve_image(const std::string& reference, const dockerfile::Platform& platform, const std::string&,
                              const std::string& oci_store) override {
    if (oci_store.empty()) registries.insert(reference.substr(0, reference.find('/')));
    const nlohmann::json config = {{"architecture", platform.architecture},
                                   {"os", platform.os},
                                   {"rootfs", {{"type", "layers"}, {"diff_ids", {"sha256:0"}}}}};
    return Image{reference, "", config.dump()};
  }
  Result<std::optional<std::string>> read_file(const std::string&, const std::string&, Part) override { return std::nullopt; }

  std::set<std::string> registries;
};

// Where the build will ask for images, as far as the text at hand says, and where it pushes to. What is wrong with any of
// it the build itself says.
std::set<std::string> registries_of(const engine::SolveOrder& order) {
  NamedRegistries named;
  const auto directory = order.locals.find("dockerfile");
  auto options = dockerfile::parse_options(*order.dockerfile);
  if (options && directory != order.locals.end()) {
    const auto path = base::HostPath::from_user(directory->second + "/" + options->filename);
    const auto text = path ? base::read_file(*path, text_max) : Result<std::string>(fail(ErrorCode::not_found, "no path"));
    dockerfile::Diagnostics diagnostics;
    options->build_platform = solver::host_platform();
    if (text) (void)dockerfile::convert_dockerfile(*text, *options, named, diagnostics);
  }
  for (const solver::OutputAttributes& attributes : order.outputs)
    if (const auto output = solver::parse_image_output(attributes); output && output->push != solver::ImageOutput::Push::no)
      for (const std::string& name : output->names) named.registries.insert(name.substr(0, name.find('/')));
  return named.registries;
}

// What other tools read of a build, under BuildKit's names.
nlohmann::ordered_json metadata_of(const engine::SolveReport& report) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const engine::ImageReport& image : report.images) {
    const auto& exported = image.exported;
    if (!exported.root) continue;
    json["containerimage.digest"] = exported.root->digest.str();
    if (exported.images.size() == 1) json["containerimage.config.digest"] = exported.images.front().config.str();
    json["containerimage.descriptor"] = {{"mediaType", exported.root->media_type},
                                         {"digest", exported.root->digest.str()},
                                         {"size", exported.root->size}};
    std::string names;
    for (const std::string& name : exported.names) names += (names.empty() ? "" : ",") + name;
    if (!names.empty()) json["image.name"] = names;
  }
  return json;
}

// "sha256:…" of the config, which is what an image is called on a machine; of several platforms, of the index.
std::string id_of(const engine::SolveReport& report) {
  for (const engine::ImageReport& image : report.images) {
    if (!image.exported.root) continue;
    return image.exported.images.size() == 1 ? image.exported.images.front().config.str() : image.exported.root->digest.str();
  }
  return {};
}

Status write_text(const std::string& file, const std::string& text) {
  const base::HostPath path = TRY(base::HostPath::from_user(file));
  std::ofstream out(path.str(), std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) return fail(ErrorCode::io, "write {}", path.str());
  return {};
}

ExitCode run_build(const GlobalOptions& global, const BuildArguments& arguments) {
  const auto call = parse_build_call(arguments.check && arguments.call == "build" ? "check" : arguments.call);
  if (!call) return report_usage(call.error());
  if (call->describes) return print_subrequests(*call, arguments.format);
  BuildOrder build(arguments, *call);
  if (const Status read = build.read(); !read)
    return read.error().code == ErrorCode::invalid_argument ? report_usage(read.error()) : report_error(read.error());
  engine::SolveOrder order = build.take();
  if (const ExitCode filled = fill_order(arguments.options, order); filled != ExitCode::done) return filled;
  const bool goes_nowhere = order.outputs.empty();
  const std::set<std::string> registries = registries_of(order);
  SolveOptions options = arguments.options;
  if (arguments.quiet) options.progress = "none";
  const bool is_call = order.call != engine::SolveOrder::Call::build;
  const bool tells_errors_only = is_call ? call->format == BuildCall::Format::json : arguments.quiet;
  SolveRun run = run_order(global, options, arguments.format, std::move(order), tells_errors_only ? Tell::errors : Tell::all, registries);
  if (is_call) return print_call(*call, run, arguments.format);
  if (run.code != ExitCode::done) return run.code;
  if (!arguments.id_file.empty())
    if (const Status written = write_text(arguments.id_file, id_of(run.report)); !written) return report_error(written.error());
  if (!arguments.metadata_file.empty())
    if (const Status written = write_text(arguments.metadata_file, metadata_of(run.report).dump(2) + "\n"); !written) return report_error(written.error());
  if (arguments.quiet) std::cout << id_of(run.report) << '\n';
  if (goes_nowhere && !arguments.quiet)
    std::cerr << "cachectl: note: no output was asked for: the result stays in the store's cache (--push, or -o type=oci,dest=FILE)\n";
  return ExitCode::done;
}

}  // namespace

void add_build(CLI::App& app, Program& program) {
  auto [verb, build] = add_verb<BuildArguments>(app, program, "build", R"(Build an image of a Dockerfile.

Examples:
  cachectl build -t app -o type=oci,dest=app.tar .
  cachectl build -t registry.example.com/app:1 --push --cache-from registry.example.com/app:cache .
  cachectl build --target tests --build-arg MODE=fast -o out .
  cachectl build --check .
  cachectl build -f docker/Dockerfile - < context.tar.gz
  cachectl build --call=outline --target tests .
  cachectl build --call=targets,format=json .)",
                               run_build);
  verb.add_option("CONTEXT", build.context, "The directory with the files; or an address of git or HTTP; - reads an archive of it, or a Dockerfile alone")->required();
  verb.add_option("-f,--file", build.file, "The Dockerfile; - reads standard input (default: CONTEXT/Dockerfile)")->type_name("FILE");
  verb.add_option("-t,--tag", build.tags, "What the image is called; more than once: all of them")->type_name("NAME");
  verb.add_option("--target", build.target, "The stage that is built (default: the last)")->type_name("STAGE");
  verb.add_option("--build-arg", build.build_args, "A value for an ARG; alone, that of the variable of this name")->type_name("NAME[=VALUE]");
  verb.add_option("--platform", build.platforms, "What it is built for; several make an index")->type_name("OS/ARCH[,...]");
  verb.add_option("--build-context", build.contexts, "A further context, for FROM, COPY --from and mounts: a directory, docker-image://REF, oci-layout://DIR[:TAG], or an address")
      ->type_name("NAME=VALUE");
  verb.add_option("-o,--output", build.outputs, "Where it goes: oci, docker (archives, or tar=false: a layout), image (push=true), tar, local; DIR alone: its files")
      ->type_name("type=TYPE[,dest=PATH]");
  verb.add_flag("--push", build.push, "As -o type=image,push=true");
  verb.add_flag("--check", build.check, "Only look at the Dockerfile, and tell what is questionable in it");
  verb.add_option("--call", build.call, "What is done with the Dockerfile; what it says of itself comes as text or JSON")
      ->type_name("NAME[,format=json]:{build,check,lint,outline,targets,subrequests.describe}")
      ->capture_default_str();
  verb.add_option("--label", build.labels, "A label of the image")->type_name("NAME=VALUE");
  verb.add_option("--annotation", build.annotations, "An annotation of the manifest (or index:, manifest-descriptor:, index-descriptor:)")->type_name("KEY=VALUE");
  verb.add_flag("--pull", build.pull, "Ask registries what tags are now, whatever was believed");
  verb.add_option("--no-cache-filter", build.no_cache_filter, "Stages whose steps run, whatever is known")->type_name("STAGE");
  verb.add_option("--network", build.network, "What network RUN has")->check(CLI::IsMember({"default", "none", "host"}));
  verb.add_option("--add-host", build.extra_hosts, "A further line of /etc/hosts")->type_name("NAME:ADDRESS");
  verb.add_option("--ulimit", build.ulimits, "A limit of the processes of RUN")->type_name("NAME=SOFT[:HARD]");
  verb.add_option("--shm-size", build.shm_size, "How large /dev/shm is")->type_name("SPACE");
  verb.add_option("--cgroup-parent", build.cgroup_parent, "Under which cgroup RUN runs")->type_name("PATH");
  verb.add_option("--iidfile", build.id_file, "A file that gets the image's ID")->type_name("FILE");
  verb.add_option("--metadata-file", build.metadata_file, "A file that gets what was made, as JSON under BuildKit's names")->type_name("FILE");
  verb.add_flag("-q,--quiet", build.quiet, "Print the image's ID and nothing else");
  add_solve_options(verb, build.options);
}

}  // namespace cairn::cachectl

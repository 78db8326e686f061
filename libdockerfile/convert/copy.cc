// SPDX-License-Identifier: Apache-2.0
// COPY and ADD: files of the context, of stages and images, of the network, and of the Dockerfile itself.
#include <algorithm>
#include <charconv>

#include "libcache/pattern.h"
#include "libdockerfile/convert/conversion.h"
#include "libdockerfile/convert/paths.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"
#include "libdockerfile/sources/git_ref.h"

namespace cairn::dockerfile {

using base::Result;
using base::Status;
namespace llb = solver::llb;

namespace {

struct Mode {
  std::int32_t number = -1;
  std::string text;
};

// One clause of a symbolic mode: "u=rwX", "go-w".
bool is_mode_clause(std::string_view clause) {
  const std::size_t who = std::min(clause.find_first_not_of("ugoa"), clause.size());
  clause.remove_prefix(who);
  if (clause.empty() || std::string_view("+-=").find(clause[0]) == std::string_view::npos) return false;
  return clause.find_first_not_of("+-=rwxXstugo") == std::string_view::npos;
}

Result<Mode> parse_mode(const std::string& text) {
  if (text.empty()) return Mode{};
  const bool is_octal = text.find_first_not_of("01234567") == std::string::npos;
  if (is_octal) {
    std::int32_t number = 0;
    for (const char c : text) {
      number = number * 8 + (c - '0');
      if (number > 07777)
        return refuse("invalid chmod parameter: '{}'. it should be octal string and between 0 and 07777", text);
    }
    return Mode{number, {}};
  }
  for (const std::string& clause : split(text, ',')) {
    if (!is_mode_clause(clause))
      return refuse("invalid chmod parameter: '{}'. it should be octal string and between 0 and 07777", text);
  }
  return Mode{-1, text};
}

// "%20" is ' '.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    unsigned byte = 0;
    const char* digits = text.data() + at + 1;
    const bool escapes =
        text[at] == '%' && at + 2 < text.size() && std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2;
    out += escapes ? static_cast<char>(byte) : text[at];
    if (escapes) at += 2;
  }
  return out;
}

// The last name in the path of a URL.
std::string file_of_url(std::string_view url) {
  url = url.substr(url.find("://") + 3);
  url = url.substr(0, std::min(url.find_first_of("?#"), url.size()));
  const std::size_t slash = url.find('/');
  const std::string name = slash == std::string_view::npos ? "." : base_name(url.substr(slash));
  return name == "." || name == "/" ? "__unnamed__" : unescaped(name);
}

Status check_places(const Copy& copy) {
  if (copy.checksum.empty()) return {};
  if (copy.sources.size() != 1) return refuse("checksum can't be specified for multiple sources");
  const bool is_remote = is_http(copy.sources[0]) || TRY(parse_git_ref(copy.sources[0])).has_value();
  if (!is_remote) return refuse("checksum requires HTTP(S) or Git sources");
  return {};
}

std::string history_of(const Copy& copy) {
  std::string text = copy.is_add ? "ADD" : "COPY";
  if (copy.parents) text += " --parents";
  if (!copy.chown.empty()) text += " --chown=" + copy.chown;
  if (!copy.chmod.empty()) text += " --chmod=" + copy.chmod;
  for (const std::string& source : copy.sources) text += " " + source;
  for (const InlineFile& file : copy.files) text += " <<" + file.name;
  return text + " " + copy.dest;
}

// What all copies of one instruction have in common.
struct CopyPlan {
  llb::CopyOptions plain;  // of what is a single file or a whole tree
  llb::FileOwner owner;
  bool has_owner = false;
  std::string dest;
  std::string shown_as;

  void add(llb::FileActions& actions, const State& from, std::string_view src, const llb::CopyOptions& options) const {
    actions.copy(from, src, dest, options);
    if (has_owner) actions.owner(owner);
  }
};

Status add_git(const Copy& copy, const CopyPlan& plan, GitRef git, llb::FileActions& actions) {
  if (!copy.is_add) return refuse("source can't be a git ref for COPY");
  if (copy.keep_git_dir && git.keep_git_dir && *copy.keep_git_dir != *git.keep_git_dir) {
    return refuse("keep-git-dir is specified twice: by the flag and in the address");
  }
  git.options.keep_git_dir = copy.keep_git_dir.value_or(git.keep_git_dir.value_or(false));
  if (!copy.checksum.empty()) git.options.checksum = copy.checksum;
  git.options.name = plan.shown_as;
  plan.add(actions, llb::git(git.remote, git.options), "/", plan.plain);
  return {};
}

Status add_url(const Copy& copy, const CopyPlan& plan, const std::string& url, llb::FileActions& actions) {
  if (!copy.is_add) return refuse("source can't be a URL for COPY");
  llb::HttpOptions options;
  options.filename = file_of_url(url);
  options.checksum = copy.checksum;
  options.notes.description["com.docker.dockerfile.v1.command"] = "";  // BuildKit says this, and no more
  options.name = plan.shown_as;
  llb::CopyOptions how = plan.plain;
  how.unpack = copy.unpack.value_or(false);
  plan.add(actions, llb::http(url, options), options.filename, how);
  return {};
}

Status add_local(const Copy& copy, const CopyPlan& plan, const State& from, std::string source, const std::string& os,
                 llb::FileActions& actions) {
  llb::CopyOptions how = plan.plain;
  how.follow_symlink = how.dir_copy_contents = how.allow_wildcard = how.allow_empty_wildcard = true;
  how.unpack = copy.unpack.value_or(copy.is_add);
  if (copy.parents) {
    // What stands before "/./" is where the paths that are kept begin.
    const std::size_t pivot = source.find("/./");
    std::string kept = pivot == std::string::npos ? source : source.substr(pivot + 3);
    source = pivot == std::string::npos ? "/" : source.substr(0, pivot);
    kept = TRY(normal_path("/", kept, os, TrailingSlash::dropped)).substr(1);
    if (!cache::has_wildcard(kept)) how.required_paths = {join_path(join_path("/", source), kept)};
    how.include_patterns = {kept};
  }
  plan.add(actions, from, TRY(normal_path("/", source, os, TrailingSlash::dropped)), how);
  return {};
}

void add_inline(const CopyPlan& plan, const InlineFile& file, llb::FileActions& actions) {
  llb::FileActions make;
  make.mkfile(file.name, 0644, file.data);
  make.name("[internal] preparing inline document");
  plan.add(actions, State().file(make), file.name, plan.plain);
}

}  // namespace

void Converter::check_ignored(const Copy& copy, const std::string& path, Lines lines) {
  if (!copy.from.empty()) return;
  cache::PatternList::MatchInfo info;
  const auto matched = shared_.ignore_list.matches(join_path("/", path).substr(1), {}, info);
  if (!matched || !*matched) return;
  linter_.warn("CopyIgnoredFile", lines,
               fmt::format("Attempting to {} file {} that is excluded by .dockerignore", copy.is_add ? "Add" : "Copy",
                           go_quoted(path)));
}

Status Converter::copy_step(BuildStage& stage, const Copy& copy, const PlannedCommand& planned) {
  const Command& command = planned.command;
  State from = main_state_;
  std::set<std::string>* used = &stage.context_paths;
  if (!planned.sources.empty()) {
    BuildStage& source = *planned.sources[0];
    if (!source.is_dispatched) {
      return refuse("cannot copy from stage {}, it needs to be defined before current stage {}", go_quoted(copy.from),
                    go_quoted(stage.shown_name));
    }
    from = source.state;
    used = source.paths.get();
  }
  const Platform& platform = platform_of(stage);
  CopyPlan plan;
  plan.dest = TRY(normal_path(stage.state.directory(), copy.dest == "." || copy.dest.empty() ? "./" : copy.dest,
                              platform.os, TrailingSlash::kept));
  const Cut owner = cut(copy.chown, ':');
  plan.owner = {std::string(owner.head), std::string(owner.rest)};
  plan.has_owner = !copy.chown.empty();
  const Mode mode = TRY(parse_mode(copy.chmod));
  plan.plain.mode = mode.number;
  plan.plain.mode_text = mode.text;
  plan.plain.create_dest_path = true;
  plan.plain.exclude_patterns = copy.excludes;
  TRY(check_places(copy));

  const std::string text = shown(stage.state.environment(), command, command.code, word_rules());
  plan.shown_as = prefixed(stage, text, &platform);
  llb::FileActions actions;
  for (const std::string& source : copy.sources) {
    auto git = parse_git_ref(source);
    if (!git) return tl::unexpected(git.error());
    if (*git && !(*git)->without_scheme) {
      TRY(add_git(copy, plan, std::move(**git), actions));
    } else if (is_http(source)) {
      TRY(add_url(copy, plan, source, actions));
    } else {
      check_ignored(copy, source, command.lines);
      TRY(add_local(copy, plan, from, source, platform.os, actions));
    }
    if (!copy.is_add || !is_http(source)) used->insert(join_path("/", source));
  }
  for (const InlineFile& file : copy.files) add_inline(plan, file, actions);

  llb::StepNotes notes = notes_of(stage, command.lines);
  actions.name(plan.shown_as);
  if (copy.link && copy.chmod.empty()) {
    notes.progress_group =
        solver::wire::ProgressGroup{fmt::format("progress-group-{}", progress_groups_++), plan.shown_as, true, {}};
    actions.notes(notes);
    --stage.index;  // the two steps share a number
    const std::string linked_as = prefixed(stage, "LINK " + text, &platform);
    notes.progress_group->weak = false;
    stage.state = stage.state.over(llb::merge({stage.state, State().file(actions)}, linked_as, notes));
  } else {
    actions.notes(notes);
    stage.state = stage.state.file(actions);
  }
  record(stage, history_of(copy), Layer::made);
  return {};
}

}  // namespace cairn::dockerfile

// SPDX-License-Identifier: Apache-2.0
// Which stages there are, what each begins with and what it copies or mounts from.
#include <algorithm>
#include <charconv>

#include "libdockerfile/convert/conversion.h"
#include "libdockerfile/instructions/flags.h"
#include "libdockerfile/lint/names.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"
#include "libsolver/identifier.h"

namespace cairn::dockerfile {

using base::Result;
using base::Status;

namespace {

constexpr std::size_t stages_max = 100'000;  // those of images that are copied from among them

// What is known of platforms before any ARG.
Environment default_args(const Options& options, const Target& target) {
  Environment args;
  const auto add = [&](const std::string& prefix, const Platform& platform) {
    args.emplace_back(prefix + "PLATFORM", format_platform(platform));
    args.emplace_back(prefix + "OS", platform.os);
    args.emplace_back(prefix + "OSVERSION", platform.os_version);
    args.emplace_back(prefix + "ARCH", platform.architecture);
    args.emplace_back(prefix + "VARIANT", platform.variant);
  };
  add("BUILD", options.build_platform);
  add("TARGET", target.platform);
  args.emplace_back("TARGETSTAGE", options.target.empty() ? "default" : options.target);
  for (auto& [key, value] : args) {
    const auto given = options.build_args.find(key);
    if (given != options.build_args.end()) value = given->second;
  }
  return args;
}

void set_variable(Environment& environment, const std::string& key, std::string value) {
  std::erase_if(environment, [&](const auto& entry) { return entry.first == key; });
  environment.emplace_back(key, std::move(value));
}

struct GlobalArgs {
  Environment values;
  DeclaredArgs declared;  // in the file
};

Result<GlobalArgs> with_global_args(Environment args, const Stages& parsed,
                                    const std::map<std::string, std::string>& given, const WordRules& rules,
                                    Lines& error_lines) {
  DeclaredArgs all;
  for (const Command& command : parsed.global_args) {
    for (const auto& entry : std::get<Arg>(command.what).entries) {
      std::optional<std::string> value = entry.value;
      DeclaredArg declared{.description = entry.comment, .value = {}, .lines = command.lines, .needs = {}};
      const auto found = given.find(entry.key);
      if (found != given.end()) {
        value = found->second;
      } else if (value) {
        auto expanded = expand_words(*value, args, rules);
        if (!expanded) {
          error_lines = command.lines;
          return tl::unexpected(expanded.error());
        }
        value = std::move(expanded->text);
        declared.needs = std::move(expanded->matched);
      }
      declared.value = value.value_or("");
      all.insert_or_assign(entry.key, std::move(declared));
      if (value) set_variable(args, entry.key, std::move(*value));
    }
  }
  return GlobalArgs{std::move(args), std::move(all)};
}

bool is_number(const std::string& text, std::size_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool makes_a_step(const Command& command) {
  return std::holds_alternative<Run>(command.what) || std::holds_alternative<Copy>(command.what) ||
         std::holds_alternative<Workdir>(command.what);
}

}  // namespace

Converter::Converter(Shared& shared, Target target)
    : shared_(shared),
      options_(shared.options),
      linter_(shared.linter),
      target_(std::move(target)),
      main_(shared.contexts.make_main(shared.ignored)),
      main_state_(main_.tree.state()) {}

Status Converter::at(Lines lines, Status status) {
  if (!status && shared_.error_lines.first == 0) shared_.error_lines = lines;
  return status;
}

Status Converter::set_global_args(const Stages& parsed) {
  const Environment defaults = default_args(options_, target_);
  // Without the arguments of this build the names of images should still be right.
  Lines ignored;
  const auto unaided = with_global_args(defaults, parsed, {}, word_rules(), ignored);
  if (unaided) {
    global_args_ = unaided->values;
    check_base_names(parsed);
  }
  GlobalArgs args = TRY(with_global_args(defaults, parsed, options_.build_args, word_rules(), shared_.error_lines));
  global_args_ = std::move(args.values);
  global_declared_ = std::move(args.declared);
  return {};
}

void Converter::check_base_names(const Stages& parsed) {
  for (const Stage& stage : parsed.stages) {
    const auto name = expand_words(stage.base, global_args_, word_rules());
    if (!name || (name->matched.empty() && name->unmatched.empty())) continue;
    if (!name->text.empty() && solver::normalize_image_reference(name->text)) continue;
    linter_.warn("InvalidDefaultArgInFrom", stage.lines,
                 fmt::format("Default value for ARG {} results in empty or invalid base image name", stage.base));
  }
}

BuildStage* Converter::find_stage(const std::string& name) const {
  const auto found = by_name_.find(lower(name));
  return found == by_name_.end() ? nullptr : found->second;
}

BuildStage& Converter::add(std::unique_ptr<BuildStage> stage) {
  stage->base = find_stage(stage->base_name);
  if (!stage->own_name.empty()) by_name_[stage->own_name] = stage.get();
  stages_.push_back(std::move(stage));
  return *stages_.back();
}

BuildStage& Converter::find_or_add(const std::string& name, Lines lines) {
  BuildStage* known = find_stage(name);
  if (known != nullptr) return *known;
  auto stage = std::make_unique<BuildStage>();
  stage->base_name = name;
  stage->lines = lines;
  stage->is_source_only = true;
  return add(std::move(stage));
}

Result<Platform> Converter::stage_platform(const Stage& stage, const std::set<std::string>& arg_names,
                                           std::set<std::string>& used) {
  const Expanded expanded = TRY(expand_words(stage.platform, global_args_, word_rules()),
                                "failed to process arguments for platform {}", stage.platform);
  used.insert(expanded.matched.begin(), expanded.matched.end());
  const std::vector<std::string> names(arg_names.begin(), arg_names.end());
  for (const std::string& name : expanded.unmatched) {
    if (!arg_names.contains(name)) {
      linter_.warn("UndefinedArgInFrom", stage.lines,
                   fmt::format("FROM argument '{}' is not declared{}", name, suggestion(name, names)));
    }
  }
  if (stage.platform == "$TARGETPLATFORM" || stage.platform == "${TARGETPLATFORM}") {
    linter_.warn("RedundantTargetPlatform", stage.lines,
                 fmt::format("Setting platform to predefined {} in FROM is redundant as this is the default behavior",
                             stage.platform));
  }
  const std::string near =
      expanded.unmatched.size() == 1 ? suggestion(*expanded.unmatched.begin(), names) : std::string();
  if (expanded.text.empty()) return refuse("empty platform value from expression {}{}", stage.platform, near);
  auto platform = parse_platform(expanded.text);
  if (!platform) return refuse("failed to parse platform {}: {}{}", stage.platform, platform.error().message, near);
  const bool names_it = stage.name.find(platform->os) != std::string::npos ||
                        stage.name.find(platform->architecture) != std::string::npos;
  if (expanded.matched.empty() && expanded.unmatched.empty() && !names_it) {
    linter_.warn("FromPlatformFlagConstDisallowed", stage.lines,
                 fmt::format("FROM --platform flag should not use constant value {}", go_quoted(expanded.text)));
  }
  return platform;
}

Status Converter::add_stage(const Stage& stage, std::size_t number, const std::set<std::string>& arg_names) {
  const Expanded name = TRY(expand_words(stage.base, global_args_, word_rules()));
  const std::vector<std::string> names(arg_names.begin(), arg_names.end());
  for (const std::string& unset : name.unmatched) {
    if (arg_names.contains(unset)) continue;
    linter_.warn("UndefinedArgInFrom", stage.lines,
                 fmt::format("FROM argument '{}' is not declared{}", unset, suggestion(unset, names)));
  }
  if (name.text.empty()) return refuse("base name ({}) should not be blank", stage.base);
  auto fresh = std::make_unique<BuildStage>();
  fresh->base_name = name.text;
  fresh->own_name = stage.name;
  fresh->shown_name = stage.name.empty() ? fmt::format("stage-{}", number) : stage.name;
  fresh->code = stage.code;
  fresh->description = stage.comment;
  fresh->lines = stage.lines;
  std::set<std::string> used = name.matched;
  if (!stage.platform.empty()) fresh->platform = TRY(stage_platform(stage, arg_names, used));
  const auto& no_cache = options_.no_cache;
  fresh->ignore_cache =
      no_cache && (no_cache->empty() || std::any_of(no_cache->begin(), no_cache->end(), [&](const std::string& each) {
                     return same_ignoring_case(each, stage.name);
                   }));
  BuildStage& added = add(std::move(fresh));
  const bool is_reserved = stage.name.empty() || stage.name == "scratch" || stage.name == "context";
  added.is_named_context = !is_reserved && shared_.contexts.has(stage.name, added.platform.value_or(target_.platform));
  if (added.is_named_context) {
    added.base = nullptr;
    return {};
  }
  added.parameters.used_args = std::move(used);
  added.total = added.base_name != "scratch" && added.base == nullptr ? 1 : 0;
  added.total += static_cast<int>(std::count_if(stage.commands.begin(), stage.commands.end(), makes_a_step));
  return {};
}

Status Converter::add_stages(Stages& parsed) {
  std::set<std::string> arg_names;
  for (const auto& [key, value] : global_args_) arg_names.insert(key);
  for (const Command& command : parsed.global_args) {
    for (const auto& entry : std::get<Arg>(command.what).entries) arg_names.insert(entry.key);
  }
  for (std::size_t i = 0; i < parsed.stages.size(); ++i)
    TRY(at(parsed.stages[i].lines, add_stage(parsed.stages[i], i, arg_names)));
  for (std::size_t i = 0; i < parsed.stages.size(); ++i) {
    BuildStage& stage = *stages_[i];
    for (Command& command : parsed.stages[i].commands)
      TRY(at(command.lines, plan(stage, std::move(command), stage.commands)));
  }
  TRY(check_cycles());
  if (stages_.size() == 1) stages_[0]->shown_name.clear();
  return {};
}

Status Converter::plan(BuildStage& stage, Command command, std::vector<PlannedCommand>& out) {
  PlannedCommand planned;
  if (const auto* copy = std::get_if<Copy>(&command.what); copy != nullptr && !copy->from.empty()) {
    std::size_t number = 0;
    if (!is_number(copy->from, number)) {
      planned.sources.push_back(&find_or_add(copy->from, command.lines));
    } else if (number < stages_.size()) {
      planned.sources.push_back(stages_[number].get());
    } else {
      return refuse("invalid stage index {}", number);
    }
  } else if (const auto* run = std::get_if<Run>(&command.what)) {
    for (const std::string& mount : run->mounts) {
      const std::string from = TRY(mount_from(mount));
      // What kind it is may hang on a variable; one that needs nothing gets the empty tree.
      planned.sources.push_back(&find_or_add(from.empty() ? "scratch" : from, command.lines));
    }
  }
  for (BuildStage* source : planned.sources) stage.needs.insert(source);
  if (stages_.size() > stages_max) return refuse("more than {} stages", stages_max);
  planned.command = std::move(command);
  out.push_back(std::move(planned));
  return {};
}

Result<BuildStage*> Converter::find_target(std::size_t stages_of_file) const {
  const std::string& name = options_.target;
  if (name.empty()) return stages_[stages_of_file - 1].get();
  if (BuildStage* stage = find_stage(name)) return stage;
  std::size_t number = 0;
  if (is_number(name, number) && number < stages_of_file) return stages_[number].get();
  std::vector<std::string> names;
  for (const auto& [each, ignored] : by_name_) names.push_back(each);
  return refuse("target stage {} could not be found{}", go_quoted(name), suggestion(lower(name), names));
}

// A stage may need itself over others. Iterative: chains of stages are as long as their author likes.
Status Converter::check_cycles() {
  enum class Seen : char { no, on_path, done };
  std::map<const BuildStage*, Seen> seen;
  struct Frame {
    BuildStage* stage;
    std::set<BuildStage*>::const_iterator next;
  };
  for (const auto& root : stages_) {
    if (seen[root.get()] != Seen::no) continue;
    std::vector<Frame> path{{root.get(), root->needs.begin()}};
    seen[root.get()] = Seen::on_path;
    while (!path.empty()) {
      Frame& top = path.back();
      if (top.next == top.stage->needs.end()) {
        seen[top.stage] = Seen::done;
        path.pop_back();
        continue;
      }
      BuildStage* need = *top.next++;
      Seen& state = seen[need];
      if (state == Seen::on_path) {
        for (const PlannedCommand& each : top.stage->commands) {
          if (std::find(each.sources.begin(), each.sources.end(), need) != each.sources.end())
            shared_.error_lines = each.command.lines;
        }
        return refuse("circular dependency detected on stage: {}", root->shown_name);
      }
      if (state == Seen::done) continue;
      state = Seen::on_path;
      path.push_back({need, need->needs.begin()});
    }
  }
  return {};
}

Result<BuildStage*> Converter::run() {
  Stages parsed = TRY(parse_stages(shared_.source, linter_, shared_.error_lines));
  if (parsed.stages.empty()) return refuse("dockerfile contains no stages to build");
  check_stage_names(parsed.stages, linter_);
  TRY(set_global_args(parsed));
  TRY(add_stages(parsed));
  BuildStage* target = TRY(find_target(parsed.stages.size()));
  TRY(resolve_all(target));
  TRY(dispatch_all(target));
  target->paths->insert("/");
  std::set<std::string> wanted;
  for (const auto& stage : stages_) {
    wanted.insert(stage->context_paths.begin(), stage->context_paths.end());
    if (stage->local) stage->local->settle(*stage->paths);
  }
  if (options_.context.empty() && options_.context_archive.empty()) main_.settle(wanted);
  for (const auto& [key, value] : options_.labels) target->image.labels[key] = value;
  if (!target_.is_implicit) {
    const std::string os_version = target->image.platform.os_version;
    target->image.platform = target_.platform;
    if (target->image.platform.os_version.empty()) target->image.platform.os_version = os_version;
  }
  return target;
}

}  // namespace cairn::dockerfile

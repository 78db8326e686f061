// SPDX-License-Identifier: Apache-2.0
// The conversion of one Dockerfile for one platform: what all of its parts see.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libcache/pattern.h"
#include "libdockerfile/convert/build_stage.h"
#include "libdockerfile/instructions/instructions.h"
#include "libdockerfile/instructions/mount.h"
#include "libdockerfile/parse/shell_words.h"
#include "libdockerfile/subrequests.h"
#include "libsolver/llb.h"

namespace cairn::dockerfile {

// Which platform a conversion is for.
struct Target {
  Platform platform;
  bool is_implicit = false;  // nobody asked for it, so a base image may have another
};

// What the whole file has in common.
struct Shared {
  const Source& source;
  const Options& options;
  Facts& facts;
  Contexts& contexts;
  Linter& linter;
  Lines& error_lines;
  const std::vector<std::string>& ignored;
  cache::PatternList ignore_list;
};

// Whether a command is a layer of the image, and whether its line in the history says that a step made it.
enum class Layer { none, without_mark, made };

class Converter {
 public:
  Converter(Shared& shared, Target target);
  Converter(const Converter&) = delete;

  // The stage that was asked for, done.
  base::Result<BuildStage*> run();
  const State& main_context() const { return main_state_; }
  // What a stage that is done takes.
  Outline outline_of(BuildStage* target) const;

 private:
  // stages.cc: which stages there are and what they need.
  base::Status set_global_args(const Stages& parsed);
  base::Status add_stages(Stages& parsed);
  base::Status add_stage(const Stage& stage, std::size_t number, const std::set<std::string>& arg_names);
  base::Result<Platform> stage_platform(const Stage& stage, const std::set<std::string>& arg_names,
                                        std::set<std::string>& used);
  void check_base_names(const Stages& parsed);
  BuildStage& add(std::unique_ptr<BuildStage> stage);
  BuildStage* find_stage(const std::string& name) const;
  BuildStage& find_or_add(const std::string& name, Lines lines);
  base::Status plan(BuildStage& stage, Command command, std::vector<PlannedCommand>& out);
  base::Result<BuildStage*> find_target(std::size_t stages_of_file) const;
  base::Status check_cycles();

  // outline.cc
  std::vector<BuildStage*> nearest_first(BuildStage* target) const;

  // bases.cc: what stages begin with.
  std::vector<BuildStage*> reachable(BuildStage* target) const;
  base::Status resolve_all(BuildStage* target);
  base::Status resolve(BuildStage& stage);
  base::Result<bool> take_context(BuildStage& stage, const std::string& name, const Platform& platform);
  base::Status take_image(BuildStage& stage, const std::string& name, Platform platform);
  base::Result<bool> plan_on_build(BuildStage& stage);

  // dispatch.cc: commands in order, their variables, and what is said in the image config.
  base::Status begin(BuildStage& stage);
  base::Status dispatch_all(BuildStage* target);
  base::Status dispatch(BuildStage& stage, PlannedCommand& planned);
  base::Status expand(BuildStage& stage, Command& command);
  base::Status expand_pairs(BuildStage& stage, std::vector<KeyValue>& pairs, const Command& command);
  base::Status expand_copy(BuildStage& stage, Copy& copy, const Command& command);

  // config.cc: what leaves no step, or WORKDIR's.
  base::Status say(BuildStage& stage, const Env& env, const Command& command);
  base::Status say(BuildStage& stage, const Label& label, const Command& command);
  base::Status say(BuildStage& stage, const Arg& arg, const Command& command);
  base::Status say(BuildStage& stage, const Cmd& cmd, const Command& command);
  base::Status say(BuildStage& stage, const Entrypoint& entrypoint, const Command& command);
  base::Status say(BuildStage& stage, const Expose& expose, const Command& command);
  base::Status say(BuildStage& stage, const Volume& volume, const Command& command);
  base::Status say(BuildStage& stage, const Shell& shell, const Command& command);
  base::Status say(BuildStage& stage, const Workdir& workdir, const Command& command);
  base::Status say(BuildStage& stage, const User& user, const Command& command);
  base::Status say(BuildStage& stage, const StopSignal& signal, const Command& command);
  base::Status say(BuildStage& stage, const Maintainer& maintainer, const Command& command);
  base::Status say(BuildStage& stage, const OnBuild& on_build, const Command& command);
  base::Status say(BuildStage& stage, const HealthCheck& check, const Command& command);
  base::Status set_workdir(BuildStage& stage, const std::string& path);
  std::vector<std::string> shell_words(const BuildStage& stage, const CommandLine& line, const Command& command);
  void say_once(SaidOnce& said, const Command& command);
  void check_secret(std::string_view instruction, const std::string& key, Lines lines);

  // run.cc
  base::Status run_step(BuildStage& stage, const Run& run, const PlannedCommand& planned);
  base::Status add_mounts(BuildStage& stage, const Run& run, const PlannedCommand& planned,
                          solver::llb::RunOptions& options);
  base::Status add_mount(BuildStage& stage, RunMount mount, BuildStage* source, solver::llb::RunOptions& options);

  // copy.cc
  base::Status copy_step(BuildStage& stage, const Copy& copy, const PlannedCommand& planned);
  void check_ignored(const Copy& copy, const std::string& path, Lines lines);

  // steps.cc: what all of them share.
  base::Result<std::string> expand_text(BuildStage& stage, const std::string& text, const Command& command);
  void report_unset(const BuildStage& stage, const std::set<std::string>& names, Lines lines);
  std::string shown(const Environment& environment, const Command& command, const std::string& text,
                    const WordRules& rules) const;
  std::string prefixed(BuildStage& stage, const std::string& text, const Platform* platform) const;
  void record(BuildStage& stage, std::string text, Layer layer) const;
  solver::llb::StepNotes notes_of(const BuildStage& stage, Lines lines) const;
  WordRules word_rules() const { return {.escape = shared_.source.escape}; }
  base::Status at(Lines lines, base::Status status);
  const Platform& platform_of(const BuildStage& stage) const {
    return stage.platform ? *stage.platform : target_.platform;
  }

  Shared& shared_;
  const Options& options_;
  Linter& linter_;
  Target target_;
  Environment global_args_;
  DeclaredArgs global_declared_;
  std::vector<std::unique_ptr<BuildStage>> stages_;
  std::map<std::string, BuildStage*, std::less<>> by_name_;
  LateLocal main_;
  State main_state_;
  int progress_groups_ = 0;
};

}  // namespace cairn::dockerfile

// SPDX-License-Identifier: Apache-2.0
// One stage while it is converted. Images and contexts that are copied or mounted from are stages without commands.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "libdockerfile/convert/image_config.h"
#include "libdockerfile/convert/parameters.h"
#include "libdockerfile/sources/contexts.h"

namespace cairn::dockerfile {

struct BuildStage;

struct PlannedCommand {
  Command command;
  // Of a COPY --from the one, of a RUN one for each mount; null: none.
  std::vector<BuildStage*> sources;
};

// What may be said once in a stage, and where it was.
struct SaidOnce {
  bool is_set = false;
  Lines lines;
};

struct BuildStage {
  std::string base_name, own_name, shown_name, code, description;
  Lines lines;
  BuildStage* base = nullptr;  // a stage; null: an image, a context or scratch
  std::optional<Platform> platform;
  std::vector<PlannedCommand> commands;
  std::set<BuildStage*> needs;  // beside the base
  bool has_on_build_planned = false;
  bool is_named_context = false;
  bool is_source_only = false;  // no stage of the file

  bool is_resolved = false;    // the base is known
  bool is_dispatched = false;  // its commands are done
  State state;
  ImageConfig image;
  std::optional<ImageConfig> base_image;
  std::optional<LateLocal> local;
  std::shared_ptr<std::set<std::string>> paths =
      std::make_shared<std::set<std::string>>();  // of its tree, that are used
  std::set<std::string> context_paths;            // of the main context

  SharedList<Arg::Entry> build_args;
  StageParameters parameters;
  bool workdir_is_set = false, ignore_cache = false;
  SaidOnce cmd, entrypoint, health_check;
  int total = 0, index = 0;  // of the steps that progress shows
};

}  // namespace cairn::dockerfile

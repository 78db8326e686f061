// SPDX-License-Identifier: Apache-2.0
// What a target takes, gathered from the stages that it needs.
#include <algorithm>

#include "libdockerfile/convert/conversion.h"

namespace cairn::dockerfile {
namespace {

void in_order_of_the_file(auto& entries, auto name) {
  std::sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) {
    return a.lines.first != b.lines.first ? a.lines.first < b.lines.first : a.*name < b.*name;
  });
}

// What a stage uses, with what the defaults of that are made of.
std::set<std::string> used_by(const BuildStage& stage, const DeclaredArgs& global) {
  std::set<std::string> used;
  std::vector<std::string> open(stage.parameters.used_args.begin(), stage.parameters.used_args.end());
  while (!open.empty()) {
    const std::string name = std::move(open.back());
    open.pop_back();
    if (!used.insert(name).second || stage.parameters.args.contains(name)) continue;
    if (const auto found = global.find(name); found != global.end())
      open.insert(open.end(), found->second.needs.begin(), found->second.needs.end());
  }
  return used;
}

std::vector<Outline::Secret> list_of(const StageParameters::Mounts& mounts) {
  std::vector<Outline::Secret> secrets;
  for (const auto& [id, mount] : mounts) secrets.push_back({id, mount.required, mount.lines});
  in_order_of_the_file(secrets, &Outline::Secret::id);
  return secrets;
}

}  // namespace

// Where stages say different things of one name, what is nearer to the target counts: it, its bases, the rest by place.
std::vector<BuildStage*> Converter::nearest_first(BuildStage* target) const {
  std::vector<BuildStage*> stages;
  std::set<const BuildStage*> taken;
  for (BuildStage* stage = target; stage != nullptr && taken.insert(stage).second; stage = stage->base)
    stages.push_back(stage);
  for (BuildStage* stage : reachable(target))
    if (taken.insert(stage).second) stages.push_back(stage);
  return stages;
}

Outline Converter::outline_of(BuildStage* target) const {
  Outline outline;
  outline.name = target->own_name;
  outline.description = target->description;
  DeclaredArgs args;
  StageParameters::Mounts secrets, ssh, caches;
  const auto merge = [](StageParameters::Mounts& into, const StageParameters::Mounts& from) {
    for (const auto& [id, mount] : from) StageParameters::add(into, id, mount.required, mount.lines);
  };
  for (const BuildStage* stage : nearest_first(target)) {
    const StageParameters& parameters = stage->parameters;
    for (const std::string& name : used_by(*stage, global_declared_)) {
      if (const auto own = parameters.args.find(name); own != parameters.args.end())
        args.insert(*own);
      else if (const auto global = global_declared_.find(name); global != global_declared_.end())
        args.insert(*global);
    }
    merge(secrets, parameters.secrets);
    merge(ssh, parameters.ssh);
    merge(caches, parameters.caches);
  }
  for (const auto& [name, arg] : args) outline.arguments.push_back({name, arg.description, arg.value, arg.lines});
  in_order_of_the_file(outline.arguments, &Outline::Argument::name);
  outline.secrets = list_of(secrets);
  outline.ssh = list_of(ssh);
  for (const Outline::Secret& cache : list_of(caches)) outline.caches.push_back({cache.id, cache.lines});
  return outline;
}

}  // namespace cairn::dockerfile

// SPDX-License-Identifier: Apache-2.0
#include "libsolver/load/name.h"

#include <string_view>

namespace cairn::solver {
namespace {

constexpr std::size_t composed_name_max = std::size_t{64} << 10;

struct ActionNamer {
  std::string operator()(const std::monostate&) const { return "unknown"; }
  std::string operator()(const wire::FileActionCopy& copy) const { return "copy " + copy.src + " " + copy.dest; }
  std::string operator()(const wire::FileActionMkFile& file) const { return "mkfile " + file.path; }
  std::string operator()(const wire::FileActionMkDir& directory) const { return "mkdir " + directory.path; }
  std::string operator()(const wire::FileActionRm& rm) const { return "rm " + rm.path; }
  std::string operator()(const wire::FileActionSymlink& link) const {
    return "symlink " + link.newpath + " -> " + link.oldpath;
  }
};

struct Namer {
  const std::vector<const std::string*>& input_names;
  NameBudget& budget;

  std::string operator()(const std::monostate&) const { return "unknown"; }
  std::string operator()(const wire::SourceOp& source) const { return source.identifier; }
  std::string operator()(const wire::ExecOp& exec) const {
    std::string name;
    if (!exec.meta) return name;
    for (const auto& arg : exec.meta->args) {
      if (&arg != &exec.meta->args.front()) name += ' ';
      name += arg;
    }
    return name;
  }
  std::string operator()(const wire::FileOp& file) const {
    std::string name;
    for (const auto& action : file.actions) {
      if (&action != &file.actions.front()) name += ", ";
      name += std::visit(ActionNamer{}, action.action);
    }
    return name;
  }
  std::string operator()(const wire::BuildOp&) const { return "build"; }
  std::string operator()(const wire::PassthroughOp& pass) const { return "passthrough " + pass.id; }
  std::string operator()(const wire::MergeOp&) const {
    std::string name = "merge (";
    for (std::size_t i = 0; i < input_names.size() && name.size() <= composed_name_max; ++i) {
      if (i > 0) name += ", ";
      name += *input_names[i];
    }
    return bounded(name + ")", "merge");
  }
  std::string operator()(const wire::DiffOp& diff) const {
    return bounded("diff " + side(diff.lower) + " -> " + side(diff.upper), "diff");
  }
  std::string side(const std::optional<wire::InputNumber>& side) const {
    if (!side || side->input < 0 || side->input >= static_cast<std::int64_t>(input_names.size())) return "scratch";
    return "(" + *input_names[static_cast<std::size_t>(side->input)] + ")";
  }
  std::string bounded(std::string name, std::string_view short_name) const {
    if (name.size() > composed_name_max) {
      std::size_t keep = composed_name_max;
      while (keep > 0 && (static_cast<unsigned char>(name[keep]) & 0xc0) == 0x80) --keep;  // whole characters only
      name.resize(keep);
      name += "…";
    }
    if (name.size() > budget.bytes_left) return std::string(short_name);
    budget.bytes_left -= name.size();
    return name;
  }
};

}  // namespace

std::string vertex_name(const wire::Op& op, const wire::OpMetadata& metadata,
                        const std::vector<const std::string*>& input_names, NameBudget& budget) {
  const auto custom = metadata.description.find("llb.customname");
  if (custom != metadata.description.end()) return custom->second;
  return std::visit(Namer{input_names, budget}, op.op);
}

}  // namespace cairn::solver

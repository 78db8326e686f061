// SPDX-License-Identifier: Apache-2.0
// Stages out of statements; what a single instruction says is in parse_command.cc.
#include "libdockerfile/instructions/instructions.h"

#include <algorithm>

#include "libdockerfile/instructions/flags.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

using base::Result;

bool is_stage_name(std::string_view name) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  if (name.empty() || !is_letter(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

// What the comment says if it begins with the name, as "# NAME description".
std::string description_of(const std::vector<std::string>& comments, std::string_view name) {
  if (name.empty()) return {};
  for (const std::string& comment : comments) {
    if (comment.starts_with(std::string(name) + " ")) return comment.substr(name.size() + 1);
  }
  return {};
}

void check_description(const Statement& statement, std::string_view kind, const std::string& name,
                       const std::string& comment, Linter& linter) {
  if (name.empty() || !comment.empty() || statement.comments.empty()) return;
  linter.warn(
      "InvalidDefinitionDescription", statement.lines,
      fmt::format("Comment for {0} should follow the format: `# {1} <description>`. If this is not intended to be a "
                  "description comment, add an empty line or comment between the instruction and the comment.",
                  kind, name));
}

std::string casing_of(std::string_view word) {
  if (word == lower(word)) return "lowercase";
  return word == upper(word) ? "uppercase" : "mixed";
}

Result<Stage> parse_from(const Statement& statement, Linter& linter) {
  const std::vector<std::string> words = split_space(statement.rest);
  Stage stage;
  stage.lines = statement.lines;
  stage.code = statement.original;
  if (words.size() == 3 && same_ignoring_case(words[1], "as")) {
    stage.name = lower(words[2]);
    if (!is_stage_name(stage.name)) {
      return refuse("invalid name for build stage: {}, name can't start with a number or contain symbols",
                    go_quoted(words[2]));
    }
    if (words[2] != stage.name) {
      linter.warn("StageNameCasing", stage.lines, fmt::format("Stage name '{}' should be lowercase", words[2]));
    }
    if (casing_of(words[1]) != casing_of(statement.name)) {
      linter.warn("FromAsCasing", stage.lines,
                  fmt::format("'{}' and '{}' keywords' casing do not match", words[1], statement.name));
    }
  } else if (words.size() != 1) {
    return refuse("FROM requires either one or three arguments");
  }
  const Flags flags = TRY(Flags::parse(statement.flags, {{"platform", Flags::Kind::text}}));
  stage.platform = flags.text("platform");
  stage.base = words[0];
  stage.comment = description_of(statement.comments, stage.name);
  check_description(statement, "FROM", stage.name, stage.comment, linter);
  return stage;
}

}  // namespace

Result<Stages> parse_stages(const Source& source, Linter& linter, Lines& error_lines) {
  Stages out;
  const auto refuse_at = [&](const Statement& statement, const base::Error& error) {
    error_lines = statement.lines;
    return refuse("dockerfile parse error on line {}: {}", statement.lines.first, error.message);
  };
  for (const Statement& statement : source.statements) {
    if (same_ignoring_case(statement.name, "from")) {
      auto stage = parse_from(statement, linter);
      if (!stage) return refuse_at(statement, stage.error());
      out.stages.push_back(std::move(*stage));
      continue;
    }
    auto command = parse_command(statement, source.escape, linter);
    if (!command) return refuse_at(statement, command.error());
    if (auto* arg = std::get_if<Arg>(&command->what)) {
      for (auto& entry : arg->entries) {
        entry.comment = description_of(statement.comments, entry.key);
        check_description(statement, "ARG", entry.key, entry.comment, linter);
      }
    }
    if (!out.stages.empty()) {
      out.stages.back().commands.push_back(std::move(*command));
    } else if (std::holds_alternative<Arg>(command->what)) {
      out.global_args.push_back(std::move(*command));
    } else {
      error_lines = statement.lines;
      return refuse("no build stage in current context");
    }
  }
  return out;
}

}  // namespace cairn::dockerfile

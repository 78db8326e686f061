// SPDX-License-Identifier: Apache-2.0
// What `solve` and `build` share: the options of a solve, how they become an order, and how it is run and told about.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

struct SolveOptions {
  std::vector<std::string> secrets, ssh_agents, allowed, cache_from, cache_to;
  std::string cache_mount_on_fail = "keep";
  bool keep_failed = false;
  std::string source_policy;  // a file; "": none
  bool no_cache = false, offline = false, explain = false;
  std::string resolve_age, max_download;  // "": not given
  std::string project, build;
  std::string progress = "auto";
  std::string executor;  // "": what CAIRN_RUNTIME says, else "auto"
};
void add_solve_options(CLI::App& verb, SolveOptions& options);

// "NAME=VALUE,\"NAME=A,B\"" (fields of CSV, in any order); the value of `directory` becomes an absolute path, unless it is
// "-". Errors: invalid_argument.
base::Result<std::map<std::string, std::string>> parse_attributes(const std::string& text, const std::string& option,
                                                                  const std::string& directory);
// Of "NAME=DIR". Errors: invalid_argument.
base::Result<std::map<std::string, std::string>> parse_bindings(const std::vector<std::string>& texts, const char* option);

// Lines of a file of somebody's, as a block: each as printable() has it.
std::string printable_lines(const std::string& text);

struct SolveRun {
  engine::SolveReport report;
  ExitCode code = ExitCode::done;
};
// errors: nothing but errors and warnings.
enum class Tell : std::uint8_t { all, errors };
// What the options say, into an order. What is wrong is said: usage for what can only be said wrongly, else what
// looking up secrets and files has come to.
ExitCode fill_order(const SolveOptions& options, engine::SolveOrder& order);
// Solves, and prints what came of it. registries: that it talks to, beyond those that the order names.
SolveRun run_order(const GlobalOptions& global, const SolveOptions& options, Output format, engine::SolveOrder order,
                   Tell tell = Tell::all, const std::set<std::string>& registries = {});

}  // namespace cairn::cachectl

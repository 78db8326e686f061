// SPDX-License-Identifier: Apache-2.0
// How a verb joins the program: the file that does it also says its options. main.cc lists the functions that add verbs;
// what is made of the whole list (help, man pages, completion) needs no word more.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/cachectl/command.h"

namespace cairn::cachectl {

struct Program {
  GlobalOptions global{};
  ExitCode exit_code = ExitCode::done;
};

// The noun of this name, made when first asked for; verb.cc has the list of them.
CLI::App& noun(CLI::App& app, const std::string& name);

std::shared_ptr<CLI::FormatterBase> make_help();
std::string summary_of(const CLI::App& verb);  // the first line of its help

void add_json(CLI::App& verb, Output& format);

// A verb below `parent` (the program, or a noun). `help` is one line that says what it does, an empty line, "Examples:" and a line for
// each. Whoever adds it gives options to `app`, which write into `arguments`; `run` prints its result or its error. With a
// member `Output format` the verb has --json.
template <class Arguments>
struct Verb {
  CLI::App& app;
  Arguments& arguments;
};
template <class Arguments>
Verb<Arguments> add_verb(CLI::App& parent, Program& program, const std::string& name, const std::string& help,
                         ExitCode (*run)(const GlobalOptions&, const Arguments&)) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* app = parent.add_subcommand(name, help);
  app->callback([&program, arguments, run] { program.exit_code = run(program.global, *arguments); });
  if constexpr (requires { arguments->format; }) add_json(*app, arguments->format);
  return {*app, *arguments};
}

// For verbs that have no options beyond --json.
struct OnlyFormat {
  Output format = Output::text;
};

// Each stands in the file that is named for it.
void add_build(CLI::App& app, Program& program);
void add_solve(CLI::App& app, Program& program);
void add_digest(CLI::App& app, Program& program);
void add_llb_verbs(CLI::App& app, Program& program);
void add_du(CLI::App& app, Program& program);
void add_who(CLI::App& app, Program& program);
void add_object_verbs(CLI::App& app, Program& program);
void add_record_list(CLI::App& app, Program& program);
void add_stats_verbs(CLI::App& app, Program& program);
void add_doctor(CLI::App& app, Program& program);
void add_prune(CLI::App& app, Program& program);
void add_record_verbs(CLI::App& app, Program& program);
void add_explain(CLI::App& app, Program& program);
void add_history_verbs(CLI::App& app, Program& program);
void add_history_diff(CLI::App& app, Program& program);
void add_ledger_verbs(CLI::App& app, Program& program);
void add_gc_verbs(CLI::App& app, Program& program);
void add_repair_verbs(CLI::App& app, Program& program);
void add_mount_cache_verbs(CLI::App& app, Program& program);
void add_pin_verbs(CLI::App& app, Program& program);
void add_entry_verbs(CLI::App& app, Program& program);
void add_completion(CLI::App& app, Program& program);
void add_man(CLI::App& app, Program& program);
void add_trace_verbs(CLI::App& app, Program& program);
void add_graph(CLI::App& app, Program& program);
void add_report(CLI::App& app, Program& program);
void add_gocacheprog(CLI::App& app, Program& program);

}  // namespace cairn::cachectl

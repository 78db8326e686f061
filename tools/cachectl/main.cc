// SPDX-License-Identifier: Apache-2.0
// cachectl: solve, look, prune. Each verb is in a file of its own, with its options; here they are put together.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "libbase/log/log.h"
#include "tools/cachectl/command_list.h"

namespace cairn::cachectl {
namespace {

constexpr const char* description = R"(Solve build graphs against a Cairn store, and look into it.

Examples:
  cachectl --root /var/lib/cairn solve graph.pb --local src=. --output type=local,dest=out
  cachectl llb inspect graph.pb
  cachectl --root /var/lib/cairn du
  cachectl --root /var/lib/cairn prune --dry-run

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 corruption found, 5 store busy, 130 interrupted.)";

// One line for each file of verbs, in the order of --help.
constexpr void (*verbs[])(CLI::App&, Program&) = {
    add_build, add_solve, add_digest, add_llb_verbs, add_du, add_who, add_record_list, add_object_verbs, add_stats_verbs, add_doctor, add_prune, add_record_verbs,
    add_explain, add_history_verbs, add_history_diff, add_ledger_verbs, add_gc_verbs, add_mount_cache_verbs, add_pin_verbs, add_entry_verbs, add_repair_verbs, add_trace_verbs,
    add_graph, add_report, add_gocacheprog, add_completion, add_man,
};

// As every error reads.
std::string usage_error(const CLI::App* app, const CLI::Error& error) {
  std::string what = error.what(), word;
  for (const std::string& each : app->remaining())
    if (word.empty() && !each.starts_with('-')) word = each;
  if (!word.empty() && what.find("subcommand is required") != std::string::npos) what = fmt::format("there is no command \"{}\"", word);
  const std::string near = word.empty() ? "" : nearest_command(*app, word);
  std::string text = fmt::format("cachectl: {}\n", printable(what));
  return text + (near.empty() ? "hint: --help shows examples, and cachectl commands lists all commands\n" : fmt::format("hint: did you mean \"{}\"?\n", near));
}

// `build --build-arg A=1 CONTEXT`: an option that may be given several times has one value each time, so that it does not take
// the words that come after it.
void take_single_values(CLI::App& app) {
  for (CLI::Option* option : app.get_options([](const CLI::Option* each) { return !each->get_positional() && each->get_items_expected_max() > 1; }))
    option->allow_extra_args(false);
  for (CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) take_single_values(*verb);
}

// Whoever read the output has gone: what was asked for is done, and nobody wants to hear the rest.
bool reader_is_gone() {
  pollfd output{.fd = STDOUT_FILENO, .events = 0, .revents = 0};
  return ::poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

int main_checked(int argc, char** argv) {
  Program program;
  CLI::App app(description, "cachectl");
  app.set_version_flag("--version", "cachectl " CAIRN_VERSION);
  app.formatter(make_help());
  app.require_subcommand(1);
  app.fallthrough();
  const char* root = std::getenv("CAIRN_ROOT");
  program.global.root = root != nullptr ? root : "/var/lib/cairn";
  program.global.root_is_given = root != nullptr;
  app.add_option("--root", program.global.root, "The store (or $CAIRN_ROOT)")
      ->type_name("DIR")
      ->capture_default_str()
      ->each([&program](const std::string&) { program.global.root_is_given = true; });
  app.add_flag("--no-daemon", program.global.no_daemon, "Fail with exit code 5 if another process owns the store");
  app.add_option("--owner-timeout", program.global.owner_timeout, "How long to wait for an owner of the store that does not answer")->type_name("SECONDS")->capture_default_str();
  app.add_flag("--verbose", program.global.verbose, "Say more on standard error")
      ->each([](const std::string&) { base::set_log_level(base::LogLevel::info); });
  app.failure_message(usage_error);
  for (const auto add : verbs) add(app, program);
  take_single_values(app);
  ::signal(SIGPIPE, SIG_IGN);

  // CLI11 reports by exceptions; this is its door.
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  std::cout.flush();
  if (!std::cout && !reader_is_gone()) {
    std::cerr << "cachectl: write the result: standard output is closed or full\n";
    return static_cast<int>(ExitCode::failed);
  }
  return static_cast<int>(program.exit_code);
}

}  // namespace
}  // namespace cairn::cachectl

int main(int argc, char** argv) { return cairn::cachectl::main_checked(argc, argv); }

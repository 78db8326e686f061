// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/verb.h"

#include <algorithm>
#include <iterator>
#include <sstream>

namespace cairn::cachectl {
namespace {

constexpr std::pair<const char*, const char*> nouns[] = {
    {"llb", R"(Look into build graphs.

Examples:
  cachectl llb inspect graph.pb)"},
    {"record", R"(What is about one record.

Examples:
  cachectl --root DIR ls
  cachectl --root DIR record export 1027 ./look)"},
    {"mount-cache", R"(Cache mounts: what steps keep for their next run.

Examples:
  cachectl --root DIR mount-cache list
  cachectl --root DIR mount-cache limit /root/.cache 5GB)"},
    {"blob", R"(What is about one blob.

Examples:
  cachectl --root DIR blob list
  cachectl --root DIR blob show 4c67)"},
    {"snapshot", R"(What is about one tree.

Examples:
  cachectl --root DIR snapshot list
  cachectl --root DIR snapshot show 1027)"},
    {"store", R"(What is about the whole store.

Examples:
  cachectl --root DIR store info
  cachectl --root DIR store migrate)"},
    {"history", R"(What was solved.

Examples:
  cachectl --root DIR history list
  cachectl --root DIR history show last)"},
    {"trace", R"(What the store is asked for, and what would come of it under another policy.

Examples:
  cachectl --root DIR trace record on
  cachectl --root DIR trace record off --output week.trace
  cachectl trace replay week.trace --policy lru,cost --size 10GB,50GB)"},
    {"gc", R"(Policies of collection.

Examples:
  cachectl gc check gc.toml
  cachectl --root DIR gc run --dry-run)"},
};

// As CLI11 does it, but with one line for each verb of a list.
class Help : public CLI::Formatter {
 public:
  Help() { column_width(24); }
  std::string make_usage(const CLI::App* app, std::string name) const override { return "\n" + Formatter::make_usage(app, std::move(name)); }
  std::string make_subcommand(const CLI::App* verb) const override {
    std::ostringstream out;
    CLI::detail::format_help(out, verb->get_name(), summary_of(*verb), get_column_width());
    return out.str();
  }
};

}  // namespace

std::string summary_of(const CLI::App& verb) {
  const std::string help = verb.get_description();
  return help.substr(0, help.find('\n'));
}

std::shared_ptr<CLI::FormatterBase> make_help() { return std::make_shared<Help>(); }

CLI::App& noun(CLI::App& app, const std::string& name) {
  if (const auto made = app.get_subcommands([&](CLI::App* each) { return each->get_name() == name; }); !made.empty()) return *made[0];
  const auto* entry = std::find_if(std::begin(nouns), std::end(nouns), [&](const auto& each) { return each.first == name; });
  CHECK(entry != std::end(nouns), "no noun is called {}", name);
  CLI::App* made = app.add_subcommand(name, entry->second);
  made->require_subcommand(1);
  return *made;
}

void add_json(CLI::App& verb, Output& format) {
  verb.add_flag_callback("--json", [&format] { format = Output::json; }, "Print one JSON object on standard output");
}

}  // namespace cairn::cachectl

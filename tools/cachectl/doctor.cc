// SPDX-License-Identifier: Apache-2.0
// doctor: what a store stands on, and what is wrong with it. It changes nothing of the store.
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "libbase/fs/fd.h"
#include "libbase/lmdb/reader_list.h"
#include "libcache/options.h"
#include "libcache/policy.h"
#include "libsolver/executor.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/verb.h"
#include "tools/engine/backing.h"

namespace cairn::cachectl {

using base::HostPath;
using base::Result;
using nlohmann::ordered_json;

namespace {

constexpr auto old_reader_age = std::chrono::seconds(10);
constexpr auto look_pause = std::chrono::milliseconds(200);
constexpr std::size_t file_bytes_max = 1 << 20;

struct Findings {
  ordered_json facts = {{"format", 1}};
  std::vector<std::string> problems;
};

std::string text_of(const HostPath& path) { return base::read_file(path, file_bytes_max).value_or(""); }

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

void look_at_disk(const HostPath& root, Findings& findings) {
  struct ::statvfs disk {};
  const auto type = engine::file_system_type(root);
  if (!type || ::statvfs(root.c_str(), &disk) != 0) return findings.problems.push_back("the file system cannot be looked at");
  const engine::Backing backing = engine::judge_backing(*type);
  const auto bytes = [&](std::uint64_t blocks) { return blocks * disk.f_frsize; };
  findings.facts["file_system"] = {{"type", backing.name},
                                   {"total_bytes", bytes(disk.f_blocks)},
                                   {"free_bytes", bytes(disk.f_bavail)},
                                   {"free_inodes", disk.f_favail}};
  if (!backing.why.empty()) findings.problems.push_back(backing.why);
  if (disk.f_bavail * 100 < disk.f_blocks) findings.problems.push_back("less than 1% of the disk is free");
  if (disk.f_files != 0 && disk.f_favail * 100 < disk.f_files) findings.problems.push_back("less than 1% of the inodes are free");
}

void look_at_machine(Findings& findings) {
  struct ::utsname kernel {};
  if (::uname(&kernel) == 0) findings.facts["kernel"] = kernel.release;
  std::string controllers = text_of(*HostPath::parse("/sys/fs/cgroup/cgroup.controllers"));
  while (!controllers.empty() && controllers.back() == '\n') controllers.pop_back();
  findings.facts["cgroups"] = {{"version", controllers.empty() ? 1 : 2}, {"controllers", controllers}};
}

// By running each of them, beside the store.
void look_at_executors(Findings& findings) {
  const char* top = std::getenv("TMPDIR");
  std::string scratch = std::string(top != nullptr && *top == '/' ? top : "/tmp") + "/cairn-doctor-XXXXXX";
  if (::mkdtemp(scratch.data()) == nullptr) return findings.problems.push_back("no place to try executors in: " + scratch);
  const HostPath dir = *HostPath::parse(scratch);
  const auto trials = solver::try_executors(dir / "exec");
  std::string why_no_limits = solver::why_no_step_limits();
  (void)::rmdir((dir / "exec").c_str());
  (void)::rmdir(dir.c_str());
  if (!trials) return findings.problems.push_back(trials.error().message);
  ordered_json executors = ordered_json::object();
  bool works = false;
  for (const solver::ExecutorTrial& trial : *trials) {
    executors[trial.name] = trial.why_not.empty() ? std::string("works") : trial.why_not;
    works |= trial.why_not.empty();
  }
  findings.facts["executors"] = std::move(executors);
  if (!works) findings.problems.push_back("no executor works here: steps cannot be run");
  if (!why_no_limits.empty()) findings.problems.push_back("steps have no limits of their own: " + why_no_limits);
}

// The file of what probes found out (docs/formats/store.md).
void look_at_drivers(const HostPath& root, Findings& findings) {
  ordered_json drivers = ordered_json::object();
  for (const std::string& line : lines_of(text_of(root / "drivers"))) {
    const std::size_t tab = line.find('\t');
    if (tab == std::string::npos || tab > 16) continue;
    drivers[line.substr(0, tab)] = line.size() == tab + 1 ? std::string("works") : line.substr(tab + 1);
  }
  findings.facts["drivers"] = std::move(drivers);
}

// A reader that keeps the same old version for so long. Waits only if there is one that might.
Result<std::vector<base::lmdb::ReaderInfo>> old_readers(const HostPath& meta, base::lmdb::EnvFacts& facts) {
  const auto give_up_at = std::chrono::steady_clock::now() + old_reader_age;
  facts = TRY(base::lmdb::look_at_env(meta));
  std::vector<base::lmdb::ReaderInfo> old;
  for (const auto& reader : facts.readers)
    if (reader.transaction < facts.last_transaction) old.push_back(reader);
  while (!old.empty() && std::chrono::steady_clock::now() < give_up_at) {
    std::this_thread::sleep_for(look_pause);
    facts = TRY(base::lmdb::look_at_env(meta));
    std::erase_if(old, [&](const base::lmdb::ReaderInfo& reader) {
      return std::none_of(facts.readers.begin(), facts.readers.end(), [&](const base::lmdb::ReaderInfo& now) {
        return now.pid == reader.pid && now.thread == reader.thread && now.transaction == reader.transaction;
      });
    });
  }
  return old;
}

base::Status look_at_metadata(const HostPath& root, Findings& findings) {
  base::lmdb::EnvFacts facts;
  const auto old = TRY(old_readers(root / "meta", facts));
  ordered_json list = ordered_json::array();
  for (const auto& reader : old) {
    const bool dead = ::kill(reader.pid, 0) != 0 && errno == ESRCH;
    list.push_back({{"pid", reader.pid}, {"versions_behind", facts.last_transaction - reader.transaction}, {"dead", dead}});
    findings.problems.push_back(fmt::format("process {}{} has been reading an old version of the metadata for more than 10s",
                                            reader.pid, dead ? ", which is dead," : ""));
  }
  findings.facts["metadata"] = {{"map_bytes", facts.map_bytes}, {"used_bytes", facts.used_bytes},
                                {"readers", facts.readers.size()}, {"readers_max", facts.readers_max},
                                {"old_readers", std::move(list)}};
  if (facts.used_bytes * 10 > facts.map_bytes * 9) findings.problems.push_back("the map of the metadata is nearly full");
  return {};
}

Result<Findings> examine(const HostPath& root) {
  Findings findings;
  findings.facts["root"] = root.str();
  // Says whether there is a store of a version that this build reads.
  TRY(engine::open_read_only(root));
  const auto owner = engine::owner_pid(root);
  findings.facts["owner_pid"] = owner ? ordered_json(*owner) : ordered_json(nullptr);
  look_at_machine(findings);
  look_at_executors(findings);
  look_at_disk(root, findings);
  look_at_drivers(root, findings);
  TRY(look_at_metadata(root, findings));
  if (const std::string policy = text_of(root / "gc.toml"); !policy.empty()) {
    const auto parsed = cache::parse_policy(policy, (root / "gc.toml").str());
    if (!parsed) findings.problems.push_back(parsed.error().message + "; the default policy holds");
  }
  if (const std::string text = text_of(root / "store.toml"); !text.empty()) {
    const auto parsed = cache::parse_options(text, (root / "store.toml").str());
    if (!parsed) findings.problems.push_back(parsed.error().message + "; the default holds");
    findings.facts["chunk_bytes"] = parsed ? parsed->chunk_bytes : 0;
  }
  findings.facts["problems"] = findings.problems;
  return findings;
}

void print_text(const ordered_json& json, const std::string& prefix) {
  for (const auto& [name, value] : json.items()) {
    if (name == "problems" || name == "format") continue;
    const std::string title = prefix + name;
    if (value.is_object()) {
      print_text(value, title + ".");
    } else if (value.is_number() && name.ends_with("_bytes")) {
      std::cout << title << ": " << human_bytes(value.get<std::int64_t>()) << '\n';
    } else {
      std::cout << title << ": " << (value.is_string() ? printable(value.get<std::string>()) : value.dump()) << '\n';
    }
  }
}

ExitCode run_doctor(const GlobalOptions& global, const OnlyFormat& arguments) {
  const auto options = store_options(global);
  if (!options) return report_error(options.error());
  const auto findings = examine(options->engine.root);
  if (!findings) return report_error(findings.error());
  if (arguments.format == Output::json) {
    std::cout << json_line(findings->facts);
    return ExitCode::done;
  }
  print_text(findings->facts, "");
  for (const std::string& problem : findings->problems) std::cout << "problem: " << printable(problem) << '\n';
  if (findings->problems.empty()) std::cout << "nothing is wrong\n";
  return ExitCode::done;
}

}  // namespace

void add_doctor(CLI::App& app, Program& program) {
  add_verb<OnlyFormat>(app, program, "doctor", R"(What the store stands on, and what is wrong with it.

Examples:
  cachectl --root DIR doctor
  cachectl --root DIR doctor --json)", run_doctor);
}

}  // namespace cairn::cachectl

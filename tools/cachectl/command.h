// SPDX-License-Identifier: Apache-2.0
// What all verbs of cachectl share: options that stand before the verb, exit codes, and how results and errors are
// printed. Results go to standard output, talk to standard error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libbase/result.h"
#include "tools/engine/client.h"

namespace cairn::cachectl {

// Part of the contract with scripts: docs/guides/cachectl.md.
enum class ExitCode { done = 0, failed = 1, usage = 2, not_found = 3, corruption = 4, busy = 5, interrupted = 130 };

ExitCode exit_code_of(const base::Error& error);

enum class Output { text, json };

struct GlobalOptions {
  std::string root;  // default: $CAIRN_ROOT, else /var/lib/cairn
  bool root_is_given = false;  // by --root or $CAIRN_ROOT
  bool no_daemon = false;
  bool verbose = false;
};

base::Result<engine::StoreOptions> store_options(const GlobalOptions& options);

// "cachectl: <message>" and, if there is one, "hint: <hint>" on standard error.
ExitCode report_error(const base::Error& error);

// "1.4 GiB" on a terminal, exact bytes elsewhere.
std::string human_bytes(std::int64_t bytes);
std::string human_duration(std::chrono::nanoseconds duration);
std::string rfc3339(base::WallTime time);
bool is_terminal(int fd);
// Text for a terminal or a line: control characters become '?'.
std::string printable(std::string_view text);

// A table with aligned columns; numbers (columns marked right) to the right.
class TextTable {
 public:
  enum class Align { left, right };
  explicit TextTable(std::vector<std::pair<std::string, Align>> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string str() const;

 private:
  std::vector<std::pair<std::string, Align>> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// The verbs. Each prints its result or its error and returns the exit code.
struct SolveArguments {
  std::string file;
  std::vector<std::string> locals, oci_layouts, secrets, ssh_agents, allowed;
  std::string cache_mount_on_fail = "keep";
  bool keep_failed = false;
  std::string output;
  std::string source_policy;  // a file; "": none
  bool no_cache = false, offline = false;
  std::string resolve_age, max_download;  // "": not given
  std::string project, build;
  std::string progress = "auto";
  std::string executor;  // "": what CAIRN_RUNTIME says, else "auto"
  Output format = Output::text;
};
ExitCode run_solve(const GlobalOptions& global, const SolveArguments& arguments);

struct DigestArguments {
  std::vector<std::string> targets;  // directories, or records by their numbers
  std::string path = "/";
  bool diff = false, follow = false, wildcard = false;
  std::vector<std::string> include, exclude;
  bool ignore_owner = false, count_times = false, no_xattrs = false;
  std::string mode_mask = "7777";  // octal
  std::vector<std::string> xattrs;  // the only ones that count, if there are any
  Output format = Output::text;
};
std::optional<std::uint32_t> octal_mode(const std::string& text);  // up to 7777
ExitCode run_digest(const GlobalOptions& global, const DigestArguments& arguments);

struct InspectArguments {
  std::string file;
  Output format = Output::text;
};
ExitCode run_llb_inspect(const InspectArguments& arguments);

struct GcCheckArguments {
  std::string file;
  Output format = Output::text;
};
ExitCode run_gc_check(const GcCheckArguments& arguments);

struct FsckArguments {
  bool repair = false, rebuild = false;
  Output format = Output::text;
};
ExitCode run_fsck(const GlobalOptions& global, const FsckArguments& arguments);
struct ScrubArguments {
  std::uint64_t bytes_per_second = 0;
  bool from_beginning = false;
};
ExitCode run_scrub(const GlobalOptions& global, const ScrubArguments& arguments);
ExitCode run_migrate(const GlobalOptions& global);
ExitCode run_doctor(const GlobalOptions& global, Output format);
struct DuArguments {
  std::string by;  // "": the lines of the store; else a word of cache::Dimension
  Output format = Output::text;
};
ExitCode run_du(const GlobalOptions& global, const DuArguments& arguments);
ExitCode run_stats(const GlobalOptions& global, Output format);
ExitCode run_ls(const GlobalOptions& global, Output format);
struct HistoryArguments {
  std::string solve;  // its id, or "last"
  std::uint64_t limit = 20;
  std::string key;     // of a step in the ledger, or the first digits of it; "": all
  Output list_format = Output::text, show_format = Output::text, ledger_format = Output::text;
};
ExitCode run_history_list(const GlobalOptions& global, const HistoryArguments& arguments);
ExitCode run_history_show(const GlobalOptions& global, const HistoryArguments& arguments);
ExitCode run_history_ledger(const GlobalOptions& global, const HistoryArguments& arguments);
struct ExportArguments {
  std::uint64_t record = 0;
  std::string dest;
  Output format = Output::text;
};
ExitCode run_record_export(const GlobalOptions& global, const ExportArguments& arguments);
struct PruneArguments {
  bool all = false, dry_run = false;
  std::vector<std::string> filters;
  std::string keep_storage, max_used, min_free, until;  // "": not given
  std::string policy_file;
  bool own_policy = false;  // the store's
  Output format = Output::text;
};
ExitCode run_prune(const GlobalOptions& global, const PruneArguments& arguments);

// FILE, or standard input for "-".
base::Result<std::string> read_input(const std::string& file);

}  // namespace cairn::cachectl

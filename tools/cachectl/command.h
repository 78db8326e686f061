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
  unsigned owner_timeout = 30;  // seconds
  bool verbose = false;
};

base::Result<engine::StoreOptions> store_options(const GlobalOptions& options);

// "cachectl: <message>" and, if there is one, "hint: <hint>" on standard error.
ExitCode report_error(const base::Error& error);
ExitCode report_usage(const base::Error& error);  // the same, of what somebody has said: ExitCode::usage
// Of a name that somebody has said of a thing: several things that it may stand for are ExitCode::usage.
ExitCode report_lookup_error(const base::Error& error);

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

// FILE, or standard input for "-".
base::Result<std::string> read_input(const std::string& file);

}  // namespace cairn::cachectl

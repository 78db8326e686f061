// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/command.h"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <iostream>

#include "libbase/fs/fd.h"
#include "tools/cachectl/size_text.h"

namespace cairn::cachectl {

using base::ErrorCode;

ExitCode exit_code_of(const base::Error& error) {
  switch (error.code) {
    case ErrorCode::not_found: return ExitCode::not_found;
    case ErrorCode::corrupt: return ExitCode::corruption;
    case ErrorCode::busy: return ExitCode::busy;
    case ErrorCode::cancelled: return ExitCode::interrupted;
    default: return ExitCode::failed;
  }
}

base::Result<std::string> read_input(const std::string& file) {
  constexpr std::size_t input_bytes_max = 64u << 20;
  if (file == "-") return TRY(base::read_all(STDIN_FILENO, input_bytes_max), "read standard input");
  return TRY(base::read_file(TRY(base::HostPath::from_user(file)), input_bytes_max), "read {}", file);
}

base::Result<engine::StoreOptions> store_options(const GlobalOptions& options) {
  const base::HostPath root = TRY(base::HostPath::from_user(options.root), "--root {}", options.root);
  return engine::StoreOptions{.engine = engine::EngineOptions(root),
                              .daemon = options.no_daemon ? engine::Daemon::refused : engine::Daemon::allowed,
                              .patience = std::chrono::seconds(options.owner_timeout)};
}

ExitCode report_error(const base::Error& error) {
  std::cerr << "cachectl: " << printable(error.message) << '\n';
  if (!error.hint.empty()) std::cerr << "hint: " << printable(error.hint) << '\n';
  return exit_code_of(error);
}

ExitCode report_usage(const base::Error& error) {
  report_error(error);
  return ExitCode::usage;
}

ExitCode report_lookup_error(const base::Error& error) {
  return error.code == ErrorCode::invalid_argument ? report_usage(error) : report_error(error);
}

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) c = c == '\n' ? ' ' : '?';
  }
  return out;
}

std::string human_bytes(std::int64_t bytes) {
  if (!is_terminal(STDOUT_FILENO)) return std::to_string(bytes);
  return size_text(static_cast<double>(bytes));
}

std::string human_duration(std::chrono::nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  if (seconds < 1) return fmt::format("{:.1f}ms", seconds * 1000);
  if (seconds < 60) return fmt::format("{:.1f}s", seconds);
  const auto minutes = static_cast<long>(seconds) / 60;
  return fmt::format("{}m{:02}s", minutes, static_cast<long>(seconds) % 60);
}

std::string rfc3339(base::WallTime time) {
  const std::int64_t ns = base::to_unix_ns(time);
  const std::time_t seconds = ns / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:09}Z", text, ns % 1'000'000'000);
}

std::string TextTable::str() const {
  std::vector<std::size_t> widths;
  for (const auto& [title, align] : columns_) widths.push_back(title.size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  const auto add_row = [&](const auto& cell_of) {
    std::string line;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (i != 0) line += "  ";
      line += columns_[i].second == Align::right ? fmt::format("{:>{}}", cell_of(i), widths[i])
                                                  : fmt::format("{:<{}}", cell_of(i), widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  };
  add_row([&](std::size_t i) { return columns_[i].first; });
  for (const auto& row : rows_) add_row([&](std::size_t i) { return row[i]; });
  return out;
}

}  // namespace cairn::cachectl

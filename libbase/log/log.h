// SPDX-License-Identifier: Apache-2.0
// The log door: the only place that knows spdlog. Lines go to standard error as "cairn: <level>: text".
#pragma once

#include <string_view>

#include <fmt/format.h>

namespace cairn::base {

enum class LogLevel { debug, info, warning, error, off };

void set_log_level(LogLevel level);  // default: warning. Thread-safe.
void write_log(LogLevel level, std::string_view text);
bool log_enabled(LogLevel level);

template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::debug)) write_log(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::info)) write_log(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::warning)) write_log(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::error)) write_log(LogLevel::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace cairn::base

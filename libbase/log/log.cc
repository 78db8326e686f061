// SPDX-License-Identifier: Apache-2.0
#include "libbase/log/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>

namespace cairn::base {
namespace {

std::atomic<LogLevel> minimum{LogLevel::warning};

spdlog::logger& logger() {
  // Never destroyed: threads may log while the process ends.
  static spdlog::logger* instance = [] {
    auto* made = new spdlog::logger("cairn", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("cairn: %l: %v");
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
    case LogLevel::off: return spdlog::level::off;
  }
  return spdlog::level::off;
}

}  // namespace

void set_log_level(LogLevel level) { minimum = level; }
bool log_enabled(LogLevel level) { return level >= minimum.load(std::memory_order_relaxed); }

void write_log(LogLevel level, std::string_view text) {
  logger().log(level_of(level), spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace cairn::base

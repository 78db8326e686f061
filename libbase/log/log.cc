// SPDX-License-Identifier: Apache-2.0
// spdlog behind the log door.
#include "libbase/log/log.h"

#include <memory>

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace cairn::base {

namespace {

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

// Ours alone and not in spdlog's registry: a program that embeds Cairn may use spdlog in its own way.
spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("cairn", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("cairn: %l: %v");
    made->set_level(spdlog::level::warn);
    return made;
  }();
  return *instance;
}

}  // namespace

void set_log_level(LogLevel level) { logger().set_level(level_of(level)); }

void write_log(LogLevel level, std::string_view text) {
  if (!log_enabled(level)) return;
  logger().log(level_of(level), spdlog::string_view_t(text.data(), text.size()));
}

bool log_enabled(LogLevel level) { return level != LogLevel::off && logger().should_log(level_of(level)); }

}  // namespace cairn::base

// SPDX-License-Identifier: Apache-2.0
// Finding runtimes, calling them, and reading their logs.
#include "libsolver/exec/runtime.h"

#include <unistd.h>

#include <array>
#include <cstdlib>

#include <nlohmann/json.hpp>

namespace cairn::solver {
namespace {

using base::ErrorCode;

constexpr std::string_view sbin_folders = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1);
}

std::optional<std::string> last_error_message(std::string_view log) {
  std::optional<std::string> found;
  for (std::size_t at = 0; at < log.size();) {
    const std::size_t end = std::min(log.find('\n', at), log.size());
    const auto line = nlohmann::json::parse(log.substr(at, end - at), nullptr, false);
    at = end + 1;
    if (!line.is_object()) continue;
    const auto level = line.find("level");
    const auto message = line.find("msg");
    if (level == line.end() || message == line.end() || !level->is_string() || !message->is_string()) continue;
    if (*level == "error" || *level == "fatal") found = message->get<std::string>();
  }
  return found;
}

bool contains_any(std::string_view text, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts) {
    if (text.find(part) != std::string_view::npos) return true;
  }
  return false;
}

// What the runtime's last process says when the program cannot take its place.
bool is_exec_refusal(std::string_view message) {
  return message.starts_with("exec container process") || message.starts_with("exec /");
}

// It says that alone, for the program never ran. crun says it in JSON, runc in plain text.
std::optional<std::string> exec_refusal(const Runtime& runtime, std::string_view said) {
  while (said.ends_with('\n')) said.remove_suffix(1);
  if (said.find('\n') != std::string_view::npos) return std::nullopt;
  const auto message = runtime.is_crun() ? last_error_message(said) : std::optional(std::string(said));
  return message && is_exec_refusal(*message) ? message : std::nullopt;
}

// What went wrong with the program, if it was the program. crun and runc word it differently.
std::string_view program_failure(std::string_view message) {
  const bool refused_by_kernel = is_exec_refusal(message);
  if (!refused_by_kernel && !contains_any(message, {"executable file", "open executable", "exec: \""})) return {};
  if (contains_any(message, {"xec format error"})) return "not a program (exec format error)";
  if (refused_by_kernel && contains_any(message, {"o such file"})) return "its interpreter is not in the step's root";
  if (contains_any(message, {"ermission denied", "peration not permitted", "is a directory"})) return "not executable";
  if (contains_any(message, {"not found", "o such file"})) return "not found in the step's root";
  return "cannot be executed";
}

}  // namespace

base::Result<base::HostPath> find_program(std::string_view name) {
  if (name.find('/') != std::string_view::npos) {
    base::HostPath path = TRY(base::HostPath::from_user(name));
    if (::access(path.c_str(), X_OK) == 0) return path;
    return base::fail(ErrorCode::unavailable, "no such program");
  }
  const char* path_variable = ::getenv("PATH");
  std::string folders = path_variable != nullptr ? path_variable : "";
  folders.append(":").append(sbin_folders);
  for (std::size_t at = 0; at < folders.size();) {
    const std::size_t end = std::min(folders.find(':', at), folders.size());
    const std::string candidate = folders.substr(at, end - at) + "/" + std::string(name);
    at = end + 1;
    if (candidate.starts_with('/') && ::access(candidate.c_str(), X_OK) == 0) return base::HostPath::parse(candidate);
  }
  return base::fail(ErrorCode::unavailable, "not in PATH");
}

base::Result<Runtime> find_runtime(std::string_view name) {
  base::HostPath path = TRY(find_program(name), "find the OCI runtime {}", name);
  return Runtime{std::string(base_name(name)), std::move(path), CgroupView::host};
}

std::vector<std::string> runtime_command(const Runtime& runtime, const std::string& bundle, const std::string& id) {
  std::vector<std::string> command{runtime.path.str(), "--root", bundle + "/state", "--log", bundle + "/log",
                                   "--log-format",     "json"};
  if (runtime.is_crun()) command.push_back("--cgroup-manager=disabled");
  command.insert(command.end(), {"run", "--bundle", bundle, id});
  return command;
}

std::optional<base::Error> runtime_error(const Runtime& runtime, std::string_view log, std::string_view said,
                                         std::string_view program) {
  std::optional<std::string> message = last_error_message(log);
  if (!message) message = exec_refusal(runtime, said);
  if (!message) return std::nullopt;
  const std::string_view failure = program_failure(*message);
  if (!failure.empty()) {
    return base::Error{ErrorCode::invalid_argument, fmt::format("run \"{}\": {}", program, failure),
                       fmt::format("{} says: {}", runtime.name, *message)};
  }
  ErrorCode code = ErrorCode::io;
  if (contains_any(*message, {"chdir", "cwd"})) code = ErrorCode::invalid_argument;
  if (contains_any(*message, {"o space left"})) code = ErrorCode::no_space;
  return base::Error{code, fmt::format("start \"{}\" with {}: {}", program, runtime.name, *message), {}};
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
#include "libsolver/exec/step_process.h"

#include <sys/resource.h>

#include <algorithm>

namespace cairn::solver {
namespace {

using base::ErrorCode;

constexpr std::string_view default_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::size_t id_size_max = 60;
constexpr std::size_t hostname_size_max = 64;  // of the kernel

constexpr struct {
  std::string_view name;
  int number;
} ulimits[] = {{"as", RLIMIT_AS},         {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
               {"data", RLIMIT_DATA},     {"fsize", RLIMIT_FSIZE},       {"locks", RLIMIT_LOCKS},
               {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
               {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC},       {"rss", RLIMIT_RSS},
               {"rtprio", RLIMIT_RTPRIO}, {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
               {"stack", RLIMIT_STACK}};

base::Status check_texts(const char* what, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    if (text.find('\0') != std::string::npos) {
      return base::fail(ErrorCode::invalid_argument, "{} \"{}\": a NUL is in it", what, text.c_str());
    }
  }
  return {};
}

}  // namespace

base::Status check_request(const ExecRequest& request) {
  const auto is_id_char = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (request.id.empty() || request.id.size() > id_size_max ||
      !std::all_of(request.id.begin(), request.id.end(), is_id_char)) {
    return base::fail(ErrorCode::invalid_argument, "run a step: the id \"{}\" is not [a-z0-9-], at most 60",
                      request.id);
  }
  if (request.args.empty()) return base::fail(ErrorCode::invalid_argument, "run a step: no program is given");
  if (!request.cwd.starts_with('/')) {
    return base::fail(ErrorCode::invalid_argument, "working directory \"{}\": not absolute", request.cwd);
  }
  for (const auto& [name, address] : request.extra_hosts) {
    if ((name + address).find_first_of(std::string_view("\n\0", 2)) != std::string::npos) {
      return base::fail(ErrorCode::invalid_argument, "extra host \"{}\": a line break is in it", name);
    }
  }
  if (request.hostname.size() > hostname_size_max) {
    return base::fail(ErrorCode::invalid_argument, "host name \"{}\": longer than {} bytes", request.hostname, hostname_size_max);
  }
  TRY(check_texts("argument", request.args));
  TRY(check_texts("environment", request.env));
  TRY(check_texts("working directory", {request.cwd}));
  TRY(check_texts("host name", {request.hostname}));
  for (const ExecUlimit& ulimit : request.ulimits) {
    if (ulimit_number(ulimit.name) >= 0) continue;
    return base::fail(ErrorCode::invalid_argument, "ulimit \"{}\": there is none of this name", ulimit.name);
  }
  return {};
}

std::vector<std::string> step_environment(const ExecRequest& request, const StepUser& user) {
  std::vector<std::string> environment = request.env;
  const auto has = [&environment](std::string_view name) {
    return std::any_of(environment.begin(), environment.end(), [name](const std::string& variable) { return variable.starts_with(name); });
  };
  if (!has("PATH=")) environment.emplace_back(default_path);
  if (!has("HOME=")) environment.push_back("HOME=" + user.home);
  return environment;
}

std::vector<ExecUlimit> step_ulimits(const ExecRequest& request) {
  std::vector<ExecUlimit> limits = request.ulimits;
  const bool asks = std::any_of(limits.begin(), limits.end(), [](const ExecUlimit& limit) { return limit.name == "core"; });
  if (asks) return limits;
  rlimit own{};
  const bool is_none = ::getrlimit(RLIMIT_CORE, &own) == 0 && own.rlim_max == 0;  // without root there is no way back up
  limits.push_back({.name = "core", .soft = is_none ? 0 : 1, .hard = is_none ? 0 : 1});
  return limits;
}

int ulimit_number(std::string_view name) {
  for (const auto& ulimit : ulimits) {
    if (ulimit.name == name) return ulimit.number;
  }
  return -1;
}

std::string_view step_hostname(const ExecRequest& request) {
  return request.hostname.empty() ? std::string_view("buildkitsandbox") : std::string_view(request.hostname);
}

std::string hosts_file(const ExecRequest& request) {
  std::string text =
      fmt::format("127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n", step_hostname(request));
  for (const auto& [name, address] : request.extra_hosts) text += fmt::format("{}\t{}\n", address, name);
  return text;
}

}  // namespace cairn::solver

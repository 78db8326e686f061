// SPDX-License-Identifier: Apache-2.0
#include "libremote/registry/credential_helper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "libbase/fs/fd.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Fd;
using base::Result;
using base::Status;

std::string helper_reason(std::string_view said) {
  if (said.find('{') != said.npos) return {};
  std::string line(said.substr(0, std::min<std::size_t>(said.find('\n'), 200)));
  std::erase_if(line, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  return line;
}

Result<HelperAnswer> parse_helper_answer(std::string_view json) {
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  const auto text = [&](const char* name) -> const std::string* {
    const auto found = parsed.find(name);
    return found != parsed.end() && found->is_string() ? found->get_ptr<const std::string*>() : nullptr;
  };
  if (!parsed.is_object()) return fail(ErrorCode::unavailable, "its answer is no JSON object");
  const std::string* user = text("Username");
  const std::string* secret = text("Secret");
  if (user == nullptr || secret == nullptr)
    return fail(ErrorCode::unavailable, "its answer lacks Username or Secret");
  return HelperAnswer{*user, *secret};
}

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t said_bytes_max = 1 << 20;
// What every helper says of an address that it knows nothing of.
constexpr std::string_view nothing_kept = "credentials not found";

bool is_program_name(std::string_view name) {
  return !name.empty() && name.front() != '.' && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

// A helper that runs. It does not outlive this.
class Helper {
 public:
  static Result<Helper> start(const std::string& program) {
    int in[2], out[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0)
      return fail(ErrorCode::io, "socketpair: {}", base::errno_text(errno));
    Helper helper;
    helper.in_ = Fd(in[0]);
    const Fd its_in(in[1]);
    if (::pipe2(out, O_CLOEXEC) != 0) return fail(ErrorCode::io, "pipe: {}", base::errno_text(errno));
    helper.out_ = Fd(out[0]);
    const Fd its_out(out[1]);
    posix_spawn_file_actions_t streams;
    ::posix_spawn_file_actions_init(&streams);
    ::posix_spawn_file_actions_adddup2(&streams, its_in.get(), 0);
    ::posix_spawn_file_actions_adddup2(&streams, its_out.get(), 1);
    ::posix_spawn_file_actions_addopen(&streams, 2, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);  // so that what it starts ends with it
    const char* const arguments[] = {program.c_str(), "get", nullptr};
    const int error = ::posix_spawnp(&helper.pid_, program.c_str(), &streams, &attributes,
                                     const_cast<char* const*>(arguments), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&streams);
    if (error != 0) {
      helper.pid_ = -1;
      return fail(ErrorCode::unavailable, "it cannot be run: {}", base::errno_text(error));
    }
    return helper;
  }
  Helper(Helper&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), in_(std::move(other.in_)), out_(std::move(other.out_)) {}
  Helper& operator=(Helper&&) = delete;
  ~Helper() {
    if (pid_ <= 0) return;
    ::kill(-pid_, SIGKILL);
    wait();
  }

  // A helper that reads nothing is no error: what it says decides.
  void tell(std::string_view line) {
    (void)::send(in_.get(), line.data(), line.size(), MSG_NOSIGNAL);  // fits into the socket's buffer
    in_.reset();
  }
  // All that it says until it closes its output.
  Result<std::string> read_all(Clock::time_point until) {
    std::string said;
    std::string piece(64 << 10, '\0');
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
      pollfd waiting{out_.get(), POLLIN, 0};
      const int ready = left > 0 ? ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, 1'000'000))) : 0;
      if (ready < 0 && errno == EINTR) continue;
      if (ready <= 0) return fail(ErrorCode::unavailable, "it did not answer in time");
      const ssize_t count = ::read(out_.get(), piece.data(), piece.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail(ErrorCode::io, "read its answer: {}", base::errno_text(errno));
      if (count == 0) return said;
      said.append(piece, 0, static_cast<std::size_t>(count));
      if (said.size() > said_bytes_max) return fail(ErrorCode::unavailable, "it says too much");
    }
  }
  // The status that waitpid gives. It has closed its output, and may take until the given time to end.
  Result<int> ended(Clock::time_point until) {
    while (true) {
      int status = 0;
      const pid_t pid = ::waitpid(pid_, &status, WNOHANG);
      if (pid == pid_) {
        pid_ = -1;
        return status;
      }
      if (pid < 0 && errno != EINTR) return fail(ErrorCode::io, "wait for it: {}", base::errno_text(errno));
      if (Clock::now() >= until) return fail(ErrorCode::unavailable, "it did not end in time");
      ::usleep(1'000);
    }
  }

 private:
  Helper() = default;
  void wait() {
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }

  pid_t pid_ = -1;
  Fd in_, out_;
};

Result<HelperAnswer> ask(const std::string& program, const std::string& address, std::chrono::milliseconds time_max) {
  const auto until = Clock::now() + time_max;
  Helper helper = TRY(Helper::start(program));
  helper.tell(address + "\n");
  const std::string said = TRY(helper.read_all(until));
  const int status = TRY(helper.ended(until));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return parse_helper_answer(said);
  if (said.starts_with(nothing_kept)) return HelperAnswer{};
  const std::string how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                              : fmt::format("exit code {}", WEXITSTATUS(status));
  const std::string reason = helper_reason(said);
  if (reason.empty()) return fail(ErrorCode::unavailable, "it failed ({})", how);
  return fail(ErrorCode::unavailable, "it failed ({}): {}", how, reason);
}

}  // namespace

Result<HelperAnswer> ask_credential_helper(const std::string& name, const std::string& address,
                                           std::chrono::milliseconds time_max) {
  if (!is_program_name(name))
    return fail(ErrorCode::invalid_argument, "\"{}\" names no credential helper", name.substr(0, 100));
  return TRY(ask("docker-credential-" + name, address, time_max), "docker-credential-{}", name);
}

}  // namespace cairn::remote

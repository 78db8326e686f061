// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/git_program.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>

#include "libbase/sync.h"
#include "libcache/fetcher.h"
#include "libsolver/exec/agent_socket.h"
#include "libsolver/exec/output_pump.h"
#include "libsolver/exec/secret_tree.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t said_bytes_max = 64 << 10;
constexpr std::size_t error_bytes_max = 1'000;
constexpr int not_found_code = 127;  // of env and sh
// In the memory that a run sees as /tmp.
constexpr const char* config_file = "/tmp/secret";
constexpr const char* origin_file = "origin";
constexpr const char* known_hosts_file = "known_hosts";
constexpr const char* agent_dir = "/tmp/agent";

// git hands this to a shell, so it holds nothing that comes from elsewhere. Nothing of the machine's and its users' settings,
// keys and hosts; nothing that asks, forwards or remembers.
std::string ssh_command(const GitSsh& ssh) {
  std::string command =
      "ssh -F /dev/null -o BatchMode=yes -o IdentityFile=none -o PreferredAuthentications=publickey -o ForwardAgent=no"
      " -o ClearAllForwardings=yes -o ControlPath=none -o PermitLocalCommand=no -o UpdateHostKeys=no"
      " -o GlobalKnownHostsFile=/dev/null -o LogLevel=ERROR";
  if (ssh.known_hosts.empty()) return command + " -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no";
  return command + " -o UserKnownHostsFile=/tmp/known_hosts -o StrictHostKeyChecking=yes";
}

// Whether a line of ssh says why there is no connection.
bool tells_of_ssh(std::string_view line) {
  for (const char* part : {"Host key verification failed", "host key is known for", "REMOTE HOST IDENTIFICATION HAS CHANGED",
                           ": Permission denied", "Connection closed by", "Connection reset by", "kex_exchange_identification"}) {
    if (line.find(part) != line.npos) return true;
  }
  return line.starts_with("ssh: ");
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

// A value in a configuration file.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

// For which addresses a header is meant: this one, or the whole of a host whose tokens are for all of it.
std::string header_scope(const std::string& url) {
  for (const char* host : {"https://github.com/", "https://www.github.com/"}) {
    if (url.starts_with(host)) return host;
  }
  return url;
}

std::string variable(const char* lower, const char* upper) {
  for (const char* name : {lower, upper}) {
    if (const char* value = ::getenv(name); value != nullptr && !has_control(value)) return value;
  }
  return {};
}

std::string proxy_for(const std::string& url) {
  // As everywhere, HTTP_PROXY is not asked: a request of CGI could set it.
  std::string proxy = url.starts_with("https://") ? variable("https_proxy", "HTTPS_PROXY") : variable("http_proxy", "http_proxy");
  return proxy.empty() ? variable("all_proxy", "ALL_PROXY") : proxy;
}

// Everything that a run is configured by.
std::string configuration(const GitRemote& remote) {
  std::string text =
      "[core]\n\thooksPath = /dev/null\n\tattributesFile = /dev/null\n\texcludesFile = /dev/null\n\tfsmonitor = false\n"
      "\taskPass = /bin/false\n\tautocrlf = false\n\tlogAllRefUpdates = false\n"
      // What is kept is made durable with everything else.
      "\tfsync = none\n"
      "[credential]\n\thelper =\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[safe]\n\tdirectory = *\n"
      "[init]\n\tdefaultBranch = master\n\ttemplateDir =\n[advice]\n\tdetachedHead = false\n[fetch]\n\trecurseSubmodules = false\n"
      "[protocol]\n\tallow = never\n";
  if (remote.network == GitRemote::Network::open) {
    std::vector<const char*> transports{"https", "http", "git"};
    if (remote.ssh) transports.push_back("ssh");
    for (const char* transport : transports) text += fmt::format("[protocol \"{}\"]\n\tallow = always\n", transport);
  }
  const auto stalled = std::chrono::ceil<std::chrono::seconds>(remote.stalled_after).count();
  text += fmt::format("[http]\n\tlowSpeedLimit = 1\n\tlowSpeedTime = {}\n", stalled);
  if (const std::string proxy = proxy_for(remote.url); !proxy.empty()) text += "\tproxy = " + quoted(proxy) + "\n";
  text += fmt::format("[remote \"{}\"]\n\turl = {}\n", git_remote_name, quoted(remote.url));
  if (!remote.authorization.empty()) {
    text += fmt::format("[http {}]\n\textraHeader = {}\n", quoted(header_scope(remote.url)),
                        quoted("Authorization: " + remote.authorization));
  }
  // What addresses of submodules are relative to; of the outer repository only.
  for (const char* of : {"/tmp/repository", "/tmp/tree/.git"}) {
    text += fmt::format("[includeIf \"gitdir:{}\"]\n\tpath = /tmp/{}\n", of, origin_file);
  }
  return text;
}

// The lines in which git says what went wrong, without control characters.
std::string last_error(std::string_view said) {
  std::string found;
  for (std::size_t at = 0; at < said.size();) {
    const std::size_t end = std::min(said.find_first_of("\r\n", at), said.size());
    std::string line(said.substr(at, end - at));
    at = end + 1;
    std::erase_if(line, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    const bool tells = line.starts_with("fatal: ") || line.starts_with("error: ") || line.starts_with("remote: ");
    if (found.size() >= error_bytes_max) continue;
    if (tells) found += (found.empty() ? "" : "; ") + line.substr(line.find(' ') + 1);
    else if (tells_of_ssh(line)) found += (found.empty() ? "" : "; ") + line;
  }
  return found.substr(0, error_bytes_max);
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
}

// Asks a run to stop when it has been quiet for too long.
class QuietWatch {
 public:
  QuietWatch(std::chrono::milliseconds quiet_max, std::stop_source& ending)
      : quiet_max_(quiet_max), ending_(ending), thread_([this](std::stop_token done) { watch(done); }) {}
  void heard() { last_.lock()->at = Clock::now(); }
  bool has_ended_it() { return last_.lock()->ended; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Last {
    Clock::time_point at = Clock::now();
    bool ended = false;
  };
  void watch(const std::stop_token& done) {
    if (wait_for_quiet(done)) ending_.request_stop();
  }
  bool wait_for_quiet(const std::stop_token& done) {
    auto last = last_.lock();
    while (!done.stop_requested()) {
      if (Clock::now() - last->at >= quiet_max_) return last->ended = true;
      const auto until = last->at + quiet_max_;
      wake_.wait_until(last.lock(), done, until, [] { return false; });
    }
    return false;
  }

  const std::chrono::milliseconds quiet_max_;
  std::stop_source& ending_;
  base::Guarded<Last> last_;
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: it uses the rest
};

}  // namespace

// What one run hands over while it lasts.
class GitProgram::Run {
 public:
  Run(const GitRemote& remote, Talks talks, const std::stop_token& stop) : stop_(stop, [this] { ending_.request_stop(); }) {
    if (talks == Talks::yes) watch_.emplace(remote.stalled_after, ending_);
  }
  std::stop_token token() const { return ending_.get_token(); }
  void take(Stream stream, std::string_view bytes) {
    if (watch_) watch_->heard();
    if (stream == Stream::err) {
      said_ += bytes;
      if (said_.size() > 2 * said_bytes_max) said_.erase(0, said_.size() - said_bytes_max);
      return;
    }
    out_ += bytes;
    if (out_.size() > out_bytes_max) ending_.request_stop();
  }
  bool is_too_long() const { return out_.size() > out_bytes_max; }
  bool has_stalled() { return watch_ && watch_->has_ended_it(); }
  Ended end(int code) && { return {code, std::move(out_), code == 0 ? std::string() : last_error(said_)}; }

 private:
  std::stop_source ending_;
  std::string out_, said_;
  std::stop_callback<std::function<void()>> stop_;
  std::optional<QuietWatch> watch_;
};

GitProgram::GitProgram(GitRemote remote, std::unique_ptr<Spawner> spawner)
    : remote_(std::move(remote)), name_(cache::url_without_secrets(remote_.url)), spawner_(std::move(spawner)) {}

// What ssh would take for an option, or show to everybody among its arguments.
base::Status check_ssh_address(const std::string& url) {
  const bool has_scheme = url.starts_with("ssh://");
  if (!has_scheme && url.find("://") != std::string::npos) return {};
  const std::string whole = has_scheme ? url.substr(6, url.find_first_of("/?#", 6) - 6) : url;
  const std::size_t at = has_scheme ? whole.rfind('@') : whole.find('@');
  const std::string user = at == std::string::npos ? "" : whole.substr(0, at);
  const std::string host = at == std::string::npos ? whole : whole.substr(at + 1);
  if (user.starts_with('-') || host.starts_with('-')) {
    return fail(ErrorCode::invalid_argument, "git source {}: a name that begins with \"-\"", cache::url_without_secrets(url));
  }
  if (user.find(':') != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "git source {}: a password in an address over SSH, which takes keys only", has_scheme ? cache::url_without_secrets(url) : host);
  }
  return {};
}

Result<std::unique_ptr<GitProgram>> GitProgram::open(GitRemote remote) {
  if (has_control(remote.url) || has_control(remote.authorization)) {
    return fail(ErrorCode::invalid_argument, "git source {}: control characters in its URL or its secret",
                cache::url_without_secrets(remote.url));
  }
  if (remote.ssh) TRY(check_ssh_address(remote.url));
  return std::unique_ptr<GitProgram>(new GitProgram(std::move(remote), TRY(Spawner::open())));
}

base::Status write_file(const snapshot::MountedTree& home, const char* name, std::string_view bytes) {
  const base::Fd file(::openat(home.fd(), name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return base::fail_errno(errno, "prepare a run of git");
  TRY(base::write_full(file.get(), bytes), "prepare a run of git");
  return {};
}

// The memory that is /tmp for one run: the configuration, and where trees are mounted.
Result<snapshot::MountedTree> GitProgram::make_home() const {
  snapshot::MountedTree home = TRY(make_secret_tree(configuration(remote_), {}));
  for (const char* name : {"repository", "tree", "home", "agent"}) {
    if (::mkdirat(home.fd(), name, 0755) != 0) return base::fail_errno(errno, "prepare a run of git");
  }
  TRY(write_file(home, origin_file, "[remote \"origin\"]\n\turl = " + quoted(remote_.url) + "\n"));
  if (remote_.ssh) TRY(write_file(home, known_hosts_file, remote_.ssh->known_hosts));
  return home;
}

Result<GitProgram::Ended> GitProgram::run(std::vector<std::string> arguments, Trees trees, Talks talks,
                                          std::stop_token stop) const {
  const snapshot::MountedTree home = TRY(make_home());
  SpawnPlan plan;
  plan.command = {"/bin/sh", "-c", "ulimit -c 0; exec \"$@\"", "sh", "/usr/bin/env", "-i",
                  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp/home", "LC_ALL=C",
                  "GIT_CONFIG_NOSYSTEM=1", "GIT_ATTR_NOSYSTEM=1", fmt::format("GIT_CONFIG_GLOBAL={}", config_file),
                  "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=/bin/false", "SSH_ASKPASS=/bin/false", "GIT_SSH_VARIANT=ssh"};
  std::optional<AgentSocket> agent;
  if (talks == Talks::yes && remote_.ssh) agent = TRY(AgentSocket::open(remote_.ssh->agent, {.mode = 0600}), "git source {}", name_);
  const snapshot::MountedTree agent_tree = agent ? agent->take_tree() : snapshot::MountedTree();
  plan.command.push_back("GIT_SSH_COMMAND=" + (agent ? ssh_command(*remote_.ssh) : "/bin/false"));
  if (agent) plan.command.push_back(fmt::format("SSH_AUTH_SOCK={}/{}", agent_dir, AgentSocket::file));
  if (const std::string hosts = variable("no_proxy", "NO_PROXY"); !hosts.empty()) plan.command.push_back("no_proxy=" + hosts);
  plan.command.emplace_back("git");
  plan.command.insert(plan.command.end(), std::make_move_iterator(arguments.begin()), std::make_move_iterator(arguments.end()));
  plan.attach.push_back({home.fd(), "/tmp"});
  if (agent_tree) plan.attach.push_back({agent_tree.fd(), agent_dir});
  if (trees.repository) plan.attach.push_back({trees.repository.fd(), git_repository});
  if (trees.tree) plan.attach.push_back({trees.tree.fd(), git_tree});
  Pipe out = TRY(make_pipe());
  Pipe err = TRY(make_pipe());
  plan.out = out.write.get();
  plan.err = err.write.get();
  Run run(remote_, talks, stop);
  const Child child = TRY(spawner_->spawn(plan));
  out.write.reset();
  err.write.reset();
  const auto code = pump_output(child, std::move(out.read), std::move(err.read),
                                [&run](Stream stream, std::string_view bytes) { run.take(stream, bytes); }, run.token());
  if (!code && code.error().code == ErrorCode::cancelled && !stop.stop_requested()) {
    if (run.is_too_long()) return fail(ErrorCode::io, "git source {}: git says more than {} bytes", name_, out_bytes_max);
    if (run.has_stalled()) {
      return fail(ErrorCode::io, "git source {}: stalled: nothing came for {} ms", name_, remote_.stalled_after.count());
    }
  }
  Ended ended = std::move(run).end(TRY(code, "git source {}", name_));
  if (ended.code == not_found_code) {
    auto error = fail(ErrorCode::unavailable, "git source {}: the program git is not here", name_);
    error.value().hint = "install git";
    return error;
  }
  replace_all(ended.error, remote_.url, name_);
  return ended;
}

base::Error GitProgram::failure(const Ended& ended) const {
  return fail(ErrorCode::io, "git source {}: {}", name_,
              ended.error.empty() ? fmt::format("git ends with code {}", ended.code) : ended.error)
      .value();
}

Result<std::string> GitProgram::expect(std::vector<std::string> arguments, Trees trees, Talks talks, std::stop_token stop) const {
  Ended ended = TRY(run(std::move(arguments), std::move(trees), talks, std::move(stop)));
  if (ended.code != 0) return tl::unexpected(failure(ended));
  return std::move(ended.out);
}

}  // namespace cairn::solver

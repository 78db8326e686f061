// SPDX-License-Identifier: Apache-2.0
// The git program, run where nothing of the machine's configuration reaches it: no user's or system's settings, no hooks,
// no filters, no prompts, no credential helpers, no keys, and of transports only those that sources have. SSH is the program ssh
// with the agent that it is given and nothing else. Each run is process 1 of
// its own namespaces (exec/spawner.h), so that whatever it started ends with it; the trees that it works on are mounted
// there below /tmp, and nowhere else. What is secret is in a file in memory, never in arguments, environment or core dumps.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"
#include "libsolver/exec/spawner.h"

namespace cairn::solver {

inline constexpr const char* git_remote_name = "cairn";  // the remote side's name in arguments
inline constexpr const char* git_repository = "/tmp/repository";
inline constexpr const char* git_tree = "/tmp/tree";

// What SSH may use.
struct GitSsh {
  base::HostPath agent;     // its socket
  std::string known_hosts;  // lines of a known_hosts file, to which the other side is held; "": whoever answers is believed
};

struct GitRemote {
  enum class Network { open, closed } network = Network::open;  // closed: no remote side is reached, submodules' neither
  std::string url;
  std::string authorization;  // what the header of that name has for it; "": none
  std::optional<GitSsh> ssh = {};  // nullopt: no remote side is reached over SSH
  std::chrono::milliseconds stalled_after{120'000};
};

class GitProgram {
 public:
  // Errors: invalid_argument (control characters in the URL or the header; over SSH a password, or what begins as an option), io.
  static base::Result<std::unique_ptr<GitProgram>> open(GitRemote remote);

  // Mounted at git_repository and git_tree; each mount serves one run.
  struct Trees {
    snapshot::MountedTree repository, tree;
  };
  struct Ended {
    int code = 0;
    std::string out;    // at most out_bytes_max
    std::string error;  // the last that it said of what went wrong, in one line
  };
  // talks: to a remote side, with what SSH may use for as long; it has stalled if git says nothing for stalled_after. (git says how far it is.) Errors:
  // unavailable (no git here), not_found (no agent at its socket), cancelled, io (stalled; more output than that; it cannot be started). Any other end is in `code`.
  enum class Talks { no, yes };
  base::Result<Ended> run(std::vector<std::string> arguments, Trees trees, Talks talks, std::stop_token stop) const;
  // The same; an end with another code than 0 is an io error that says what git said.
  base::Result<std::string> expect(std::vector<std::string> arguments, Trees trees, Talks talks, std::stop_token stop) const;
  base::Error failure(const Ended& ended) const;

  const std::string& name() const { return name_; }  // of the remote side, for messages: its URL without what is secret

  static constexpr std::size_t out_bytes_max = 8 << 20;

 private:
  class Run;
  GitProgram(GitRemote remote, std::unique_ptr<Spawner> spawner);
  base::Result<snapshot::MountedTree> make_home() const;

  GitRemote remote_;
  std::string name_;
  std::unique_ptr<Spawner> spawner_;
};

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// Writes LLB graphs: a State is one tree that a build will have, and every step makes a new State from it. Nothing runs
// here; marshal() gives the bytes of a pb.Definition, the same bytes that BuildKit's client would send for the same graph
// (spec/solver 1.4), which load_definition and any BuildKit daemon take.
//
//   auto base = llb::image("alpine").dir("/src").env("CGO_ENABLED", "0");
//   auto build = base.shell("make", {.mounts = {{.dest = "/src", .source = llb::local("context"), .read_only = true},
//                                               {.dest = "/out"}}});
//   auto bytes = TRY(llb::marshal(build.mount_output("/out")));
//
// Values are immutable and cheap to copy; thread-safe. A mistake (a bad image reference, an output that is none) is
// reported by marshal().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbase/result.h"
#include "libsolver/wire/ops.h"

namespace cairn::solver::llb {

using wire::Platform;
struct Node;
struct RunOptions;
class ExecState;
class FileActions;

// What a step says of itself beside what it does. None of it is part of a digest.
struct StepNotes {
  std::map<std::string, std::string> description = {};  // beside the name
  std::vector<std::string> capabilities = {};           // beside those that follow from the step
  std::optional<wire::ProgressGroup> progress_group = {};
  std::optional<wire::LinuxResources> resources = {};
  std::vector<wire::Range> lines = {};  // of MarshalOptions::source, that this step was made from
  bool ignore_cache = false;
};

class State {
 public:
  State() = default;  // scratch: the empty tree
  bool is_scratch() const { return node_ == nullptr; }

  // What later steps on this state get, unless they say otherwise. dir() is relative to the one before.
  State env(std::string_view key, std::string_view value) const;
  State dir(std::string_view path) const;
  State user(std::string_view name) const;
  State platform(Platform platform) const;
  // The same over another tree.
  State over(const State& tree) const { return on(tree.node_, tree.output_); }
  const std::vector<std::pair<std::string, std::string>>& environment() const { return values().env; }
  const std::string& directory() const { return values().dir; }  // "": never said

  // A process with this state as its root.
  ExecState run(std::vector<std::string> args) const;
  ExecState run(std::vector<std::string> args, const RunOptions& options) const;
  // As run of /bin/sh -c <line>.
  ExecState shell(std::string_view line) const;
  ExecState shell(std::string_view line, const RunOptions& options) const;
  // This state with files copied, made or removed, all in one step.
  State file(const FileActions& actions) const;

 private:
  friend class ExecState;
  friend struct Node;
  struct Values {
    std::vector<std::pair<std::string, std::string>> env;
    std::string dir, user;
    std::optional<Platform> platform;
  };
  State(std::shared_ptr<const Node> node, std::int64_t output) : node_(std::move(node)), output_(output) {}
  State with_values(Values values) const;
  State on(std::shared_ptr<const Node> node, std::int64_t output) const;  // the same values over another tree
  const Values& values() const;

  std::shared_ptr<const Node> node_;  // null: scratch
  std::int64_t output_ = 0;
  std::shared_ptr<const Values> values_;
};

// A mount of a process. With neither cache_id nor tmpfs it shows `source` (scratch: an empty tree), and what the process
// writes is an output, unless read_only or no_output.
struct Mount {
  std::string dest;
  State source = {};
  std::string selector = {};  // the path in source that is mounted; "": all
  bool read_only = false;
  bool no_output = false;
  std::string cache_id = {};  // set: a directory that lives on between builds
  wire::CacheSharing cache_sharing = wire::CacheSharing::shared;
  bool tmpfs = false;
  std::int64_t tmpfs_size = 0;  // bytes; 0: the kernel's default
  wire::ContentCache content_cache = wire::ContentCache::by_default;
};

struct Secret {
  std::string id;
  std::string dest = {};  // a file; "": only in the environment
  std::string env = {};   // a variable; "": only a file
  std::uint32_t uid = 0, gid = 0, mode = 0400;
  bool optional = false;
};

// A socket of the client's ssh agent. Where SSH_AUTH_SOCK is not set, it becomes the place of the first.
struct Ssh {
  std::string id = {};    // "": "default"
  std::string dest = {};  // "": /run/buildkit/ssh_agent.N
  std::uint32_t uid = 0, gid = 0, mode = 0600;
  bool optional = false;
};

struct RunOptions {
  std::vector<std::pair<std::string, std::string>> env = {};  // after the state's; the same key replaces
  std::string cwd = {};                                       // "": the state's
  std::string user = {};                                      // "": the state's
  std::vector<Mount> mounts = {};
  std::vector<Secret> secrets = {};
  std::vector<Ssh> ssh = {};
  bool read_only_root = false;
  wire::NetMode network = wire::NetMode::unset;
  wire::SecurityMode security = wire::SecurityMode::sandbox;
  std::vector<wire::CdiDevice> devices = {};
  std::optional<wire::ProxyEnv> proxy_env = {};
  std::string hostname = {};
  std::vector<std::pair<std::string, std::string>> extra_hosts = {};  // name, address
  std::vector<wire::Ulimit> ulimits = {};
  std::string cgroup_parent = {};
  std::vector<std::int32_t> valid_exit_codes = {};  // {}: 0
  std::optional<Platform> platform = {};
  StepNotes notes = {};
  std::string name = {};  // as progress shows it
};

// A process and the trees that it makes.
class ExecState {
 public:
  State root() const { return mount_output("/"); }
  State mount_output(std::string_view dest) const;

 private:
  friend class State;
  ExecState(State before, std::shared_ptr<const Node> node) : before_(std::move(before)), node_(std::move(node)) {}
  State before_;
  std::shared_ptr<const Node> node_;
};

struct CopyOptions {
  std::int32_t mode = -1;  // -1: as in the source
  std::string mode_text = {};  // as chmod takes it ("u=rwX,go=rX"); not empty: instead of mode
  bool follow_symlink = false;
  bool dir_copy_contents = false;
  bool unpack = false;  // a file that is an archive is unpacked
  bool create_dest_path = false;
  bool allow_wildcard = false;
  bool allow_empty_wildcard = false;
  std::vector<std::string> include_patterns = {}, exclude_patterns = {};
  bool always_replace_existing = false;
  std::vector<std::string> required_paths = {};
};

struct RmOptions {
  bool allow_not_found = false, allow_wildcard = false;
};

// Names are looked up in the account files of the state that the step changes; numbers are taken as they are, and root
// is 0 everywhere.
struct FileOwner {
  std::string user = {}, group = {};  // "": not said
};

// What one file step does, in order. Relative paths are taken from "/".
class FileActions {
 public:
  FileActions& copy(const State& from, std::string_view src, std::string_view dest, const CopyOptions& options);
  FileActions& copy(const State& from, std::string_view src, std::string_view dest) { return copy(from, src, dest, {}); }
  // A copy of what an earlier action of this step (the first is 0) has made.
  FileActions& copy(std::size_t from_action, std::string_view src, std::string_view dest, const CopyOptions& options);
  FileActions& mkdir(std::string_view path, std::int32_t mode);
  FileActions& mkdir_parents(std::string_view path, std::int32_t mode);
  FileActions& mkfile(std::string_view path, std::int32_t mode, std::string_view data);
  FileActions& rm(std::string_view path, const RmOptions& options);
  FileActions& rm(std::string_view path) { return rm(path, {}); }
  FileActions& symlink(std::string_view oldpath, std::string_view newpath);
  // Of the action before: whose what it makes is, and since when (nanoseconds since 1970).
  FileActions& owner(const FileOwner& owner);
  FileActions& created(std::int64_t nanoseconds);
  FileActions& name(std::string_view name);  // of the step, as progress shows it
  FileActions& notes(StepNotes notes);       // likewise of the step

 private:
  friend class State;
  struct Action {
    wire::FileAction action;
    State source;                             // of a copy
    std::optional<std::size_t> source_action;  // likewise
  };
  template <class T>
  FileActions& add(T action, State source = {});
  FileActions& wrong(std::string_view what);
  std::vector<Action> actions_;
  std::string error_;
  std::string name_;
  StepNotes notes_;
};

struct ImageOptions {
  std::optional<Platform> platform = {};  // nullopt: that of MarshalOptions
  std::string resolve_mode = {};          // "", "default", "pull", "local"
  std::int64_t layer_limit = 0;
  std::string checksum = {};
  StepNotes notes = {};
  std::string name = {};
};
State image(std::string_view reference, const ImageOptions& options = {});

struct OciLayoutOptions {
  std::optional<Platform> platform = {};
  std::string session_id = {}, store_id = {};
  std::int64_t layer_limit = 0;
  std::string name = {};
};
// reference ends in @sha256:…
State oci_layout(std::string_view reference, const OciLayoutOptions& options = {});

// A blob as one file. Its reference ends in @sha256:… and has no tag.
struct BlobOptions {
  std::string filename = {};                // "": by the digest
  std::int64_t mode = 0, uid = 0, gid = 0;  // mode 0: 0600
  std::string name = {};
};
State image_blob(std::string_view reference, const BlobOptions& options = {});
struct OciBlobOptions {
  BlobOptions file = {};
  std::string session_id = {}, store_id = {};
};
State oci_layout_blob(std::string_view reference, const OciBlobOptions& options = {});

enum class LocalDiffer { by_default, none, metadata };  // which files of an earlier sync are sent again

struct LocalOptions {
  std::string session_id = {};
  std::vector<std::string> include_patterns = {}, exclude_patterns = {}, follow_paths = {};
  std::string shared_key_hint = {};
  std::string unique_id = {};  // "": one per marshal, so that two clients never share a directory by its name alone
  LocalDiffer differ = LocalDiffer::by_default;
  bool differ_required = false;  // a daemon that does not know the attribute has to say so
  bool metadata_only = false;    // files come without their bytes, but for those that match metadata_exceptions
  std::vector<std::string> metadata_exceptions = {};
  std::string name = {};
};
State local(std::string_view name, const LocalOptions& options = {});

struct GitOptions {
  std::string ref = {};     // branch, tag, full ref or commit; "": the default branch
  std::string subdir = {};  // becomes the root; "": all
  std::string checksum = {};  // how the commit's hash begins
  bool fetch_by_commit = false;  // the checksum is what is fetched, wherever the ref is now
  bool keep_git_dir = false;
  bool skip_submodules = false;
  std::string mtime = {};  // "", "checkout", "commit"
  // Names of secrets. nullopt: GIT_AUTH_TOKEN and GIT_AUTH_HEADER, if the solve has them; "": none
  std::optional<std::string> auth_token_secret = {}, auth_header_secret = {};
  std::string known_ssh_hosts = {};  // lines of a known_hosts file; only of an address over SSH, like the next
  std::string ssh_socket = {};       // the id of the agent; "": "default"
  std::string bundle = {};           // docker-image+blob:// or oci-layout+blob://, which the commits are taken from
  std::string bundle_session_id = {}, bundle_store_id = {};
  bool checkout_bundle = false;  // one file "bundle", not a worktree
  std::string name = {};
};
// url: https://, http://, ssh://, git://, user@host:path, or host/path, which is https://. It has no fragment: ref and
// subdir are options. The vertex is named host/path, so that one repository is one, whatever leads to it.
State git(std::string_view url, const GitOptions& options = {});

struct HttpOptions {
  std::string checksum = {};   // "sha256:…", "sha384:…", "sha512:…": pinned
  std::string filename = {};   // "": by the answer, else by the URL
  std::int64_t mode = 0, uid = 0, gid = 0;  // mode 0: 0600
  std::string auth_header_secret = {};
  std::string accept = {}, user_agent = {};  // headers
  StepNotes notes = {};
  std::string name = {};
};
// url: https:// or http://
State http(std::string_view url, const HttpOptions& options = {});
inline State scratch() { return {}; }

// What a definition in a file of `source` leads to; filename "": the usual one.
State build(const State& source, std::string_view filename = {}, std::string_view name = {});
// The inputs with the numbers `outputs`, as they are, but there only when all inputs are: a join. No input is scratch.
std::vector<State> passthrough(const std::vector<State>& inputs, const std::vector<std::size_t>& outputs, std::string_view id);
// Later trees over earlier ones. Scratch adds nothing and is left out.
State merge(const std::vector<State>& states, std::string_view name = {}, const StepNotes& notes = {});
// What upper has that lower has not.
State diff(const State& lower, const State& upper, std::string_view name = {});

// A tree that steps are made from before it is known what it is.
class Pending {
 public:
  Pending();
  State state() const;
  // Before anything that needs it is marshalled; until then, marshal() fails. The tree is not scratch.
  void become(const State& tree);

 private:
  std::shared_ptr<Node> node_;
};

// The text that a graph was made from.
struct SourceText {
  std::string filename, data, language;
  std::string definition = {};  // whose result holds the file: as marshal() gives it
};

struct MarshalOptions {
  std::optional<Platform> platform = {};  // nullopt: this machine
  std::string local_unique_id = {};       // "": random
  std::optional<SourceText> source = {};
};
// The bytes of the pb.Definition whose result is this state; scratch has no ops and gives "".
// Errors: invalid_argument: the first mistake made on the way to this state.
base::Result<std::string> marshal(const State& state, const MarshalOptions& options = {});

}  // namespace cairn::solver::llb

// SPDX-License-Identifier: Apache-2.0
// The messages of an LLB graph as plain structs (spec/solver 1.1). Presence is what the wire says: an optional message
// may be there and empty, which changes digests. `unknown` of every message holds fields that this version does not
// know, byte for byte; they are part of the digest too.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace cairn::solver::wire {

// A field of type `bytes`: unlike a string it need not be UTF-8.
struct Bytes {
  std::string value;
  auto operator<=>(const Bytes&) const = default;
};

// An optional message that may contain its own type. Copies are deep.
template <class T>
class Box {
 public:
  Box() = default;
  explicit Box(T value) : value_(std::make_unique<T>(std::move(value))) {}
  Box(const Box& other) : value_(other.value_ ? std::make_unique<T>(*other.value_) : nullptr) {}
  Box(Box&&) noexcept = default;
  Box& operator=(Box other) noexcept {
    value_ = std::move(other.value_);
    return *this;
  }
  ~Box() = default;

  bool has_value() const { return value_ != nullptr; }
  T& emplace() {
    value_ = std::make_unique<T>();
    return *value_;
  }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_.get(); }

 private:
  std::unique_ptr<T> value_;
};

// Enumerations are open: a value without a name here is kept.
enum class NetMode : std::int32_t { unset = 0, host = 1, none = 2 };
enum class SecurityMode : std::int32_t { sandbox = 0, insecure = 1 };
enum class MountType : std::int32_t { bind = 0, secret = 1, ssh = 2, cache = 3, tmpfs = 4 };
enum class ContentCache : std::int32_t { by_default = 0, on = 1, off = 2 };
enum class CacheSharing : std::int32_t { shared = 0, exclusive = 1, locked = 2 };

inline constexpr std::int64_t no_input = -1;   // a mount, action or diff side over nothing
inline constexpr std::int64_t no_output = -1;  // a mount or action whose result nobody gets

struct Platform {
  std::string architecture, os, variant, os_version;
  std::vector<std::string> os_features;
  std::string unknown;
  bool operator==(const Platform&) const = default;
};

struct Input {
  std::string digest;  // of the vertex that makes it: "sha256:…"
  std::int64_t index = 0;
  std::string unknown;
};

struct ProxyEnv {
  std::string http_proxy, https_proxy, ftp_proxy, no_proxy, all_proxy;
  std::string unknown;
};
struct HostIp {
  std::string host, ip;
  std::string unknown;
};
struct Ulimit {
  std::string name;
  std::int64_t soft = 0, hard = 0;
  std::string unknown;
};
struct Meta {
  std::vector<std::string> args;
  std::vector<std::string> env;  // "K=V"
  std::string cwd, user;
  std::optional<ProxyEnv> proxy_env;
  std::vector<HostIp> extra_hosts;
  std::string hostname;
  std::vector<Ulimit> ulimits;
  std::string cgroup_parent;
  bool remove_mount_stubs_recursive = false;
  std::vector<std::int32_t> valid_exit_codes;
  std::string unknown;
};

struct TmpfsOpt {
  std::int64_t size = 0;
  std::string unknown;
};
struct CacheOpt {
  std::string id;
  CacheSharing sharing = CacheSharing::shared;
  std::string unknown;
};
struct SecretOpt {
  std::string id;
  std::uint32_t uid = 0, gid = 0, mode = 0;
  bool optional = false;
  std::string unknown;
};
struct SshOpt {
  std::string id;
  std::uint32_t uid = 0, gid = 0, mode = 0;
  bool optional = false;
  std::string unknown;
};
struct Mount {
  std::int64_t input = 0;
  std::string selector, dest;
  std::int64_t output = 0;
  bool readonly = false;
  MountType type = MountType::bind;
  std::optional<TmpfsOpt> tmpfs;
  std::optional<CacheOpt> cache;
  std::optional<SecretOpt> secret;
  std::optional<SshOpt> ssh;
  std::string result_id;
  ContentCache content_cache = ContentCache::by_default;
  std::string unknown;
};
struct SecretEnv {
  std::string id, name;
  bool optional = false;
  std::string unknown;
};
struct CdiDevice {
  std::string name;
  bool optional = false;
  std::string unknown;
};
struct ExecOp {
  std::optional<Meta> meta;
  std::vector<Mount> mounts;
  NetMode network = NetMode::unset;
  SecurityMode security = SecurityMode::sandbox;
  std::vector<SecretEnv> secret_env;
  std::vector<CdiDevice> cdi_devices;
  std::string unknown;
};

struct SourceOp {
  std::string identifier;
  std::map<std::string, std::string> attrs;
  std::string unknown;
};

struct NamedUserOpt {
  std::string name;
  std::int64_t input = 0;
  std::string unknown;
};
struct UserOpt {
  std::variant<std::monostate, NamedUserOpt, std::uint32_t> user;
  std::string unknown;
};
struct ChownOpt {
  std::optional<UserOpt> user, group;
  std::string unknown;
};
struct FileActionCopy {
  std::string src, dest;
  std::optional<ChownOpt> owner;
  std::int32_t mode = 0;
  bool follow_symlink = false;
  bool dir_copy_contents = false;
  bool attempt_unpack = false;
  bool create_dest_path = false;
  bool allow_wildcard = false;
  bool allow_empty_wildcard = false;
  std::int64_t timestamp = 0;
  std::vector<std::string> include_patterns, exclude_patterns;
  bool always_replace_existing = false;
  std::string mode_str;
  std::vector<std::string> required_paths;
  std::string unknown;
};
struct FileActionMkFile {
  std::string path;
  std::int32_t mode = 0;
  Bytes data;
  std::optional<ChownOpt> owner;
  std::int64_t timestamp = 0;
  std::string unknown;
};
struct FileActionMkDir {
  std::string path;
  std::int32_t mode = 0;
  bool make_parents = false;
  std::optional<ChownOpt> owner;
  std::int64_t timestamp = 0;
  std::string unknown;
};
struct FileActionRm {
  std::string path;
  bool allow_not_found = false, allow_wildcard = false;
  std::string unknown;
};
struct FileActionSymlink {
  std::string oldpath, newpath;
  std::optional<ChownOpt> owner;
  std::int64_t timestamp = 0;
  std::string unknown;
};
struct FileAction {
  std::int64_t input = 0, secondary_input = 0, output = 0;
  std::variant<std::monostate, FileActionCopy, FileActionMkFile, FileActionMkDir, FileActionRm, FileActionSymlink>
      action;
  std::string unknown;
};
struct FileOp {
  std::vector<FileAction> actions;
  std::string unknown;
};

// MergeInput, LowerDiffInput, UpperDiffInput and BuildInput are the same message under four names.
struct InputNumber {
  std::int64_t input = 0;
  std::string unknown;
};
struct MergeOp {
  std::vector<InputNumber> inputs;
  std::string unknown;
};
struct DiffOp {
  std::optional<InputNumber> lower, upper;
  std::string unknown;
};
struct PassthroughOp {
  std::string id;
  std::vector<std::int64_t> outputs;
  std::string unknown;
};

struct DefinitionMessage;
struct BuildOp {
  std::int64_t builder = 0;
  std::map<std::string, InputNumber> inputs;
  Box<DefinitionMessage> def;
  std::map<std::string, std::string> attrs;
  std::string unknown;
};

struct WorkerConstraints {
  std::vector<std::string> filter;
  std::string unknown;
};

struct Op {
  std::vector<Input> inputs;
  std::variant<std::monostate, ExecOp, SourceOp, FileOp, BuildOp, MergeOp, DiffOp, PassthroughOp> op;
  std::optional<Platform> platform;
  std::optional<WorkerConstraints> constraints;
  std::string unknown;
};

struct ExportCache {
  bool value = false;
  std::string unknown;
};
struct ProgressGroup {
  std::string id, name;
  bool weak = false;
  std::string unknown;
};
struct LinuxResources {
  std::int64_t memory = 0, memory_swap = 0;
  std::uint64_t cpu_shares = 0, cpu_period = 0;
  std::int64_t cpu_quota = 0;
  std::string cpuset_cpus, cpuset_mems;
  std::string unknown;
};
struct OpMetadata {
  bool ignore_cache = false;
  std::map<std::string, std::string> description;
  std::optional<ExportCache> export_cache;
  std::map<std::string, bool> caps;
  std::optional<ProgressGroup> progress_group;
  std::optional<LinuxResources> linux_resources;
  std::string unknown;
};

struct Position {
  std::int32_t line = 0, character = 0;
  std::string unknown;
};
struct Range {
  std::optional<Position> start, end;
  std::string unknown;
};
struct Location {
  std::int32_t source_index = 0;
  std::vector<Range> ranges;
  std::string unknown;
};
struct Locations {
  std::vector<Location> locations;
  std::string unknown;
};
struct SourceInfo {
  std::string filename;
  Bytes data;
  Box<DefinitionMessage> definition;
  std::string language;
  std::string unknown;
};
struct Source {
  std::map<std::string, Locations> locations;
  std::vector<SourceInfo> infos;
  std::string unknown;
};
// pb.Definition as it travels; solver::Definition is what loading makes of it.
struct DefinitionMessage {
  std::vector<Bytes> def;  // each one marshalled Op
  std::map<std::string, OpMetadata> metadata;
  std::optional<Source> source;
  std::string unknown;
};

}  // namespace cairn::solver::wire

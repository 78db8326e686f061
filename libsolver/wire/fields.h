// SPDX-License-Identifier: Apache-2.0
// One description of every message: number, name and member of each field, in the order in which they are written
// (ascending, the members of a oneof after everything else; spec/solver 1.3). The writer, the reader and the Go-JSON
// encoder are visitors of it, so the three cannot disagree.
#pragma once

#include "libsolver/wire/ops.h"

namespace cairn::solver::wire {

// Fields<Message>::visit(message, visitor) calls visitor(number, name, member) for each field and
// visitor.template member<T>(number, name, variant) for each member of a oneof.
template <class Message>
struct Fields;

#define CAIRN_FIELDS(Message)  \
  template <>                  \
  struct Fields<Message> {     \
    template <class M, class V> \
    static void visit(M& m, V& v)

CAIRN_FIELDS(Platform) {
  v(1, "Architecture", m.architecture);
  v(2, "OS", m.os);
  v(3, "Variant", m.variant);
  v(4, "OSVersion", m.os_version);
  v(5, "OSFeatures", m.os_features);
}};
CAIRN_FIELDS(Input) {
  v(1, "digest", m.digest);
  v(2, "index", m.index);
}};
CAIRN_FIELDS(ProxyEnv) {
  v(1, "http_proxy", m.http_proxy);
  v(2, "https_proxy", m.https_proxy);
  v(3, "ftp_proxy", m.ftp_proxy);
  v(4, "no_proxy", m.no_proxy);
  v(5, "all_proxy", m.all_proxy);
}};
CAIRN_FIELDS(HostIp) {
  v(1, "Host", m.host);
  v(2, "IP", m.ip);
}};
CAIRN_FIELDS(Ulimit) {
  v(1, "Name", m.name);
  v(2, "Soft", m.soft);
  v(3, "Hard", m.hard);
}};
CAIRN_FIELDS(Meta) {
  v(1, "args", m.args);
  v(2, "env", m.env);
  v(3, "cwd", m.cwd);
  v(4, "user", m.user);
  v(5, "proxy_env", m.proxy_env);
  v(6, "extraHosts", m.extra_hosts);
  v(7, "hostname", m.hostname);
  v(9, "ulimit", m.ulimits);
  v(10, "cgroupParent", m.cgroup_parent);
  v(11, "removeMountStubsRecursive", m.remove_mount_stubs_recursive);
  v(12, "validExitCodes", m.valid_exit_codes);
}};
CAIRN_FIELDS(TmpfsOpt) { v(1, "size", m.size); }};
CAIRN_FIELDS(CacheOpt) {
  v(1, "ID", m.id);
  v(2, "sharing", m.sharing);
}};
CAIRN_FIELDS(SecretOpt) {
  v(1, "ID", m.id);
  v(2, "uid", m.uid);
  v(3, "gid", m.gid);
  v(4, "mode", m.mode);
  v(5, "optional", m.optional);
}};
CAIRN_FIELDS(SshOpt) {
  v(1, "ID", m.id);
  v(2, "uid", m.uid);
  v(3, "gid", m.gid);
  v(4, "mode", m.mode);
  v(5, "optional", m.optional);
}};
CAIRN_FIELDS(Mount) {
  v(1, "input", m.input);
  v(2, "selector", m.selector);
  v(3, "dest", m.dest);
  v(4, "output", m.output);
  v(5, "readonly", m.readonly);
  v(6, "mountType", m.type);
  v(19, "TmpfsOpt", m.tmpfs);
  v(20, "cacheOpt", m.cache);
  v(21, "secretOpt", m.secret);
  v(22, "SSHOpt", m.ssh);
  v(23, "resultID", m.result_id);
  v(24, "contentCache", m.content_cache);
}};
CAIRN_FIELDS(SecretEnv) {
  v(1, "ID", m.id);
  v(2, "name", m.name);
  v(3, "optional", m.optional);
}};
CAIRN_FIELDS(CdiDevice) {
  v(1, "name", m.name);
  v(2, "optional", m.optional);
}};
CAIRN_FIELDS(ExecOp) {
  v(1, "meta", m.meta);
  v(2, "mounts", m.mounts);
  v(3, "network", m.network);
  v(4, "security", m.security);
  v(5, "secretenv", m.secret_env);
  v(6, "cdiDevices", m.cdi_devices);
}};
CAIRN_FIELDS(SourceOp) {
  v(1, "identifier", m.identifier);
  v(2, "attrs", m.attrs);
}};
CAIRN_FIELDS(NamedUserOpt) {
  v(1, "name", m.name);
  v(2, "input", m.input);
}};
CAIRN_FIELDS(UserOpt) {
  v.template member<NamedUserOpt>(1, "byName", m.user);
  v.template member<std::uint32_t>(2, "byID", m.user);
}};
CAIRN_FIELDS(ChownOpt) {
  v(1, "user", m.user);
  v(2, "group", m.group);
}};
CAIRN_FIELDS(FileActionCopy) {
  v(1, "src", m.src);
  v(2, "dest", m.dest);
  v(3, "owner", m.owner);
  v(4, "mode", m.mode);
  v(5, "followSymlink", m.follow_symlink);
  v(6, "dirCopyContents", m.dir_copy_contents);
  v(7, "attemptUnpackDockerCompatibility", m.attempt_unpack);
  v(8, "createDestPath", m.create_dest_path);
  v(9, "allowWildcard", m.allow_wildcard);
  v(10, "allowEmptyWildcard", m.allow_empty_wildcard);
  v(11, "timestamp", m.timestamp);
  v(12, "include_patterns", m.include_patterns);
  v(13, "exclude_patterns", m.exclude_patterns);
  v(14, "alwaysReplaceExistingDestPaths", m.always_replace_existing);
  v(15, "modeStr", m.mode_str);
  v(16, "required_paths", m.required_paths);
}};
CAIRN_FIELDS(FileActionMkFile) {
  v(1, "path", m.path);
  v(2, "mode", m.mode);
  v(3, "data", m.data);
  v(4, "owner", m.owner);
  v(5, "timestamp", m.timestamp);
}};
CAIRN_FIELDS(FileActionMkDir) {
  v(1, "path", m.path);
  v(2, "mode", m.mode);
  v(3, "makeParents", m.make_parents);
  v(4, "owner", m.owner);
  v(5, "timestamp", m.timestamp);
}};
CAIRN_FIELDS(FileActionRm) {
  v(1, "path", m.path);
  v(2, "allowNotFound", m.allow_not_found);
  v(3, "allowWildcard", m.allow_wildcard);
}};
CAIRN_FIELDS(FileActionSymlink) {
  v(1, "oldpath", m.oldpath);
  v(2, "newpath", m.newpath);
  v(3, "owner", m.owner);
  v(4, "timestamp", m.timestamp);
}};
CAIRN_FIELDS(FileAction) {
  v(1, "input", m.input);
  v(2, "secondaryInput", m.secondary_input);
  v(3, "output", m.output);
  v.template member<FileActionCopy>(4, "copy", m.action);
  v.template member<FileActionMkFile>(5, "mkfile", m.action);
  v.template member<FileActionMkDir>(6, "mkdir", m.action);
  v.template member<FileActionRm>(7, "rm", m.action);
  v.template member<FileActionSymlink>(8, "symlink", m.action);
}};
CAIRN_FIELDS(FileOp) { v(2, "actions", m.actions); }};
CAIRN_FIELDS(InputNumber) { v(1, "input", m.input); }};
CAIRN_FIELDS(MergeOp) { v(1, "inputs", m.inputs); }};
CAIRN_FIELDS(DiffOp) {
  v(1, "lower", m.lower);
  v(2, "upper", m.upper);
}};
CAIRN_FIELDS(PassthroughOp) {
  v(1, "id", m.id);
  v(2, "outputs", m.outputs);
}};
CAIRN_FIELDS(BuildOp) {
  v(1, "builder", m.builder);
  v(2, "inputs", m.inputs);
  v(3, "def", m.def);
  v(4, "attrs", m.attrs);
}};
CAIRN_FIELDS(WorkerConstraints) { v(1, "filter", m.filter); }};
CAIRN_FIELDS(Op) {
  v(1, "inputs", m.inputs);
  v(10, "platform", m.platform);
  v(11, "constraints", m.constraints);
  v.template member<ExecOp>(2, "exec", m.op);
  v.template member<SourceOp>(3, "source", m.op);
  v.template member<FileOp>(4, "file", m.op);
  v.template member<BuildOp>(5, "build", m.op);
  v.template member<MergeOp>(6, "merge", m.op);
  v.template member<DiffOp>(7, "diff", m.op);
  v.template member<PassthroughOp>(8, "passthrough", m.op);
}};
CAIRN_FIELDS(ExportCache) { v(1, "Value", m.value); }};
CAIRN_FIELDS(ProgressGroup) {
  v(1, "id", m.id);
  v(2, "name", m.name);
  v(3, "weak", m.weak);
}};
CAIRN_FIELDS(LinuxResources) {
  v(1, "memory", m.memory);
  v(2, "memorySwap", m.memory_swap);
  v(3, "cpuShares", m.cpu_shares);
  v(4, "cpuPeriod", m.cpu_period);
  v(5, "cpuQuota", m.cpu_quota);
  v(6, "cpusetCpus", m.cpuset_cpus);
  v(7, "cpusetMems", m.cpuset_mems);
}};
CAIRN_FIELDS(OpMetadata) {
  v(1, "ignore_cache", m.ignore_cache);
  v(2, "description", m.description);
  v(4, "export_cache", m.export_cache);
  v(5, "caps", m.caps);
  v(6, "progress_group", m.progress_group);
  v(7, "linux_resources", m.linux_resources);
}};
CAIRN_FIELDS(Position) {
  v(1, "line", m.line);
  v(2, "character", m.character);
}};
CAIRN_FIELDS(Range) {
  v(1, "start", m.start);
  v(2, "end", m.end);
}};
CAIRN_FIELDS(Location) {
  v(1, "sourceIndex", m.source_index);
  v(2, "ranges", m.ranges);
}};
CAIRN_FIELDS(Locations) { v(1, "locations", m.locations); }};
CAIRN_FIELDS(SourceInfo) {
  v(1, "filename", m.filename);
  v(2, "data", m.data);
  v(3, "definition", m.definition);
  v(4, "language", m.language);
}};
CAIRN_FIELDS(Source) {
  v(1, "locations", m.locations);
  v(2, "infos", m.infos);
}};
CAIRN_FIELDS(DefinitionMessage) {
  v(1, "def", m.def);
  v(2, "metadata", m.metadata);
  v(3, "Source", m.source);
}};
#undef CAIRN_FIELDS

// A type that Fields describes.
template <class T>
concept Message = requires(T& t) { t.unknown; };

}  // namespace cairn::solver::wire

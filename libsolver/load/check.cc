// SPDX-License-Identifier: Apache-2.0
#include "libsolver/load/check.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;

// Sorted. "soruce.http.uidgid" is spelled so on the wire (spec/solver 1.5).
constexpr auto capabilities = std::to_array<std::string_view>({
    "cache.azblob", "cache.gha", "cache.s3", "constraints", "diffop", "exec.cgroup", "exec.meta.base",
    "exec.meta.cdi", "exec.meta.cgroup.parent", "exec.meta.linux.resources", "exec.meta.network",
    "exec.meta.network.proxy", "exec.meta.proxyenv", "exec.meta.removemountstubs.recursive", "exec.meta.security",
    "exec.meta.security.devices.v1", "exec.meta.setsdefaultpath", "exec.meta.ulimit", "exec.mount.bind",
    "exec.mount.bind.readwrite-nooutput", "exec.mount.cache", "exec.mount.cache.content",
    "exec.mount.cache.sharing", "exec.mount.secret", "exec.mount.selector", "exec.mount.ssh", "exec.mount.tmpfs",
    "exec.mount.tmpfs.size", "exec.secretenv", "exec.validexitcode", "exporter.image.annotations",
    "exporter.image.attestations", "exporter.multiple", "exporter.session", "exporter.sourcedateepoch", "file.base",
    "file.copy.alwaysreplaceexistingdestpaths", "file.copy.includeexcludepatterns", "file.copy.modestring",
    "file.copy.requiredpaths", "file.rm.nofollowsymlink", "file.rm.wildcard", "file.symlink.create",
    "gc.freespacefilter", "history.filter", "mergeop", "meta.description", "meta.exportcache", "meta.ignorecache",
    "passthroughop", "platform", "soruce.http.uidgid", "source.buildop.llbfilename", "source.git",
    "source.git.bundle", "source.git.checkoutbundle", "source.git.checksum", "source.git.fetchbycommit",
    "source.git.fullurl", "source.git.httpauth", "source.git.keepgitdir", "source.git.knownsshhosts",
    "source.git.mountsshsock", "source.git.mtime", "source.git.signatureverify", "source.git.skipsubmodules",
    "source.git.subdir", "source.http", "source.http.auth", "source.http.checksum", "source.http.header",
    "source.http.perm", "source.http.signatureverify", "source.image", "source.image.checksum",
    "source.image.layerlimit", "source.image.resolvemode", "source.imageblob", "source.local",
    "source.local.differ", "source.local.excludepatterns", "source.local.followpaths",
    "source.local.includepatterns", "source.local.metadatatransfer", "source.local.sessionid",
    "source.local.sharedkeyhint", "source.local.unique", "source.ocilayout", "source.policy",
    "source.policy.session",
});
static_assert(std::is_sorted(capabilities.begin(), capabilities.end()));

struct Checker {
  const wire::Op& op;

  Status operator()(const std::monostate&) const { return {}; }
  Status operator()(const wire::SourceOp&) const { return {}; }
  Status operator()(const wire::BuildOp&) const { return {}; }
  Status operator()(const wire::MergeOp&) const { return {}; }

  Status operator()(const wire::ExecOp& exec) const {
    if (!exec.meta) return fail(ErrorCode::invalid_argument, "exec without meta");
    if (exec.meta->args.empty()) return fail(ErrorCode::invalid_argument, "exec without arguments");
    if (exec.mounts.empty()) return fail(ErrorCode::invalid_argument, "exec without mounts");
    const bool has_root =
        std::any_of(exec.mounts.begin(), exec.mounts.end(), [](const wire::Mount& mount) { return mount.dest == "/"; });
    if (!has_root) return fail(ErrorCode::invalid_argument, "exec without a mount at /");
    return {};
  }
  Status operator()(const wire::FileOp& file) const {
    if (file.actions.empty()) return fail(ErrorCode::invalid_argument, "file without actions");
    return {};
  }
  Status operator()(const wire::DiffOp& diff) const {
    if (!diff.lower || !diff.upper) return fail(ErrorCode::invalid_argument, "diff without a lower or an upper side");
    for (const auto* side : {&*diff.lower, &*diff.upper}) {
      if (side->input < wire::no_input || side->input >= static_cast<std::int64_t>(op.inputs.size())) {
        return fail(ErrorCode::invalid_argument, "diff side is input {}, but there are {}", side->input, op.inputs.size());
      }
    }
    return {};
  }
  Status operator()(const wire::PassthroughOp& pass) const {
    if (pass.id.empty()) return fail(ErrorCode::invalid_argument, "passthrough without id");
    if (pass.outputs.empty()) return fail(ErrorCode::invalid_argument, "passthrough without outputs");
    for (const std::int64_t output : pass.outputs) {
      if (output < 0 || output >= static_cast<std::int64_t>(op.inputs.size())) {
        return fail(ErrorCode::invalid_argument, "passthrough of input {}, but there are {}", output, op.inputs.size());
      }
    }
    return {};
  }
};

}  // namespace

Status check_op(const wire::Op& op) { return std::visit(Checker{op}, op.op); }

Status check_capabilities(const wire::OpMetadata& metadata) {
  for (const auto& [capability, needed] : metadata.caps) {
    if (!std::binary_search(capabilities.begin(), capabilities.end(), std::string_view(capability))) {
      return fail(ErrorCode::invalid_argument, "it needs the capability \"{}\", which this engine does not have", capability);
    }
  }
  return {};
}

}  // namespace cairn::solver

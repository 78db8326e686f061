// SPDX-License-Identifier: Apache-2.0
// Sources of the network: git repositories, files over HTTP, blobs of registries.
#include "libsolver/identifier.h"
#include "libsolver/llb/new_source.h"
#include "libsolver/ops/cache_maps.h"
#include "libsolver/ops/git_spec.h"

namespace cairn::solver::llb {
namespace {

void write_file(NewSource& source, const std::string& filename, std::int64_t mode) {
  source.text("http.filename", filename);
  source.mode("http.perm", mode);
}

// A blob is its digest; a tag beside it could only contradict.
base::Result<std::string> blob_reference(std::string_view reference) {
  auto full = normalize_image_reference(reference);
  if (!full) return full;
  const std::string_view name = std::string_view(*full).substr(0, full->find('@'));
  if (name.size() == full->size()) {
    return base::fail(base::ErrorCode::invalid_argument, "blob reference \"{}\" has no digest", reference);
  }
  if (name.find(':', name.find('/')) != std::string_view::npos) {
    return base::fail(base::ErrorCode::invalid_argument, "blob reference \"{}\" has a tag", reference);
  }
  return full;
}

void write_git_secrets(NewSource& source, const GitOptions& options) {
  const auto secret = [&](const char* key, const std::optional<std::string>& name, const char* usual) {
    // Only who names one insists on a daemon that knows them.
    source.text(key, name.value_or(usual), name ? "source.git.httpauth" : nullptr);
  };
  secret("git.authtokensecret", options.auth_token_secret, "GIT_AUTH_TOKEN");
  secret("git.authheadersecret", options.auth_header_secret, "GIT_AUTH_HEADER");
}

void write_git_ssh(NewSource& source, const GitOptions& options) {
  std::string hosts = options.known_ssh_hosts;
  if (!hosts.empty() && !hosts.ends_with('\n')) hosts += '\n';
  source.text("git.knownsshhosts", hosts);
  source.need("source.git.knownsshhosts");
  source.text("git.mountsshsock", options.ssh_socket.empty() ? "default" : options.ssh_socket);
  source.need("source.git.mountsshsock");
}

}  // namespace

State image_blob(std::string_view reference, const BlobOptions& options) {
  const auto full = blob_reference(reference);
  if (!full) return wrong(full.error().message);
  NewSource source;
  source.need("source.imageblob");
  write_file(source, options.filename, options.mode);
  source.number("http.uid", options.uid);
  source.number("http.gid", options.gid);
  return source.finish("docker-image+blob://" + *full, options.name);
}

State oci_layout_blob(std::string_view reference, const OciBlobOptions& options) {
  const auto full = blob_reference(reference);
  if (!full) return wrong(full.error().message);
  NewSource source;
  source.need("source.imageblob");
  write_file(source, options.file.filename, options.file.mode);
  source.number("http.uid", options.file.uid);
  source.number("http.gid", options.file.gid);
  source.text("oci.session", options.session_id);
  source.text("oci.store", options.store_id);
  return source.finish("oci-layout+blob://" + *full, options.file.name);
}

State git(std::string_view url, const GitOptions& options) {
  const auto address = parse_git_address(url);
  if (!address) return wrong(address.error().message);
  NewSource source;
  source.need("source.git");
  source.text("git.fullurl", address->remote, "source.git.fullurl");
  write_git_secrets(source, options);
  if (address->over_ssh) write_git_ssh(source, options);
  source.text("git.checksum", options.checksum, "source.git.checksum");
  if (options.fetch_by_commit) source.mark("git.fetchbycommit", "source.git.fetchbycommit");
  if (options.keep_git_dir) source.mark("git.keepgitdir", "source.git.keepgitdir");
  if (options.skip_submodules) source.mark("git.skipsubmodules", "source.git.skipsubmodules");
  if (options.checkout_bundle) source.mark("git.checkoutbundle", "source.git.checkoutbundle");
  source.text("git.mtime", options.mtime, "source.git.mtime");
  source.text("git.bundle", options.bundle, "source.git.bundle");
  source.text("oci.session", options.bundle_session_id);
  source.text("oci.store", options.bundle_store_id);

  std::string identifier = fmt::format("git://{}{}", address->host, address->path);
  const std::string subdir = rooted_path(options.subdir).substr(1);
  if (!options.ref.empty() || !subdir.empty()) identifier += "#" + options.ref;
  if (!subdir.empty()) identifier += ":" + subdir;
  return source.finish(std::move(identifier), options.name);
}

State http(std::string_view url, const HttpOptions& options) {
  if (!url.starts_with("https://") && !url.starts_with("http://")) {
    return wrong(fmt::format("\"{}\" begins with neither https:// nor http://", url));
  }
  NewSource source;
  source.need("source.http");
  source.text("http.checksum", options.checksum, "source.http.checksum");
  write_file(source, options.filename, options.mode);
  if (options.mode != 0) source.need("source.http.perm");
  // The capability is spelled so on the wire (spec/solver 1.5).
  source.number("http.uid", options.uid, "soruce.http.uidgid");
  source.number("http.gid", options.gid, "soruce.http.uidgid");
  source.text("http.authheadersecret", options.auth_header_secret, "source.http.auth");
  source.text("http.header.accept", options.accept, "source.http.header");
  source.text("http.header.user-agent", options.user_agent, "source.http.header");
  source.node->note(options.notes);
  return source.finish(std::string(url), options.name);
}

}  // namespace cairn::solver::llb

// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/build_facts.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "libbase/fs/beneath.h"
#include "libsolver/remote_cache.h"

namespace cairn::engine {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

Result<std::string> read_head(int tree, const base::TreePath& path) {
  const base::Fd file = TRY(base::open_beneath(tree, path, O_RDONLY | O_NONBLOCK, 0, base::Follow::in_root));
  std::string head(dockerfile::Facts::head_bytes, '\0');
  const ssize_t got = ::pread(file.get(), head.data(), head.size(), 0);
  if (got < 0) return base::fail_errno(errno, "read {}", path.str());
  head.resize(static_cast<std::size_t>(got));
  return head;
}

}  // namespace

Result<BuildFacts::Image> BuildFacts::resolve_image(const std::string& reference, const dockerfile::Platform& platform,
                                                    const std::string& resolve_mode, const std::string& oci_store) {
  solver::ImageQuery query{.reference = reference,
                           .platform = platform,
                           .resolve_mode = resolve_mode,
                           .credentials = solver::registry_credentials(reference.substr(0, reference.find('/')), build_.secrets, build_.logins),
                           .remote = build_.remote,
                           .oci_layout = {}};
  if (!oci_store.empty()) {
    const auto layout = build_.oci_layouts.find(oci_store);
    if (layout == build_.oci_layouts.end())
      return fail(ErrorCode::not_found, "no directory is given for OCI layout \"{}\"", oci_store);
    query.oci_layout = layout->second;
  }
  auto answer = TRY(progress_.step("[internal] load metadata for " + reference,
                                   [&] { return engine_.solver().image_config(query, stop_); }));
  warnings_.insert(warnings_.end(), answer.warnings.begin(), answer.warnings.end());
  return Image{reference, answer.digest.str(), std::move(answer.config)};
}

Result<solver::OptionalRef> BuildFacts::solve(const std::string& definition) {
  if (const auto known = solved_.find(definition); known != solved_.end()) return known->second;
  const solver::SolveRequest request = TRY(request_for_(definition));
  // It is a part of a build, which is what the history tells of.
  solver::SolveOutcome outcome = engine_.solver().solve(request, progress_, stop_);
  if (!outcome.status) return tl::unexpected(std::move(outcome.status).error());
  if (outcome.result) TRY(engine_.fetch(*outcome.result, stop_));
  return solved_.emplace(definition, std::move(outcome.result)).first->second;
}

Result<std::optional<std::string>> BuildFacts::read_file(const std::string& definition, const std::string& path, Part part) {
  const solver::OptionalRef ref = TRY(solve(definition));
  if (!ref) return std::optional<std::string>();
  const snapshot::MountedTree tree = TRY(ref->mount());
  const base::TreePath in_tree = TRY(base::TreePath::parse(path), "{}", path);
  auto bytes = part == Part::head ? read_head(tree.fd(), in_tree)
                                  : base::read_beneath(tree.fd(), in_tree, file_bytes_max, base::Follow::in_root);
  if (bytes) return std::optional(std::move(*bytes));
  if (bytes.error().code == ErrorCode::not_found) return std::optional<std::string>();
  return tl::unexpected(base::add_context(std::move(bytes).error(), "read " + path));
}

}  // namespace cairn::engine

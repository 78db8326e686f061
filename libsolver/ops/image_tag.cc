// SPDX-License-Identifier: Apache-2.0
#include "libsolver/ops/image_tag.h"

#include "libbase/codec.h"
#include "libcache/resolved_source.h"
#include "libsolver/cache_key.h"
#include "libsolver/ops/ops.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::uint8_t facts_version = 1;

}  // namespace

Result<ResolveMode> parse_resolve_mode(std::string_view text) {
  if (text.empty() || text == "default") return ResolveMode::usual;
  if (text == "pull") return ResolveMode::pull;
  if (text == "local") return ResolveMode::local;
  return fail(ErrorCode::invalid_argument, "\"{}\" is none of default, pull, local", text);
}

Result<std::string> RegistryDocuments::read(Kind kind, const BlobDigest& digest) const {
  auto here = blobs_.read(digest, OciDocumentLimits::bytes_max);
  if (here) return here;
  if (!repository_) {
    auto error = fail(ErrorCode::unavailable, "{}: {} is not known from before, and no registry may be asked", place_, digest);
    error.value().hint = "leave out --offline";
    return error;
  }
  const auto document = kind == Kind::manifest ? cache::Repository::Document::manifest : cache::Repository::Document::blob;
  std::string bytes = TRY(repository_->read(document, digest, OciDocumentLimits::bytes_max, stop_));
  TRY(blobs_.put(bytes, digest));
  return bytes;
}

KeyDigest tag_question(const ImageReference& reference) {
  base::ByteWriter name;
  name.raw("cairn.source.image.resolved.v1:").string(reference.repository.text()).string(reference.tag);
  return private_key(name.take());
}

Result<BlobDigest> resolve_tag(cache::Cache& cache, const ImageTag& tag, cache::Repository* repository,
                               const RemoteUse& remote, const std::function<void(const std::string&)>& warn,
                               const std::stop_token& stop) {
  const KeyDigest question = tag_question(tag.reference);
  std::optional<BlobDigest> known;
  if (auto row = TRY(cache.find_resolved(question))) {
    base::ByteReader reader(row->facts);
    if (auto version = reader.u8(); version && *version == facts_version) known = TRY(BlobDigest::from_raw(TRY(reader.raw(32))));
    const bool is_young = row->age < remote.believed_for && tag.mode != ResolveMode::pull;
    if (known && (repository == nullptr || is_young || tag.mode == ResolveMode::local)) return *known;
  }
  if (repository == nullptr) {
    auto error = fail(ErrorCode::unavailable, "resolve {}: it is not known from before, and no registry may be asked", tag.name);
    error.value().hint = "leave out --offline, or pin the source and keep its result";
    return error;
  }
  auto digest = repository->resolve(tag.reference.tag, stop);
  if (digest) {
    cache.remember_resolved(question, tag.name, base::ByteWriter().u8(facts_version).raw(digest->raw()).take());
    return digest;
  }
  // A registry that cannot be reached does not stop a build whose images are here.
  if (digest.error().code != ErrorCode::io || !known || tag.mode == ResolveMode::pull) {
    return tl::unexpected(base::add_context(std::move(digest).error(), "resolve " + tag.name));
  }
  warn(fmt::format("{}; it is taken as it was: {}", digest.error().message, *known));
  return *known;
}

}  // namespace cairn::solver

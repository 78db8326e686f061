// SPDX-License-Identifier: Apache-2.0
// docker-image://REFERENCE: an image of a registry. What a tag is, the registry says, which is remembered as what HTTP servers
// say is; a digest is known without asking. Documents are fetched to learn what the image is made of; layers are lazy
// records, whose bytes are fetched when a step needs their tree.
#include "libbase/hash/sha256.h"
#include "libsolver/cache_key.h"
#include "libsolver/identifier.h"
#include "libsolver/ops/image_tag.h"
#include "libsolver/ops/ops.h"
#include "libsolver/ops/source_attrs.h"
#include "libsolver/registry_logins.h"
#include "libsolver/sources/blob_origins.h"
#include "libsolver/sources/oci_image.h"
#include "libsolver/sources/resolver_cache.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

struct ImageSpec {
  ImageTag tag;
  std::optional<BlobDigest> checksum;
  wire::Platform platform;
  std::int64_t layer_limit = 0;
  cache::RecordType type = cache::RecordType::source_image;
  std::string credentials;
};

class ImageSource final : public Op {
 public:
  ImageSource(std::shared_ptr<const Vertex> vertex, ImageSpec spec, RemoteUse remote)
      : vertex_(std::move(vertex)), spec_(std::move(spec)), remote_(remote) {}

  Cost identify_cost() const override { return Cost::io; }

  // First by the digest that its name has, then by what its layers are.
  Result<OpIdentity> identify(std::uint32_t index, const OpContext& context) override {
    if (index > 0) return OpIdentity{.map = image_chain_cache_map(image_.chain_ids.back().str()), .extra_keys = {}};
    std::shared_ptr<cache::Repository> repository;
    if (remote_.ask == RemoteUse::Ask::always) {
      repository = TRY(context.origins->open(spec_.tag.reference.repository, spec_.credentials));
    }
    const BlobDigest root = spec_.tag.reference.digest ? *spec_.tag.reference.digest : TRY(resolve(context, repository.get()));
    if (spec_.checksum && *spec_.checksum != root) {
      return fail(ErrorCode::corrupt, "{} is {}, but the source is pinned to {}", spec_.tag.name, root, *spec_.checksum);
    }
    const RegistryDocuments documents(context.cache.blobs(), repository, spec_.tag.reference.repository.text(), context.stop);
    image_ = TRY(resolve_oci_image(documents, root, spec_.platform), "resolve {}", spec_.tag.name);
    limit_layers(image_, spec_.layer_limit);
    for (const OciLayer& layer : image_.layers) context.origins->add(layer.digest, layer.size, spec_.tag.reference.repository);
    OpIdentity identity;
    identity.map = image_root_cache_map(root.str(), spec_.platform, spec_.layer_limit);
    identity.last = image_.chain_ids.empty();
    return identity;
  }

  base::Sha256Bytes work_identity(std::span<const OptionalRef>) const override {
    return base::sha256("docker-image:" + (image_.chain_ids.empty() ? image_.manifest.str() : image_.chain_ids.back().str()));
  }

  Result<OpOutputs> execute(std::span<const OptionalRef>, const OpContext& context, cache::Publication& publication) override {
    TRY(check_rootfs(image_), "{}", spec_.tag.name);
    OptionalRef top;
    for (std::size_t i = 0; i < image_.layers.size(); ++i) {
      OptionalRef known = TRY(context.cache.find_chain(image_.chain_ids[i]));
      if (!known) known = TRY(add_layer(context, i, top, publication));
      top = std::move(known);
    }
    if (top) {
      for (const BlobDigest& document : image_.documents) publication.add_blob(*top, document);
    }
    OpOutputs outputs;
    outputs.refs.push_back(std::move(top));
    return outputs;
  }

  std::uint32_t outputs() const override { return 1; }

 private:
  // What the tag is, as another source of this solve was told it, or now. repository: null: nobody may be asked.
  Result<BlobDigest> resolve(const OpContext& context, cache::Repository* repository) const {
    // Modes differ in what they believe, so what one was told is not for the other.
    const KeyDigest question_in_mode = private_key(tag_question(spec_.tag.reference).str() + std::to_string(static_cast<int>(spec_.tag.mode)));
    CombinedTurn turn = TRY(CombinedTurn::lock(context.resolved, question_in_mode, context.stop));
    if (!turn.answers().empty()) return BlobDigest::from_raw(turn.answers().front());
    const auto warn = [&](const std::string& text) { context.output(Stream::err, "warning: " + text + '\n'); };
    const BlobDigest tag = TRY(resolve_tag(context.cache, spec_.tag, repository, remote_, warn, context.stop));
    (void)turn.release(std::string(tag.raw()));  // not remembered, it is asked again
    return tag;
  }

  Result<cache::ImmutableRef> add_layer(const OpContext& context, std::size_t index, const OptionalRef& parent,
                                        cache::Publication& publication) const {
    const OciLayer& layer = image_.layers[index];
    cache::RecordFacts facts;
    facts.type = spec_.type;
    facts.description = fmt::format("layer {} of {}", index + 1, vertex_->name);
    facts.chain = image_.chain_ids[index];
    return context.cache.add_lazy({.diff = layer.diff, .blob = layer.digest, .size = layer.size, .compression = layer_compression(layer)},
                                  parent, publication, std::move(facts));
  }

  std::shared_ptr<const Vertex> vertex_;
  ImageSpec spec_;
  RemoteUse remote_;
  OciImage image_;  // set by identify()
};

Result<cache::RecordType> type_of(const wire::SourceOp& source) {
  const std::string text = attr_text(source, "image.recordtype");
  for (const auto type : {cache::RecordType::internal, cache::RecordType::frontend, cache::RecordType::source_image}) {
    if (text == to_string(type)) return type;
  }
  if (text.empty() || text == "regular") return cache::RecordType::source_image;
  return fail(ErrorCode::invalid_argument, "image.recordtype \"{}\" is none", text);
}

}  // namespace

Result<std::unique_ptr<Op>> make_image_source(std::shared_ptr<const Vertex> vertex, const wire::SourceOp& source,
                                              const std::string& reference, const SolveRequest& request) {
  ImageSpec spec;
  spec.tag.name = reference;
  spec.tag.reference = TRY(parse_image_reference(reference));
  if (const std::string checksum = attr_text(source, "image.checksum"); !checksum.empty()) {
    spec.checksum = TRY(BlobDigest::parse(checksum), "image.checksum");
  }
  spec.platform = vertex->op.platform.value_or(wire::Platform{});
  spec.layer_limit = TRY(layer_limit_attr(source, "image.layerlimit"));
  spec.tag.mode = TRY(parse_resolve_mode(attr_text(source, "image.resolvemode")), "image.resolvemode");
  spec.type = TRY(type_of(source));
  spec.credentials = registry_credentials(spec.tag.reference.repository.host, request.secrets, request.logins);
  return std::make_unique<ImageSource>(std::move(vertex), std::move(spec), request.remote);
}

}  // namespace cairn::solver

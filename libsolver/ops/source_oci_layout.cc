// SPDX-License-Identifier: Apache-2.0
// oci-layout://NAME@DIGEST: an image in a directory. Its layers become a chain of records, each found again by its chain
// id, so that images share what they have in common. An image with no layers is the empty tree.
#include "libbase/hash/sha256.h"
#include "libcache/observed_layer.h"
#include "libsnapshot/layer.h"
#include "libsolver/identifier.h"
#include "libsolver/ops/ops.h"
#include "libsolver/ops/source_attrs.h"
#include "libsolver/sources/oci_layout.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Result;

class OciLayoutSource final : public Op {
 public:
  OciLayoutSource(std::shared_ptr<const Vertex> vertex, base::HostPath dir, BlobDigest root, std::int64_t layer_limit)
      : vertex_(std::move(vertex)), dir_(std::move(dir)), root_(root), layer_limit_(layer_limit) {}

  Cost identify_cost() const override { return Cost::io; }

  // First by the digest it is named by, then by what its layers are.
  Result<OpIdentity> identify(std::uint32_t index, const OpContext&) override {
    if (index > 0) return OpIdentity{.map = image_chain_cache_map(image_.chain_ids.back().str()), .extra_keys = {}};
    const OciLayout layout = TRY(OciLayout::open(dir_));
    image_ = TRY(layout.resolve(root_, vertex_->op.platform.value_or(wire::Platform{})), "resolve {} in {}", root_.str(),
                 dir_.str());
    limit_layers(image_, layer_limit_);
    OpIdentity identity;
    identity.map = image_root_cache_map(root_.str(), vertex_->op.platform.value_or(wire::Platform{}), layer_limit_);
    identity.last = image_.chain_ids.empty();
    return identity;
  }

  base::Sha256Bytes work_identity(std::span<const OptionalRef>) const override {
    return base::sha256("oci-layout:" + (image_.chain_ids.empty() ? image_.manifest.str() : image_.chain_ids.back().str()));
  }

  Result<OpOutputs> execute(std::span<const OptionalRef>, const OpContext& context,
                            cache::Publication& publication) override {
    const OciLayout layout = TRY(OciLayout::open(dir_));
    OptionalRef top;
    std::uint64_t total = 0, done = 0;
    for (const OciLayer& layer : image_.layers) total += layer.size;
    for (std::size_t i = 0; i < image_.layers.size(); ++i) {
      OptionalRef known = TRY(context.cache.find_chain(image_.chain_ids[i]));
      const bool is_top = i + 1 == image_.layers.size();
      if (!known) {
        // A layer below the top is a result of its own: if the next one fails, it need not be unpacked again.
        cache::Publication own;
        known = TRY(unpack(layout, i, top, context, is_top ? publication : own, done, total));
        if (!is_top) TRY(context.cache.publish(std::move(own)));
      }
      // Some image of a registry that begins as this one does, and was not needed yet.
      if (known->is_lazy()) TRY(context.cache.unlazy(*known, provider(layout), context.stop));
      done += image_.layers[i].size;
      context.bytes(done, total);
      top = std::move(known);
    }
    if (top) TRY(keep_documents(context, *top, publication));
    OpOutputs outputs;
    outputs.refs.push_back(std::move(top));
    return outputs;
  }

  std::uint32_t outputs() const override { return 1; }

 private:
  static cache::BlobProvider provider(const OciLayout& layout) {
    return [&layout](const BlobDigest& blob, const std::stop_token&) { return layout.open_blob_of(blob); };
  }

  Result<cache::ImmutableRef> unpack(const OciLayout& layout, std::size_t index, const OptionalRef& parent,
                                     const OpContext& context, cache::Publication& publication, std::uint64_t done,
                                     std::uint64_t total) {
    const OciLayer& layer = image_.layers[index];
    cache::MutableRef tree = TRY(context.cache.create(parent));
    cache::ObservedLayer observed;
    {
      const snapshot::MountedTree mounted = TRY(tree.mount(snapshot::Access::read_write));
      snapshot::ApplyOptions options;
      options.stop = context.stop;
      options.observer = &observed;
      options.progress = [&](std::uint64_t bytes) { context.bytes(done + bytes, total); };
      const snapshot::Applied applied =
          TRY(snapshot::apply_layer(mounted, TRY(layout.open_layer(layer)), options), "unpack layer {}", layer.digest.str());
      if (applied.blob != layer.digest) {
        return base::fail(ErrorCode::corrupt, "unpack layer {}: its bytes have digest {}", layer.digest.str(), applied.blob.str());
      }
      if (applied.diff != layer.diff) {
        return base::fail(ErrorCode::corrupt, "unpack layer {}: uncompressed it has digest {}, but the image's config says {}",
                          layer.digest.str(), applied.diff.str(), layer.diff.str());
      }
    }
    cache::RecordFacts facts;
    facts.type = cache::RecordType::source_image;
    facts.description = fmt::format("layer {} of {}", index + 1, vertex_->name);
    facts.chain = image_.chain_ids[index];
    return std::move(tree).commit(publication, std::move(facts), std::move(observed));
  }

  // The image's manifest and config stay with its tree; exporters and explanations want them.
  base::Status keep_documents(const OpContext& context, const cache::ImmutableRef& top, cache::Publication& publication) {
    TRY(context.cache.blobs().put(image_.manifest_bytes, image_.manifest));
    TRY(context.cache.blobs().put(image_.config_bytes, image_.config));
    publication.add_blob(top, image_.manifest);
    publication.add_blob(top, image_.config);
    return {};
  }

  std::shared_ptr<const Vertex> vertex_;
  base::HostPath dir_;
  BlobDigest root_;
  std::int64_t layer_limit_;
  OciImage image_;  // set by identify()
};

}  // namespace

Result<base::HostPath> find_oci_layout(const wire::SourceOp& source, const std::string& reference, const SolveRequest& request) {
  const std::string full_name = reference.substr(0, reference.find('@'));
  // Names come as the user wrote them, or as loading has normalised them: "base" may be docker.io/library/base.
  auto store = source.attrs.find("oci.store");
  auto dir = request.oci_layouts.end();
  for (const std::string& name : {store != source.attrs.end() ? store->second : std::string(), full_name,
                                  full_name.substr(full_name.rfind('/') + 1)}) {
    if (dir == request.oci_layouts.end() && !name.empty()) dir = request.oci_layouts.find(name);
  }
  if (dir != request.oci_layouts.end()) return dir->second;
  auto error = base::fail(ErrorCode::not_found, "no directory is given for OCI layout \"{}\"", full_name);
  error.value().hint = fmt::format("add --oci-layout {}=DIR", full_name);
  return error;
}

Result<std::unique_ptr<Op>> make_oci_layout_source(std::shared_ptr<const Vertex> vertex, const wire::SourceOp& source,
                                                   const std::string& reference, const SolveRequest& request) {
  const std::string_view digest = reference_digest(reference);
  if (digest.empty()) {
    return base::fail(ErrorCode::invalid_argument, "oci-layout source \"{}\" names no digest (want NAME@sha256:…)", reference);
  }
  base::HostPath dir = TRY(find_oci_layout(source, reference, request));
  return std::make_unique<OciLayoutSource>(std::move(vertex), std::move(dir), TRY(BlobDigest::parse(digest)),
                                           TRY(layer_limit_attr(source, "oci.layerlimit")));
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// docker-image+blob:// and oci-layout+blob://: one blob as a file, named by its digest unless an attribute says otherwise.
#include "libbase/hash/sha256.h"
#include "libsolver/identifier.h"
#include "libsolver/ops/ops.h"
#include "libsolver/ops/source_attrs.h"
#include "libsolver/registry_logins.h"
#include "libsolver/sources/blob_origins.h"
#include "libsolver/sources/http_download.h"
#include "libsolver/sources/http_names.h"
#include "libsolver/sources/oci_layout.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// Where a blob comes from: a directory, or else a registry.
struct BlobPlace {
  std::optional<base::HostPath> layout;
  cache::RepositoryName repository;
  std::string credentials;
};

class BlobFile final : public PureOp {
 public:
  BlobFile(std::shared_ptr<const Vertex> vertex, BlobDigest digest, DownloadedFile file, BlobPlace place, RemoteUse remote)
      : PureOp(std::move(vertex)), digest_(digest), file_(std::move(file)), place_(std::move(place)), remote_(remote) {}

  Result<OpOutputs> execute(std::span<const OptionalRef>, const OpContext& context, cache::Publication& publication) override {
    const std::string& name = vertex_->name;
    std::shared_ptr<cache::Repository> repository;  // lives as long as its answer
    cache::FetchAnswer answer;
    if (const auto here = TRY(context.cache.blobs().find(digest_))) {
      answer.body = TRY(context.cache.blobs().open(digest_));
      answer.size = here->size;
    } else if (place_.layout) {
      answer.body = TRY(TRY(OciLayout::open(*place_.layout)).open_blob_of(digest_));
    } else if (remote_.ask == RemoteUse::Ask::never) {
      return fail(ErrorCode::unavailable, "{}: it is not here, and no registry may be asked", name);
    } else {
      repository = TRY(context.origins->open(place_.repository, place_.credentials));
      answer.body = TRY(repository->open_blob(digest_, std::nullopt, context.stop));
    }
    cache::MutableRef tree = TRY(context.cache.create(std::nullopt));
    {
      const snapshot::MountedTree mounted = TRY(tree.mount(snapshot::Access::read_write));
      const std::string actual = TRY(write_download(mounted, file_, answer, {.bytes_max = remote_.file_bytes_max}, context.bytes), "fetch {}", name);
      if (actual != digest_.str()) return fail(ErrorCode::corrupt, "fetch {}: its bytes have digest {}", name, actual);
    }
    cache::RecordFacts facts;
    facts.description = "blob " + name;
    OpOutputs outputs;
    outputs.refs.emplace_back(TRY(std::move(tree).commit(publication, std::move(facts))));
    return outputs;
  }

  std::uint32_t outputs() const override { return 1; }

 private:
  BlobDigest digest_;
  DownloadedFile file_;
  BlobPlace place_;
  RemoteUse remote_;
};

Result<DownloadedFile> file_of(const wire::SourceOp& source, const BlobDigest& digest) {
  DownloadedFile file;
  const std::string name = attr_text(source, "http.filename");
  file.name = name.empty() ? digest.hex() : safe_file_name(name);
  const std::int64_t mode = TRY(int_attr(source, "http.perm"));
  if (mode != 0) file.mode = mode & 0777;
  file.uid = TRY(int_attr(source, "http.uid"));
  file.gid = TRY(int_attr(source, "http.gid"));
  return file;
}

}  // namespace

Result<std::unique_ptr<Op>> make_blob_source(std::shared_ptr<const Vertex> vertex, const wire::SourceOp& source,
                                             const SolveRequest& request) {
  const SourceIdentifier identifier = TRY(parse_source_identifier(source.identifier));
  BlobPlace place;
  const BlobDigest digest = TRY(BlobDigest::parse(reference_digest(identifier.rest)), "{}", source.identifier);
  if (identifier.scheme == "oci-layout+blob") {
    place.layout = TRY(find_oci_layout(source, identifier.rest, request));
  } else {
    place.repository = TRY(parse_image_reference(identifier.rest)).repository;
    place.credentials = registry_credentials(place.repository.host, request.secrets, request.logins);
  }
  DownloadedFile file = TRY(file_of(source, digest), "{}", source.identifier);
  return std::make_unique<BlobFile>(std::move(vertex), digest, std::move(file), std::move(place), request.remote);
}

}  // namespace cairn::solver

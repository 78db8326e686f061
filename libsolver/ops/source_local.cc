// SPDX-License-Identifier: Apache-2.0
// local://NAME: a directory of the machine. Its CacheMap digest is a session's (spec/solver 3.2) and never leads to a
// stored result; what does is a key of our own, made of the content, so that a directory that did not change is a hit in
// every later solve.
#include <nlohmann/json.hpp>

#include "libbase/hash/sha256.h"
#include "libsolver/identifier.h"
#include "libsolver/ops/ops.h"
#include "libsolver/sources/local_dir.h"

namespace cairn::solver {
namespace {

using base::Result;

// The digest is of everything the tree holds that digests cover, whatever directory it came from and by what patterns.
// Times are not covered (spec/storage 3.1), so a touched file is no change.
KeyDigest local_key(const TreeDigest& content) {
  return base::digest_of<KeyDigest>("cairn.source.local.v1:" + content.str());
}

class LocalSource final : public Op {
 public:
  LocalSource(std::shared_ptr<const Vertex> vertex, base::HostPath dir, LocalFilter filter)
      : vertex_(std::move(vertex)), dir_(std::move(dir)), filter_(std::move(filter)) {}

  Cost identify_cost() const override { return Cost::io; }

  Result<OpIdentity> identify(const OpContext& context) override {
    OpIdentity identity;
    identity.maps = TRY(pure_cache_maps(*vertex_, ""));
    const base::Fd dir = TRY(base::open_host_dir(dir_));
    const LocalScan scan = TRY(scan_local(dir.get(), filter_, context.stop), "read {}", dir_.str());
    digest_ = scan.digest;
    identity.extra_keys = {local_key(scan.digest)};
    return identity;
  }

  base::Sha256Bytes work_identity(std::span<const OptionalRef>) const override {
    return base::sha256("local:" + digest_.str() + dir_.str());
  }

  Result<OpOutputs> execute(std::span<const OptionalRef>, const OpContext& context,
                            cache::Publication& publication) override {
    const base::Fd dir = TRY(base::open_host_dir(dir_));
    cache::MutableRef tree = TRY(context.cache.create(std::nullopt));
    TreeDigest copied;
    {
      const snapshot::MountedTree mounted = TRY(tree.mount(snapshot::Access::read_write));
      const LocalScan scan = TRY(copy_local(dir.get(), filter_, mounted, context.stop, context.bytes), "copy {}", dir_.str());
      for (const std::string& warning : scan.warnings) context.output(Stream::err, warning + "\n");
      copied = scan.digest;
    }
    cache::RecordFacts facts;
    facts.type = cache::RecordType::source_local;
    facts.rules = cache::DigestRules::stream;
    facts.description = vertex_->name;
    OpOutputs outputs;
    outputs.refs.emplace_back(TRY(std::move(tree).commit(publication, std::move(facts))));
    // The directory may have changed since it was scanned; the key is that of the bytes in the tree.
    outputs.true_keys = {local_key(copied)};
    return outputs;
  }

  std::uint32_t outputs() const override { return 1; }

 private:
  std::shared_ptr<const Vertex> vertex_;
  base::HostPath dir_;
  LocalFilter filter_;
  TreeDigest digest_;
};

// A value of a list attribute is a JSON array of strings, as Go writes it (spec/solver 1.2).
Result<std::vector<std::string>> list_attribute(const wire::SourceOp& source, const char* name) {
  const auto found = source.attrs.find(name);
  if (found == source.attrs.end()) return std::vector<std::string>();
  const auto json = nlohmann::json::parse(found->second, nullptr, false);
  const bool strings = json.is_array() && std::all_of(json.begin(), json.end(), [](const auto& e) { return e.is_string(); });
  // Go writes a list that is not there as null.
  if (json.is_null()) return std::vector<std::string>();
  if (!strings) return base::fail(base::ErrorCode::invalid_argument, "{} is not a JSON list of strings", name);
  return json.get<std::vector<std::string>>();
}

}  // namespace

Result<std::unique_ptr<Op>> make_local_source(std::shared_ptr<const Vertex> vertex, const wire::SourceOp& source,
                                              const std::string& name, const SolveRequest& request) {
  const auto dir = request.locals.find(name);
  if (dir == request.locals.end()) {
    auto error = base::fail(base::ErrorCode::not_found, "no directory is given for local source \"{}\"", name);
    error.value().hint = fmt::format("add --local {}=DIR", name);
    return error;
  }
  if (source.attrs.contains("local.metadatatransfer")) {
    return base::fail(base::ErrorCode::unavailable, "not supported: local.metadatatransfer of a local source");
  }
  LocalFilter filter{.include_patterns = TRY(list_attribute(source, "local.includepattern")),
                     .exclude_patterns = TRY(list_attribute(source, "local.excludepatterns")),
                     .follow_paths = TRY(list_attribute(source, "local.followpaths"))};
  return std::make_unique<LocalSource>(std::move(vertex), dir->second, std::move(filter));
}

}  // namespace cairn::solver

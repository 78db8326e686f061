// SPDX-License-Identifier: Apache-2.0
// local://NAME: a directory of the machine. Its CacheMap digest is a session's (spec/solver 3.2) and never leads to a
// stored result; what does is a key of our own, made of the content, so that a directory that did not change is a hit in
// every later solve.
#include <nlohmann/json.hpp>

#include "libbase/codec.h"
#include "libbase/hash/sha256.h"
#include "libcache/stat_cache.h"
#include "libsolver/cache_key.h"
#include "libsolver/identifier.h"
#include "libsolver/ops/ops.h"
#include "libsolver/sources/local_dir.h"

namespace cairn::solver {
namespace {

using base::Result;

// The digest is of everything the tree holds that digests cover, whatever directory it came from and by what patterns.
// Times are not covered (spec/storage 3.1), so a touched file is no change.
KeyDigest local_key(const TreeDigest& content) {
  return private_key("cairn.source.local.v1:" + content.str());
}

// Names what was synced from a directory before: only a hint where to begin, so it is no key of the content.
KeyDigest earlier_key(const base::HostPath& dir, const LocalFilter& filter) {
  base::ByteWriter name;
  name.raw("cairn.source.local.earlier.v1:").string(dir.str());
  for (const auto* list : {&filter.include_patterns, &filter.exclude_patterns, &filter.follow_paths}) {
    name.varint(list->size());
    for (const std::string& text : *list) name.string(text);
  }
  return private_key(name.take());
}

class LocalSource final : public Op {
 public:
  LocalSource(std::shared_ptr<const Vertex> vertex, base::HostPath dir, LocalFilter filter)
      : vertex_(std::move(vertex)), dir_(std::move(dir)), filter_(std::move(filter)) {}

  Cost identify_cost() const override { return Cost::io; }

  Result<OpIdentity> identify(std::uint32_t, const OpContext& context) override {
    OpIdentity identity;
    identity.map = std::move(TRY(pure_cache_maps(*vertex_, "")).front());
    opened_ = TRY(base::open_host_dir(dir_));
    const auto stats = context.cache.remember_files(cache::StatsOf::sent);
    sync_ = TRY(LocalSync::look(opened_.get(), filter_, stats.get(), context.stop), "read {}", dir_.str());
    const LocalScan scan = TRY(sync_->scan(), "read {}", dir_.str());
    digest_ = scan.digest;
    identity.extra_keys = {local_key(scan.digest)};
    return identity;
  }

  base::Sha256Bytes work_identity(std::span<const OptionalRef>) const override {
    return base::sha256("local:" + digest_.str() + dir_.str());
  }

  Result<OpOutputs> execute(std::span<const OptionalRef>, const OpContext& context,
                            cache::Publication& publication) override {
    CHECK(sync_.has_value(), "a local source is executed that was not identified");
    const LocalScan scan = TRY(make(context, publication), "copy {}", dir_.str());
    for (const std::string& warning : scan.warnings) context.output(Stream::err, warning + "\n");
    sync_.reset();
    OpOutputs outputs;
    outputs.done_otherwise = made_before_;
    outputs.refs.emplace_back(made_);
    publication.add_result(earlier_key(dir_, filter_), std::move(made_));
    made_.reset();
    // The directory may have changed since it was scanned; the key is that of the bytes in the tree.
    outputs.true_keys = {local_key(scan.digest)};
    return outputs;
  }

  std::uint32_t outputs() const override { return 1; }

 private:
  // A fork of what was synced before, if only little has changed, else a new tree.
  Result<LocalScan> make(const OpContext& context, cache::Publication& publication) {
    OptionalRef base = TRY(find_earlier(context.cache));
    made_before_ = base.has_value();
    std::optional<cache::DescribedTree::Changes> changes;
    if (base) changes = TRY(sync_->changes_from(*base));
    if (!changes) base.reset();
    cache::MutableRef tree = TRY(context.cache.create(std::move(base)));
    LocalScan scan;
    {
      const snapshot::MountedTree mounted = TRY(tree.mount(snapshot::Access::read_write));
      scan = changes ? TRY(sync_->update(mounted, *changes, context.stop, context.bytes))
                     : TRY(sync_->copy(mounted, context.stop, context.bytes));
    }
    cache::RecordFacts facts;
    facts.type = cache::RecordType::source_local;
    facts.rules = cache::DigestRules::stream;
    facts.description = vertex_->name;
    made_ = TRY(std::move(tree).commit(publication, std::move(facts), sync_->take_description()));
    return scan;
  }

  Result<OptionalRef> find_earlier(cache::Cache& cache) {
    std::vector<cache::KeyResult> results;
    TRY(cache.keys().read([&](cache::KeyStore::Reader& reader) -> base::Status {
      results = TRY(reader.results(earlier_key(dir_, filter_)));
      return {};
    }));
    for (const cache::KeyResult& result : results) {
      auto ref = TRY(cache.find(result.record));
      if (ref) return OptionalRef(std::move(*ref));
    }
    return OptionalRef();
  }

  std::shared_ptr<const Vertex> vertex_;
  base::HostPath dir_;
  LocalFilter filter_;
  // From identify() to execute(): what was selected then is what is made.
  base::Fd opened_;
  std::optional<LocalSync> sync_;
  OptionalRef made_;
  bool made_before_ = false;
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

// SPDX-License-Identifier: Apache-2.0
// What no solve of the crash suite does with records: leases, merges and diffs, lazy layers that are pulled, layers as
// blobs, retained records that are reopened until their tree is copied, statistics, repairs.
#include <fcntl.h>

#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libbase/hash/sha256.h"
#include "libcache/cache.h"
#include "libcache/cache_mounts.h"
#include "libcache/entry_store.h"
#include "libcache/history.h"
#include "libcache/tree_names.h"
#include "tests/crash/worker.h"
#include "tests/support/string_source.h"

namespace cairn::test {

using base::Result;
using base::Status;
using cache::ImmutableRef;
using cache::MutableRef;
using cache::Publication;

namespace {

constexpr int reopened_times = 34;  // more than a retained record is forked before its tree is copied

Status put_file(const MutableRef& tree, const std::string& name, const std::string& bytes) {
  const auto mount = TRY(tree.mount(snapshot::Access::read_write));
  const auto path = TRY(base::TreePath::parse(name));
  const base::Fd file = TRY(base::open_beneath(mount.fd(), path, O_CREAT | O_TRUNC | O_WRONLY, 0644));
  return base::write_full(file.get(), std::string_view(bytes));
}

Status publish(cache::Cache& cache, Publication publication) {
  return cache.writer().wait_durable(TRY(cache.publish(std::move(publication))));
}

Result<ImmutableRef> make(cache::Cache& cache, std::optional<ImmutableRef> parent, const std::string& file) {
  Publication publication;
  publication.owned_by({.project = "crash", .build = "records", .step = file});
  MutableRef tree = TRY(cache.create(std::move(parent)));
  TRY(put_file(tree, file, "bytes of " + file));
  const ImmutableRef ref = TRY(std::move(tree).commit(publication, {.description = file}));
  TRY(publish(cache, std::move(publication)));
  return ref;
}

Status use_leases(cache::Cache& cache, const ImmutableRef& ref, const BlobDigest& blob) {
  const base::WallTime now = base::SystemClock().now();
  const auto kept = TRY(cache.create_lease({.owner = "kept", .records = {ref}, .blobs = {blob}}));
  const auto over =
      TRY(cache.create_lease({.owner = "over", .expires = now + std::chrono::hours(1), .records = {ref}}));
  TRY(cache.writer().wait_durable(TRY(cache.extend_lease(over.id, now))));  // the next prune sweeps it
  const auto released = TRY(cache.create_lease({.owner = "released", .records = {ref}}));
  TRY(cache.writer().wait_durable(TRY(cache.release_lease(released.id))));
  return cache.writer().wait_durable(TRY(cache.add_to_lease(kept.id, {ref}, {})));
}

Status use_merges(cache::Cache& cache, const ImmutableRef& a, const ImmutableRef& b) {
  Publication publication;
  const ImmutableRef on_a = TRY(make(cache, a, "on_a"));
  TRY(cache.diff(a, on_a, publication, {.description = "diff"}));
  TRY(cache.merge({on_a, b}, publication, {.description = "merge"}));
  return publish(cache, std::move(publication));
}

// A lazy record whose blob only a provider has.
Status pull(cache::Cache& cache, const cache::LayerBlob& layer, const std::string& bytes) {
  Publication publication;
  const ImmutableRef lazy =
      TRY(cache.add_lazy({layer.diff, layer.blob, layer.size, layer.compression}, {}, publication, {}));
  TRY(publish(cache, std::move(publication)));
  TRY(cache.unlazy(lazy, [&](const BlobDigest&, const std::stop_token&) -> Result<std::unique_ptr<base::ByteSource>> {
    return std::make_unique<StringSource>(bytes);
  }));
  return cache.writer().wait_durable(TRY(cache.change_record(lazy, {.description = "was lazy"})));
}

// The layer of `ref` in two compressions; then one that has gone with its record, and comes back.
Status use_layers(cache::Cache& cache, const ImmutableRef& ref) {
  TRY(cache.layer_blob(ref, base::Compression::gzip));
  TRY(cache.layer_blob(ref, base::Compression::zstd));
  cache::LayerBlob gone;
  std::string bytes;
  {
    const ImmutableRef record = TRY(make(cache, {}, "goes"));
    gone = TRY(cache.layer_blob(record, base::Compression::gzip));
    bytes = TRY(cache.blobs().read(gone.blob, 1 << 20));
  }
  TRY(cache.prune({}));
  return pull(cache, gone, bytes);
}

KeyDigest mount_key() { return base::digest_of<KeyDigest>("the cache mount of the crash suite"); }

Result<std::optional<cache::RecordId>> find_mount(cache::Cache& cache) {
  std::optional<cache::RecordId> found;
  TRY(cache.keys().read([&](cache::KeyStore::Reader& reader) -> Status {
    for (const cache::KeyResult& result : TRY(reader.results(mount_key())))
      if (!found) found = result.record;
    return {};
  }));
  return found;
}

Status use_retained(cache::Cache& cache) {
  for (int i = 0; i < reopened_times; ++i) {
    const auto earlier = TRY(find_mount(cache));
    MutableRef tree = earlier ? TRY(cache.get_mutable(*earlier)) : TRY(cache.create({}));
    TRY(put_file(tree, "state", "round " + std::to_string(i)));
    Publication publication;
    const ImmutableRef ref = TRY(std::move(tree).commit(
        publication,
        {.type = cache::RecordType::exec_cache_mount, .description = "mount", .retain = cache::Retain::yes}));
    publication.add_result(mount_key(), ref);
    TRY(publish(cache, std::move(publication)));
  }
  return {};
}

// A name for it, a limit, and its end; then one that stays.
Status name_mounts(cache::Cache& cache) {
  cache::CacheMountNames& names = cache.cache_mounts();
  TRY(names.remember({.key = mount_key(), .id = "crash"}));
  TRY(cache.writer().wait_durable(TRY(names.set_limit(mount_key(), 1 << 20))));
  TRY(names.end(mount_key()));
  if (TRY(find_mount(cache))) return base::fail(base::ErrorCode::io, "an ended cache mount is found");
  return cache.writer().wait_durable(TRY(names.remember({.key = mount_key(), .id = "crash"})));
}

// A tree that changes below a record, and another record on it: both become misses. Then a directory that nothing
// names.
Status mend_trees(cache::Cache& cache, const base::HostPath& root) {
  const ImmutableRef below = TRY(make(cache, {}, "below")), above = TRY(make(cache, below, "above"));
  const cache::ScrubOptions whole = {.from = cache::ScrubOptions::From::beginning};
  TRY(cache.scrub(whole));
  const base::HostPath tree = root / fmt::format("trees/{}/fs", below.snapshot());
  TRY(base::write_file_atomic(tree / "not of the record", "x", base::Durable::no));
  if (TRY(cache.scrub(whole)).quarantined_records < 2)
    return base::fail(base::ErrorCode::io, "the damage was not found");
  TRY(base::make_host_dirs(root / planted_stray / "fs"));
  TRY(cache.repair_trees());
  return {};
}

// So many solves that they move into their table, while some wait.
Status remember_solves(cache::Cache& cache, const base::HostPath& root) {
  cache::History history(root, cache.writer(), {});
  std::string noise;
  while (noise.size() < 100'000) noise += base::digest_of<KeyDigest>(std::to_string(noise.size())).raw();
  for (int i = 0; i < 4; ++i) {
    cache::SolveRow row;
    row.id = cache::SolveId(static_cast<std::uint64_t>(base::to_unix_ns(base::SystemClock().now())));
    row.steps.push_back({.digest = {}, .name = noise, .state = cache::SolvedStep::State::executed});
    history.add(std::move(row));
  }
  return history.dropped() == 0 ? Status()
                                : base::fail(base::ErrorCode::io, "{} solves are not remembered", history.dropped());
}

// A step that makes something else each time it is run, under one key.
Status repeat_a_step(cache::Cache& cache) {
  for (const char* file : {"first", "second"}) {
    Publication publication;
    MutableRef tree = TRY(cache.create({}));
    TRY(put_file(tree, file, file));
    const ImmutableRef ref = TRY(std::move(tree).commit(publication, {.description = "repeated"}));
    publication.executed({base::sha256("repeated"), "repeated", {}});
    publication.add_result(base::digest_of<KeyDigest>("repeated"), ref);
    TRY(publish(cache, std::move(publication)));
  }
  cache.settle_ledger();
  return {};
}

// An entry with a closure, another value in its place, and its end; then one that stays.
Status keep_entries(cache::Cache& cache) {
  cache::EntryStore entries(cache);
  const cache::EntryName name{.door = "crash", .key = "entry"}, staying{.door = "crash", .key = "staying"};
  const BlobDigest output = TRY(cache.blobs().put("an output")).info.digest;
  const auto put = [&](const cache::EntryName& under, const char* value) -> Status {
    const BlobDigest blob = TRY(cache.blobs().put(value)).info.digest;
    return cache.writer().wait_durable(TRY(entries.put({.name = under, .value = blob, .closure = {output}})).sequence);
  };
  TRY(put(name, "first"));
  TRY(put(name, "second"));
  const auto entry = TRY(entries.find(name));
  if (!entry || TRY(cache.blobs().read(entry->value, 100)) != "second")
    return base::fail(base::ErrorCode::io, "the second value is not found");
  TRY(entries.erase(name));
  const cache::EntryName strange{.door = "crash", .trust = cache::Trust::untrusted, .key = "strange"};
  TRY(put(strange, "of a stranger"));
  TRY(entries.promote(strange, {.who = "crash", .reason = "to be cut off"}, cache::EntryStore::Existing::replace));
  return put(staying, "third");
}

// What one namespace has, another puts as if it were new: a small one moves in the packs, a file takes the place of its equal.
Status share_blobs(cache::Cache& cache) {
  for (const std::size_t size : {std::size_t{100}, std::size_t{200'000}}) {
    const std::string bytes(size, 'n');
    BlobDigest digest;
    for (const char* space : {"one", "other"}) {
      const auto put = TRY(cache::BlobView(cache, cache::namespace_id(space)).put(bytes));
      TRY(cache.writer().wait_durable(put.sequence));
      digest = put.info.digest;
    }
    if (TRY(cache.blobs().read(digest, size)) != bytes) return base::fail(base::ErrorCode::io, "blob {} is another", digest);
  }
  return {};
}

// What a killed worker has left: children before what they are built on.
Status remove_all_names(cache::TreeNames& names) {
  for (auto left = names.list(std::nullopt); !left.empty(); left = names.list(std::nullopt)) {
    std::size_t removed = 0;
    for (const cache::NamedTree& tree : left)
      if (names.remove(tree.name)) ++removed;
    if (removed == 0) return base::fail(base::ErrorCode::io, "{} names cannot be removed", left.size());
  }
  return {};
}

// Names of trees that somebody outside writes to: a layer, one on it, one that is given up, one that stays; and a label.
Status name_trees(cache::Cache& cache) {
  const auto names = TRY(cache::TreeNames::open(cache));
  const auto name = [](const char* text) { return cache::TreeName{"crash", text}; };
  TRY(remove_all_names(*names));
  const auto layer = TRY(names->prepare(name("unpacking"), "", {}));
  TRY(base::write_file_atomic(TRY(base::HostPath::parse(layer.source)) / "file", "unpacked", base::Durable::no));
  TRY(names->commit(name("unpacking"), "layer", {}));
  TRY(names->prepare(name("above"), "layer", {}));
  TRY(names->commit(name("above"), "top", {}));
  TRY(names->view(name("look"), "top", {}));
  TRY(names->update(name("top"), {{"a", "label"}}, {}));
  TRY(names->prepare(name("given up"), "top", {}));
  TRY(names->remove(name("given up")));
  TRY(names->remove(name("look")));
  TRY(names->remove(name("top")));
  TRY(names->cleanup("crash"));
  return names->prepare(name("staying"), "layer", {}).map([](const auto&) {});
}

Status use_records(cache::Cache& cache, const base::HostPath& root) {
  const ImmutableRef a = TRY(make(cache, {}, "a")), b = TRY(make(cache, {}, "b"));
  const BlobDigest blob = TRY(cache.blobs().put("leased")).info.digest;
  TRY(use_leases(cache, a, blob));
  TRY(use_merges(cache, a, b));
  TRY(use_layers(cache, b));
  TRY(use_retained(cache));
  TRY(name_mounts(cache));
  TRY(keep_entries(cache));
  TRY(share_blobs(cache));
  TRY(name_trees(cache));
  TRY(remember_solves(cache, root));
  TRY(repeat_a_step(cache));
  TRY(mend_trees(cache, root));
  cache.count(cache.one_hit(a), {.project = "crash", .build = {}, .step = {}});
  TRY(make(cache, {}, "carries the counts"));
  TRY(cache.repair_rows());
  cache.count(cache::one_miss(cache::MissCause::timeout), {.project = "crash", .build = {}, .step = {}});
  return {};
}

}  // namespace

int run_records_worker(const WorkerArguments& arguments) {
  const auto complain = [](const std::string& what) {
    std::fprintf(stderr, "records worker: %s\n", what.c_str());
    return 1;
  };
  {
    auto engine = open_store(arguments);
    if (!engine) return complain(engine.error().message);
    if (auto used = use_records((*engine)->cache(), (*engine)->root()); !used) return complain(used.error().message);
    if (auto pruned = (*engine)->cache().prune({}); !pruned) return complain(pruned.error().message);
  }
  auto engine = open_store(arguments);  // it finds what the first one left to be written late
  if (!engine) return complain(engine.error().message);
  if (auto made = make((*engine)->cache(), {}, "after"); !made) return complain(made.error().message);
  return 0;
}

}  // namespace cairn::test

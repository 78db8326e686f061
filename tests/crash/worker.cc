// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/worker.h"

#include <cstdio>
#include <fstream>

#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libbase/hash/sha256.h"
#include "libcache/cache.h"
#include "libcache/fsck.h"
#include "libcache/trace.h"
#include "libsolver/llb.h"

namespace cairn::test {

using solver::llb::State;

base::Result<std::unique_ptr<engine::Engine>> open_store(const WorkerArguments& arguments) {
  engine::EngineOptions options(TRY(base::HostPath::parse(arguments.root)));
  options.chain_max = 3;
  options.cache = cache::CacheOptions{.chunk_bytes = 64 * 1024};
  options.writer.order = arguments.order;
  options.data_synced = [log = arguments.sync_log](std::span<const base::lmdb::DataToken> tokens) {
    std::ofstream out(log, std::ios::app);
    for (base::lmdb::DataToken token : tokens) out << token << '\n';
  };
  return engine::Engine::open(std::move(options));
}

std::string make_graph(const WorkerArguments& arguments) {
  const State base = solver::llb::oci_layout("base@" + arguments.base_digest);
  const State source = solver::llb::local("src", {.unique_id = "crash"});
  const auto part = [&](const std::string& name) {
    return base
        .shell("cat /src/" + name + " /src/" + name + " > /out/" + name,
               {.mounts = {{.dest = "/src/" + name, .source = source, .selector = name, .read_only = true},
                           {.dest = "/out"}}})
        .mount_output("/out");
  };
  const auto joined = base.shell("cat /a/a.txt /b/b.txt > /joined && echo other > /second/file",
                                 {.mounts = {{.dest = "/a", .source = part("a.txt"), .read_only = true},
                                             {.dest = "/b", .source = part("b.txt"), .read_only = true},
                                             {.dest = "/second"}}});
  State chain = joined.root();
  for (const char* name : {"one", "two", "three"}) {
    chain = chain.shell(fmt::format("echo {0} > /{0}", name),
                        {.mounts = {{.dest = "/second", .source = joined.mount_output("/second"), .read_only = true}}})
                .root();
  }
  auto bytes = solver::llb::marshal(chain);
  CHECK(bytes, "{}", bytes.error().message);
  return *bytes;
}

std::string make_failing_graph(const WorkerArguments& arguments) {
  const State base = solver::llb::oci_layout("base@" + arguments.base_digest);
  auto bytes = solver::llb::marshal(base.shell("echo half > /half; exit 3").root());
  CHECK(bytes, "{}", bytes.error().message);
  return *bytes;
}

engine::SolveReport solve(engine::Engine& engine, const WorkerArguments& arguments, const std::string& graph,
                          const std::string& output_dir) {
  engine::SolveOrder order;
  order.definition = graph;
  order.locals = {{"src", arguments.source}};
  order.oci_layouts = {{"base", arguments.layout}};
  order.failed_trees = solver::FailedTrees::keep;
  order.output_dir = output_dir;
  solver::NoProgress progress;
  return engine::run_order(engine, order, progress, {});
}

// Gives the deepest tree a flat copy. A tree is told that it is committed a moment after it is durable.
base::Status squash_deepest(engine::Engine& engine) {
  snapshot::SnapshotInfo deepest;
  const std::vector<std::string> filters = {"kind==committed", "kind==frozen"};
  TRY(engine.snapshots().walk(filters, [&](const snapshot::SnapshotInfo& about) -> base::Result<base::lmdb::Scan> {
    if (about.depth >= deepest.depth) deepest = about;
    return base::lmdb::Scan::next;
  }));
  return engine.snapshots().squash(deepest.id, engine.cache().writer(), {});
}

// A record with blobs of each kind, and a small one that nothing names but this process.
base::Status put_blobs(cache::Cache& cache) {
  cache::Publication publication;
  cache::MutableRef tree = TRY(cache.create({}));
  const cache::ImmutableRef ref = TRY(std::move(tree).commit(publication, {.description = "has blobs", .chain = {}}));
  // A file, one in chunks, and two in packs.
  for (const std::size_t size : {100'000u, 400'000u, 20'000u, 30'000u}) {
    const auto put = TRY(cache.blobs().put(std::string(size, 'b')));
    publication.add_blob(ref, put.info.digest);
  }
  TRY(cache.blobs().put("stays"));
  return cache.writer().wait_durable(TRY(cache.publish(std::move(publication))));
}

// After a prune has taken what put_blobs() named.
base::Status give_space_back(cache::Cache& cache) {
  if (TRY(cache.punch_packs()) == 0) return base::fail(base::ErrorCode::io, "nothing was punched");
  TRY(cache.checkpoint());
  if (TRY(cache.compact_packs()) == 0) return base::fail(base::ErrorCode::io, "nothing was compacted");
  const std::string kept = TRY(cache.blobs().read(base::digest_of<BlobDigest>("stays"), 100));
  if (kept != "stays") return base::fail(base::ErrorCode::corrupt, "a blob came back as {}", kept);
  return {};
}

// As a crash leaves it that comes between a file's name and its row.
base::Status repair_a_stray_file(engine::Engine& engine) {
  const auto digest = base::digest_of<BlobDigest>("no row names it");
  const base::HostPath shard = engine.root() / ("blobs/sha256/" + digest.hex().substr(0, 2));
  TRY(base::make_host_dirs(shard));
  TRY(base::write_file_atomic(shard / digest.hex(), "left over", base::Durable::no));
  if (TRY(engine.cache().repair_blobs()).stray_files != 1) return base::fail(base::ErrorCode::io, "no stray file was found");
  return {};
}

// One that a dead worker has begun is ended.
base::Status begin_and_end_a_trace(const WorkerArguments& arguments) {
  const auto root = TRY(base::HostPath::parse(arguments.root));
  const auto env = TRY(engine::open_read_only(root));
  const base::Status begun = cache::begin_trace(*env, root);
  if (!begun && begun.error().code != base::ErrorCode::busy) return begun;
  return cache::end_trace(root, {});
}

int run_worker(const WorkerArguments& arguments) {
  const auto complain = [](const std::string& what) {
    std::fprintf(stderr, "worker: %s\n", what.c_str());
    return 1;
  };
  auto engine = open_store(arguments);
  if (!engine) return complain(engine.error().message);
  const std::string graph = make_graph(arguments);
  for (int round = 0; round < 2; ++round) {
    const engine::SolveReport report = solve(**engine, arguments, graph, "");
    if (report.error) return complain(report.error->message);
    if (auto squashed = squash_deepest(**engine); !squashed) return complain(squashed.error().message);
    if (round == 1) break;
    if (!solve(**engine, arguments, make_failing_graph(arguments), "").error) return complain("a failing step did not fail");
    if (auto put = put_blobs((*engine)->cache()); !put) return complain(put.error().message);
    auto pruned = (*engine)->cache().prune({.all = true});
    if (!pruned) return complain(pruned.error().message);
    if (auto given = give_space_back((*engine)->cache()); !given) return complain(given.error().message);
    if (auto repaired = repair_a_stray_file(**engine); !repaired) return complain(repaired.error().message);
  }
  engine->reset();
  if (auto traced = begin_and_end_a_trace(arguments); !traced) return complain(traced.error().message);
  const auto tables = engine::all_tables();
  const auto rebuilt = cache::rebuild_metadata(*base::HostPath::parse(arguments.root), tables);
  if (!rebuilt) return complain(rebuilt.error().message);
  return 0;
}

}  // namespace cairn::test

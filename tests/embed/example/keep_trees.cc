// SPDX-License-Identifier: Apache-2.0
// Records that a lease keeps, a layer in two compressions, a record whose tree comes later, a policy, and what it all
// was good for: keep_trees STORE
#include <fcntl.h>
#include <cstdio>
#include "libbase/fs/beneath.h"
#include "libcache/cache.h"
#include "libcache/policy.h"
#include "libsnapshot/open.h"
using namespace cairn;

base::Result<cache::ImmutableRef> build(cache::Cache& store, std::optional<cache::ImmutableRef> on, const char* name) {
  auto tree = TRY(store.create(std::move(on)));
  if (const auto mount = TRY(tree.mount(snapshot::Access::read_write))) {
    const auto file = TRY(base::open_beneath(mount.fd(), TRY(base::TreePath::parse(name)), O_WRONLY | O_CREAT, 0644));
    TRY(base::write_full(file.get(), "some text\n"));
  }
  cache::Publication rows;  // what becomes visible together
  rows.took(std::chrono::seconds(41));
  const auto ref = TRY(std::move(tree).commit(rows, {.description = name, .owner = {.project = "demo"}}));
  TRY(store.writer().wait_durable(TRY(store.publish(std::move(rows)))));
  return ref;
}

base::Status use(cache::Cache& store) {
  auto first = std::optional(TRY(build(store, {}, "first")));
  auto second = std::optional(TRY(build(store, first, "second")));
  const auto lease = TRY(store.create_lease({.owner = "demo", .records = {*first}}));  // survives this process
  // Variants of one diff, and a record of it whose bytes somebody else may have.
  const auto zstd = TRY(store.layer_blob(*first, base::Compression::zstd));
  const auto gzip = TRY(store.layer_blob(*first, base::Compression::gzip));
  cache::Publication rows;
  auto lazy = std::optional(TRY(store.add_lazy({gzip.diff, gzip.blob, gzip.size, gzip.compression}, {}, rows, {})));
  TRY(store.writer().wait_durable(TRY(store.publish(std::move(rows)))));
  TRY(store.unlazy(*lazy, {}));  // without a provider: the blob is here
  std::printf("variants %d, lazy %d\n", zstd.diff == gzip.diff && zstd.blob != gzip.blob, lazy->is_lazy());
  store.count(store.one_hit(*second), {.project = "demo"});
  store.count(cache::one_miss(cache::MissCause::never_seen), {.project = "demo"});
  first.reset(), second.reset(), lazy.reset();
  const auto policy = TRY(cache::parse_policy("[[rule]]\nall = true\nceiling = \"0\"\n", "demo"));
  std::printf("%zu records go", TRY(store.prune({.policy = policy})).records.size());
  TRY(store.writer().wait_durable(TRY(store.release_lease(lease.id))));
  std::printf(", then %zu\n", TRY(store.prune({.policy = policy})).records.size());
  for (const auto& [project, counted] : TRY(store.statistics()))
    std::printf("%s: %lu hit saved %ld s, %lu miss\n", project.c_str(), counted.hits, counted.time_saved.count() / 1000000000, counted.all_misses());
  return {};
}

base::Status run(const char* directory) {
  const auto root = TRY(base::HostPath::from_user(directory));
  std::vector<const base::lmdb::RawTableSpec*> all(snapshot::tables().begin(), snapshot::tables().end());
  all.insert(all.end(), cache::tables().begin(), cache::tables().end());
  const auto env = TRY(base::lmdb::Env::open(root / "meta", all, {}));
  const auto trees = TRY(snapshot::open(root, *env, {}));
  base::lmdb::GroupWriter writer(*env, [&](auto tokens) { return trees->sync(tokens); }, {});
  const base::SystemClock clock;
  return use(*TRY(cache::Cache::open(root, *env, writer, *trees, clock)));
}

int main(int argc, char** argv) { return argc == 2 && run(argv[1]) ? 0 : 1; }

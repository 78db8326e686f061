// SPDX-License-Identifier: Apache-2.0
// blob list|show|cat, snapshot list|show and store info: what lies in a store, below the records. They read beside whoever owns it,
// who is asked only for the bytes of a blob.
#include <iostream>
#include <nlohmann/json.hpp>

#include "libcache/inspect.h"
#include "tools/cachectl/from_store.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/lookup_error.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::Result;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using nlohmann::ordered_json;
using Align = TextTable::Align;

namespace {

struct ShowBlob {
  std::string digest;
  Output format = Output::text;
};
struct CatBlob {
  std::string digest;
};
struct ShowSnapshot {
  std::uint64_t snapshot = 0;
  Output format = Output::text;
};

// The metadata, for as long as a verb looks at them.
struct Opened {
  base::HostPath root;
  std::unique_ptr<base::lmdb::Env> env;
};
Result<Opened> open_store(const GlobalOptions& global) {
  const engine::StoreOptions options = TRY(store_options(global));
  return Opened{options.engine.root, TRY(engine::open_read_only(options.engine.root))};
}

ordered_json blob_json(const cache::BlobDetail& blob) {
  ordered_json records = ordered_json::array(), leases = ordered_json::array();
  for (const cache::RecordId id : blob.records) records.push_back(std::to_string(id.value()));
  for (const cache::LeaseId id : blob.leases) leases.push_back(std::to_string(id.value()));
  return {{"digest", blob.info.digest.str()},
          {"size", blob.info.size},
          {"allocated_bytes", blob.info.allocated_bytes},
          {"place", std::string(blob.place)},
          {"records", std::move(records)},
          {"leases", std::move(leases)}};
}

Result<std::vector<cache::BlobDetail>> read_blobs(const GlobalOptions& global) {
  const Opened store = TRY(open_store(global));
  std::vector<cache::BlobDetail> blobs;
  TRY(cache::each_blob(*store.env, [&](const cache::BlobDetail& blob) -> base::Status {
    blobs.push_back(blob);
    return {};
  }));
  return blobs;
}

ExitCode run_blob_list(const GlobalOptions& global, const OnlyFormat& arguments) {
  const auto blobs = read_blobs(global);
  if (!blobs) return report_error(blobs.error());
  TextTable table({{"DIGEST", Align::left}, {"SIZE", Align::right}, {"ON DISK", Align::right}, {"IN A", Align::left}, {"RECORDS", Align::right}});
  ordered_json list = ordered_json::array();
  for (const cache::BlobDetail& blob : *blobs) {
    list.push_back(blob_json(blob));
    table.add({blob.info.digest.str(), human_bytes(static_cast<std::int64_t>(blob.info.size)), human_bytes(blob.info.allocated_bytes),
               std::string(blob.place), std::to_string(blob.records.size())});
  }
  if (arguments.format == Output::json) std::cout << json_line({{"format", 1}, {"blobs", std::move(list)}});
  else std::cout << table.str();
  return ExitCode::done;
}

// A whole digest, or the first digits of one.
Result<cache::BlobDetail> find_blob(const GlobalOptions& global, const char* doing, const std::string& digits) {
  const Opened store = TRY(open_store(global));
  constexpr std::size_t matches_max = 64;
  std::string complete;
  for (const cache::NamedThing& thing : TRY(cache::find_named(*store.env, digits, matches_max), "{} blob {}", doing, digits)) {
    if (thing.what != cache::NamedThing::What::blob) continue;
    if (!complete.empty())
      return tl::unexpected(base::Error{.code = ErrorCode::invalid_argument,
                                        .message = fmt::format("{} blob {}: ambiguous: matches {}…, {}…", doing, digits, complete.substr(0, 19), thing.digest.substr(0, 19)),
                                        .hint = "give one more digit"});
    complete = thing.digest;
  }
  if (!complete.empty())
    if (auto blob = TRY(cache::find_blob(*store.env, TRY(BlobDigest::parse(complete))))) return std::move(*blob);
  return tl::unexpected(base::Error{.code = ErrorCode::not_found,
                                    .message = fmt::format("{} blob {}: there is none in {}", doing, digits, store.root.str()),
                                    .hint = "cachectl blob list shows them all"});
}

ExitCode run_blob_show(const GlobalOptions& global, const ShowBlob& arguments) {
  const auto blob = find_blob(global, "show", arguments.digest);
  if (!blob) return report_lookup_error(global, blob.error());
  ordered_json json = {{"format", 1}};
  json.update(blob_json(*blob));
  if (arguments.format == Output::json) {
    std::cout << json_line(json);
    return ExitCode::done;
  }
  std::cout << fmt::format("blob    {}\nsize    {}\non disk {}, in a {}\n", blob->info.digest.str(), human_bytes(static_cast<std::int64_t>(blob->info.size)),
                           human_bytes(blob->info.allocated_bytes), blob->place);
  std::cout << "records";
  for (const cache::RecordId id : blob->records) std::cout << ' ' << id.value();
  std::cout << (blob->records.empty() ? " -\nleases " : "\nleases ");
  for (const cache::LeaseId id : blob->leases) std::cout << ' ' << id.value();
  std::cout << (blob->leases.empty() ? " -\n" : "\n");
  return ExitCode::done;
}

ExitCode run_blob_cat(const GlobalOptions& global, const CatBlob& arguments) {
  const auto blob = find_blob(global, "print", arguments.digest);
  if (!blob) return report_lookup_error(global, blob.error());
  const base::Status written = write_from_store(global, {.of = blob->info.digest, .path = {}, .offset = 0});
  return written ? ExitCode::done : report_error(base::add_context(written.error(), fmt::format("print blob {}", blob->info.digest)));
}

ordered_json snapshot_json(const snapshot::SnapshotInfo& tree) {
  ordered_json stacked = ordered_json::array();
  for (const snapshot::SnapshotId id : tree.stacked_on) stacked.push_back(id.value());
  return {{"id", tree.id.value()},
          {"parent", tree.parent ? ordered_json(tree.parent.value()) : ordered_json(nullptr)},
          {"kind", std::string(to_string(tree.kind))},
          {"bytes", tree.usage.bytes},
          {"inodes", tree.usage.inodes},
          {"exclusive_bytes", tree.exclusive.bytes},
          {"flat_bytes", tree.flat.bytes},
          {"depth", tree.depth},
          {"flattened", tree.flattened},
          {"stacked_on", std::move(stacked)},
          {"labels", tree.labels},
          {"created", rfc3339(tree.created)},
          {"updated", rfc3339(tree.updated)}};
}

Result<std::vector<snapshot::SnapshotInfo>> read_snapshots(const GlobalOptions& global) {
  const Opened store = TRY(open_store(global));
  std::vector<snapshot::SnapshotInfo> trees;
  TRY(store.env->view([&](ReadTxn& txn) -> base::Status {
    trees.clear();
    return snapshot::each_snapshot(txn, [&](const snapshot::SnapshotInfo& tree) -> Result<Scan> {
      trees.push_back(tree);
      return Scan::next;
    });
  }));
  return trees;
}

ExitCode run_snapshot_list(const GlobalOptions& global, const OnlyFormat& arguments) {
  const auto trees = read_snapshots(global);
  if (!trees) return report_error(trees.error());
  TextTable table({{"ID", Align::right}, {"PARENT", Align::right}, {"SIZE", Align::right}, {"OWN", Align::right}, {"DEPTH", Align::right}, {"CREATED", Align::left}});
  ordered_json list = ordered_json::array();
  for (const snapshot::SnapshotInfo& tree : *trees) {
    list.push_back(snapshot_json(tree));
    table.add({std::to_string(tree.id.value()), tree.parent ? std::to_string(tree.parent.value()) : "-", human_bytes(tree.usage.bytes),
               human_bytes(tree.exclusive.bytes), std::to_string(tree.depth), rfc3339(tree.created).substr(0, 19) + "Z"});
  }
  if (arguments.format == Output::json) std::cout << json_line({{"format", 1}, {"snapshots", std::move(list)}});
  else std::cout << table.str();
  return ExitCode::done;
}

Result<snapshot::SnapshotInfo> find_tree(const GlobalOptions& global, std::uint64_t number) {
  const Opened store = TRY(open_store(global));
  const auto tree = TRY(store.env->view([&](ReadTxn& txn) { return snapshot::find_snapshot(txn, snapshot::SnapshotId(number)); }), "show snapshot {}", number);
  if (tree) return *tree;
  return tl::unexpected(base::Error{.code = ErrorCode::not_found,
                                    .message = fmt::format("show snapshot {}: there is none in {}", number, store.root.str()),
                                    .hint = "cachectl snapshot list shows them all"});
}

ExitCode run_snapshot_show(const GlobalOptions& global, const ShowSnapshot& arguments) {
  const auto tree = find_tree(global, arguments.snapshot);
  if (!tree) return report_error(tree.error());
  const ordered_json facts = snapshot_json(*tree);
  if (arguments.format == Output::json) {
    ordered_json json = {{"format", 1}};
    json.update(facts);
    std::cout << json_line(json);
    return ExitCode::done;
  }
  for (const auto& [name, value] : facts.items())
    std::cout << fmt::format("{:<15} {}\n", name, value.is_string() ? printable(value.get<std::string>()) : json_text(value));
  return ExitCode::done;
}

ExitCode run_store_info(const GlobalOptions& global, const OnlyFormat& arguments) {
  const auto read = [&]() -> Result<ordered_json> {
    const Opened store = TRY(open_store(global));
    const cache::DiskUsage usage = TRY(cache::disk_usage(*store.env, store.root));
    const auto owner = engine::owner_pid(store.root);
    return ordered_json{{"format", 1},
                        {"root", store.root.str()},
                        {"store_format", engine::store_version},
                        {"owner_pid", owner ? ordered_json(*owner) : ordered_json(nullptr)},
                        {"records", usage.records},
                        {"blobs", usage.blobs},
                        {"total_bytes", usage.total_bytes},
                        {"live_bytes", usage.live_bytes()}};
  };
  const auto facts = read();
  if (!facts) return report_error(facts.error());
  if (arguments.format == Output::json) {
    std::cout << json_line(*facts);
    return ExitCode::done;
  }
  const auto number = [&](const char* name) { return (*facts)[name].get<std::int64_t>(); };
  std::cout << fmt::format("store   {}\nformat  {}\nowner   {}\nholds   {} records, {} blobs\ntakes   {}, of which {} live\n", (*facts)["root"].get<std::string>(),
                           number("store_format"), (*facts)["owner_pid"].is_null() ? "none" : "process " + std::to_string(number("owner_pid")), number("records"),
                           number("blobs"), human_bytes(number("total_bytes")), human_bytes(number("live_bytes")));
  return ExitCode::done;
}

}  // namespace

void add_object_verbs(CLI::App& app, Program& program) {
  add_verb<OnlyFormat>(noun(app, "blob"), program, "list", R"(The blobs of the store, in the order of their digests.

Examples:
  cachectl --root DIR blob list
  cachectl --root DIR blob list --json)", run_blob_list);
  auto [blob, to_blob] = add_verb<ShowBlob>(noun(app, "blob"), program, "show", R"(One blob: its size, where it lies, and which records name it.

Examples:
  cachectl --root DIR blob show sha256:4c67a1b2c3d4
  cachectl --root DIR blob show 4c67 --json)", run_blob_show);
  blob.add_option("DIGEST", to_blob.digest, "Its digest, or the first four digits of it or more")->required();
  auto cat = add_verb<CatBlob>(noun(app, "blob"), program, "cat", R"(Print the bytes of a blob, verified while they are read.

Examples:
  cachectl --root DIR blob cat 4c67 > layer.tar.gz)", run_blob_cat);
  cat.app.add_option("DIGEST", cat.arguments.digest, "Its digest, or the first four digits of it or more")->required();
  add_verb<OnlyFormat>(noun(app, "snapshot"), program, "list", R"(The trees of the store, in the order of their numbers.

Examples:
  cachectl --root DIR snapshot list
  cachectl --root DIR snapshot list --json)", run_snapshot_list);
  auto [tree, to_tree] = add_verb<ShowSnapshot>(noun(app, "snapshot"), program, "show", R"(One tree: what it was made on and what it takes.

Examples:
  cachectl --root DIR snapshot show 1027
  cachectl --root DIR snapshot show 1027 --json)", run_snapshot_show);
  tree.add_option("SNAPSHOT", to_tree.snapshot, "Its number")->required();
  add_verb<OnlyFormat>(noun(app, "store"), program, "info", R"(What the store is: its format, its owner, and how much it holds.

Examples:
  cachectl --root DIR store info
  cachectl --root DIR store info --json)", run_store_info);
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
// A solve as somebody outside asks for it, and what comes of it: plain data that can cross a socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/result.h"
#include "libcache/cache.h"
#include "libcache/tree_difference.h"
#include "libsolver/export_local.h"
#include "libsolver/images.h"
#include "libsolver/remote_cache.h"
#include "libsolver/solver.h"
#include "tools/engine/engine.h"

namespace cairn::engine {

// From now on a crash of this process writes no core file: whoever holds secrets calls it before it takes them.
void forbid_core_files();

struct SolveOrder {
  std::string definition;                          // pb.Definition, as it came; "": see dockerfile
  // A Dockerfile instead: the options of its front end, as BuildKit's clients name them (dockerfile::parse_options).
  std::optional<std::map<std::string, std::string>> dockerfile{};
  // All but build: nothing is built, the Dockerfile is only read, and the answer is what it says of itself.
  enum class Call : std::uint8_t { build, check, outline, targets } call = Call::build;
  std::vector<solver::OutputAttributes> outputs{};  // where the images go (solver::parse_image_output); paths absolute
  int output_fd = -1;  // takes an archive whose dest is "-"; borrowed
  std::map<std::string, std::string> locals;       // name → absolute directory
  std::map<std::string, std::string> oci_layouts;  // name → absolute directory
  std::map<std::string, std::string> secrets;      // id → bytes
  solver::RegistryLogins logins;                   // by registry
  std::map<std::string, std::string> ssh_agents;   // id → absolute path of a socket
  solver::Entitlements allowed;
  solver::CacheMountOnFail cache_mount_on_fail = solver::CacheMountOnFail::keep;
  solver::FailedTrees failed_trees = solver::FailedTrees::drop;
  std::string output_dir;                          // absolute; "": no export
  solver::UseCache use_cache = solver::UseCache::yes;
  std::string source_policy;   // JSON; "": none
  solver::RemoteUse::Ask ask_remotes = solver::RemoteUse::Ask::always;
  std::chrono::seconds resolve_age{0};  // what remote sides have said is believed for so long
  std::uint64_t download_max = ~std::uint64_t{0};  // bytes of one file
  // Caches of elsewhere, by the attributes that name them (solver::parse_cache_import): where to look, and what to
  // write in the end.
  std::vector<solver::CacheAttributes> cache_from{}, cache_to{};
  std::string project{}, build{};                  // who asks: labels of the records that are made, and of statistics
};

// What was written of a cache.
struct CacheReport {
  std::string to;
  solver::CacheExported exported;
};

// What the front end says of a Dockerfile.
struct BuildWarning {
  std::string rule, message, url;
  int first_line = 0, last_line = 0;  // 0: of no line
  std::string excerpt;                // these lines and what is around them
};

// What was written of one output.
struct ImageReport {
  std::string type, dest;  // as the order has them
  solver::ImagesExported exported;
};

struct SolveReport {
  std::optional<base::Error> error;
  std::string error_excerpt;  // the lines of the Dockerfile that the error is about; "": none
  std::vector<solver::StepResult> steps;
  std::chrono::nanoseconds duration{0};
  std::vector<std::string> warnings;  // what the user should know of a solve that went well
  std::vector<CacheReport> caches;
  std::vector<BuildWarning> checks;  // of a Dockerfile
  std::string answer;                // of a call that is no build: the front end's JSON (libdockerfile/subrequests.h)
  std::vector<std::string> notes;    // what was done otherwise than it may expect
  std::vector<ImageReport> images;
  std::uint64_t exported_files = 0;
  std::uint64_t exported_bytes = 0;
  std::size_t count(solver::StepState state) const;
};

// The digest of a selection of a record, as `cachectl digest RECORD` asks for it.
struct DigestOrder {
  std::uint64_t record = 0;
  cache::Selection selection;
};
base::Result<TreeDigest> run_order(Engine& engine, const DigestOrder& order, std::stop_token stop);

// What makes the digests of a selection of two trees differ. Each is a record, or a directory of this machine by scan rules.
struct DifferenceOrder {
  struct Side {
    std::uint64_t record = 0;
    std::string directory;  // absolute; "": the record
  };
  Side first, second;
  cache::Selection selection;
};
using Differences = std::vector<cache::TreeDifference>;
// Errors: those of each_difference; not_found if there is no such record or directory.
base::Result<Differences> run_order(Engine& engine, const DifferenceOrder& order, std::stop_token stop);

// Copies the tree of a record out of the store, as `cachectl record export` asks for it.
struct ExportOrder {
  std::uint64_t record = 0;
  std::string output_dir;  // absolute
};
// Errors: those of solver::export_local and Engine::fetch; not_found if there is no such record.
base::Result<solver::ExportReport> run_order(Engine& engine, const ExportOrder& order, std::stop_token stop);

struct PruneOrder {
  bool all = false, dry_run = false;
  std::optional<std::string> policy;  // the text of one; empty: the store's own
  std::string policy_name;            // what errors call it
};
struct PruneAnswer {
  cache::PruneReport report;
  std::vector<std::string> rules;  // their titles
};

// Errors: those of the policy's text and of Cache::prune.
base::Result<PruneAnswer> run_prune(Engine& engine, const PruneOrder& order, std::stop_token stop);

// Loads the definition, solves it and exports the result. Never fails otherwise than in the report.
SolveReport run_order(Engine& engine, const SolveOrder& order, solver::ProgressSink& progress, std::stop_token stop);

}  // namespace cairn::engine

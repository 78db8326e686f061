// SPDX-License-Identifier: Apache-2.0
// Does something with a store, whoever owns it: becomes the owner (and serves others meanwhile), or asks the owner. If
// the owner goes away in the middle, the request is begun again with whoever owns the store then; what was stored
// before is found again, so little is lost.
#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>

#include "libbase/result.h"
#include "tools/engine/cache_mounts.h"
#include "tools/engine/files.h"
#include "tools/engine/order.h"
#include "tools/engine/pins.h"
#include "tools/engine/promotions.h"

namespace cairn::engine {

enum class Daemon { allowed, refused };  // refused: be the owner, or fail with busy and the owner's pid

struct StoreOptions {
  EngineOptions engine;
  Daemon daemon = Daemon::allowed;
  std::chrono::milliseconds patience{30'000};  // with an owner that does not answer; then the error is busy
};

// Errors, besides those in the report: busy, and those of Engine::open.
base::Result<SolveReport> solve_in_store(const StoreOptions& options, const SolveOrder& order,
                                         solver::ProgressSink& progress, std::stop_token stop);
// Beside an owner from the pages that are stored, else the owner is asked.
base::Result<TreeDigest> digest_in_store(const StoreOptions& options, const DigestOrder& order, std::stop_token stop);
// Mounts what it compares, which only the owner can: it is asked, and opens the directories with its own rights.
base::Result<Differences> differences_in_store(const StoreOptions& options, const DifferenceOrder& order,
                                               std::stop_token stop);
// The owner writes the directory, with its own rights.
base::Result<solver::ExportReport> export_from_store(const StoreOptions& options, const ExportOrder& order, std::stop_token stop);
base::Result<PruneAnswer> prune_store(const StoreOptions& options, const PruneOrder& order, std::stop_token stop);
// Errors: not_found (no store there), and those of Cache::scrub.
base::Result<cache::ScrubReport> scrub_store(const StoreOptions& options, const cache::ScrubOptions& scrub, std::stop_token stop);
base::Result<cache::LeaseId> pin_in_store(const StoreOptions& options, const PinOrder& order, std::stop_token stop);
base::Result<Promoted> promote_in_store(const StoreOptions& options, const PromoteOrder& order, std::stop_token stop);
// Gives `take` one piece after the other, until there is none or it wants no more (false).
using TakePiece = std::function<base::Result<bool>(std::string_view bytes)>;
base::Status read_from_store(const StoreOptions& options, FileOrder order, const TakePiece& take, std::stop_token stop);
// The owner mounts the tree and holds its record until `use` returns, and so waits for it before it ends. If he is killed, `use` is
// asked to stop, and the error is unavailable.
base::Status with_tree_of_store(const StoreOptions& options, const MountOrder& order, const UseTree& use, std::stop_token stop);
base::Result<CacheMountAnswer> cache_mount_in_store(const StoreOptions& options, const CacheMountOrder& order, std::stop_token stop);

}  // namespace cairn::engine

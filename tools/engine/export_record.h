// SPDX-License-Identifier: Apache-2.0
// The tree of a record, copied into a directory.
#pragma once

#include "libsolver/export_local.h"
#include "tools/engine/engine.h"

namespace cairn::engine {

// Errors: those of Engine::fetch and of solver::export_local.
inline base::Result<solver::ExportReport> export_record(Engine& engine, const cache::ImmutableRef& record,
                                                        const base::HostPath& dest, std::stop_token stop) {
  TRY(engine.fetch(record, stop));
  const snapshot::MountedTree tree = TRY(record.mount());
  return solver::export_local(tree, dest, std::move(stop), {});
}

}  // namespace cairn::engine

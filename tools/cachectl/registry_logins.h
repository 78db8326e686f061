// SPDX-License-Identifier: Apache-2.0
// What the user is logged in with at the registries that a build talks to, read here, with his rights.
#pragma once

#include "tools/engine/order.h"

namespace cairn::cachectl {

// Adds to an order that has everything else the logins of the registries that it names; `more` are others that it will
// talk to. A registry for which a secret is given is not looked up. What cannot be read is a warning on standard error,
// and that registry is asked without. What mirrors of these registries are to be told comes with it, if registries.toml
// of the store is the user's or root's and nobody else may write it: who names a mirror is handed what is known for it.
// From then on no crash writes a core file.
void add_registry_logins(engine::SolveOrder& order, const base::HostPath& root, const std::set<std::string>& more = {});

}  // namespace cairn::cachectl

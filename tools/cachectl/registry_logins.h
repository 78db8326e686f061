// SPDX-License-Identifier: Apache-2.0
// What the user is logged in with at the registries that a build talks to, read here, with his rights.
#pragma once

#include "tools/engine/order.h"

namespace cairn::cachectl {

// Adds to an order that has everything else the logins of the registries that it names; `more` are others that it will
// talk to. A registry for which a secret is given is not looked up. What cannot be read is a warning on standard error,
// and that registry is asked without. From then on no crash writes a core file.
void add_registry_logins(engine::SolveOrder& order, const std::set<std::string>& more = {});

}  // namespace cairn::cachectl

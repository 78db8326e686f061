// SPDX-License-Identifier: Apache-2.0
// What TreeNames has in memory: all names, with what keeps their trees. The table is changed first, and this after.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "libbase/sync.h"
#include "libcache/names/tree_name_rows.h"
#include "libcache/records/turns.h"
#include "libcache/ref.h"

namespace cairn::cache {

struct TreeNames::Known {
  TreeNameRow row;
  std::optional<ImmutableRef> record{};  // of a committed one; of an active one: it could not be written
  std::shared_ptr<void> in_use{};        // the layers that somebody outside may have mounted
  std::uint32_t children = 0;            // names that have it as their parent
  bool going = false;                    // is being removed: nothing is built on it any more
};

struct TreeNames::State {
  base::Guarded<std::map<TreeName, Known>> names;
  Turns<std::string> turns;  // of the names that somebody makes, changes or removes
};

}  // namespace cairn::cache

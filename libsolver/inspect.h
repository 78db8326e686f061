// SPDX-License-Identifier: Apache-2.0
// Shows what a definition is: its ops, their digests after loading, and what each would look up in the cache.
#pragma once

#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::solver {

// {"format":1,"ops":[{"index","vertex_digest","kind","name","inputs":[{"digest","index"}],
//   "cache_maps":[{"digest","deps":[{"selector","selectors":[…],"content":true|false}]}]}]}
// index: position on the wire. The head has kind "return" and no name. cache_maps is [] where it takes I/O to know
// (images, git, http) or where the op cannot have one; a local source without session counts as of session "".
// "selector" is "" for an input that has none. Text that is not UTF-8 cannot occur: loading refuses it.
// Errors: those of load_definition.
base::Result<std::string> inspect_json(std::string_view definition_bytes);

// The same as a table for people, one line per op.
base::Result<std::string> inspect_text(std::string_view definition_bytes);

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// The config of an image: what the front end says, with the layers that its result has. The text is BuildKit's of the
// same facts, to the byte: members in the order of their names, values as they came, unknown ones too.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/clock.h"
#include "libbase/result.h"
#include "libsnapshot/digests.h"
#include "libsolver/wire/ops.h"

namespace cairn::solver {

struct ConfigFacts {
  struct Layer {
    DiffId diff;
    std::string description;  // of what made it, for layers of which the history says nothing
    base::WallTime created;
  };
  wire::Platform platform;           // of an image of which the front end says nothing
  std::vector<Layer> layers;         // the lowest first
  std::optional<std::int64_t> epoch;  // what is younger, and not of the base image, becomes so old
  std::string inline_cache;          // JSON; "": none
};

// config: "" for one of nothing but the platform. base_config: "" for none. History and layers are brought together:
// layers beyond those of the history get entries, entries beyond the layers become empty, and entries without a time get
// that of the first new layer. Errors: corrupt (not JSON, or not such a document), invalid_argument (over a limit).
base::Result<std::string> write_image_config(std::string_view config, std::string_view base_config,
                                             const ConfigFacts& facts);

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// What a result was made of: the parts of its cache key, as the step that made it has said them. Kept for every step that runs,
// so that somebody can be told later which of them has changed (explain.h). No part of it is a secret's value.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/hash/sha256.h"
#include "libcache/digests.h"
#include "libcache/record.h"
#include "libcache/tree_digest.h"

namespace cairn::cache {

// One part of what an operation is, inputs aside, in the words of its kind: "argument 2", "env PATH", "cwd".
struct RecipeField {
  std::string name;
  std::string value;
  bool operator==(const RecipeField&) const = default;
};
inline constexpr std::size_t recipe_value_bytes_max = 4096;  // of a longer one the beginning is kept, and its SHA-256

struct RecipeInput {
  RecordId record;                    // 0: scratch
  std::optional<KeyDigest> key{};     // that of the input which the step's own key was made of; nullopt: it has none
  std::optional<KeyDigest> content{}; // of what is selected of it, where that decides
  std::vector<Selection> selections{};  // what decides; empty beside a content key: the whole root
};

struct Recipe {
  base::Sha256Bytes vertex{};
  std::string name;                // of the step
  base::Sha256Bytes operation{};   // what the fields say, as one digest: if it differs, some field should
  std::vector<RecipeField> fields; // in the order of the operation; of several with one name the order counts
  std::vector<RecipeInput> inputs;
  base::WallTime solve_began{};    // of the solve that it ran for: what that one has made is no earlier record
  bool asked_anew = false;         // it was to run whatever was found
};

}  // namespace cairn::cache

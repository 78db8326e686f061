// SPDX-License-Identifier: Apache-2.0
// Recipes as a builder leaves them, without running anything: so many steps, each made so many times, every time of another input.
#pragma once

#include <cstdint>
#include <string>

#include "libbase/lmdb/env.h"
#include "libcache/recipe.h"

namespace cairn::test {

struct RecipeModel {
  std::uint64_t steps = 100;  // of which every tenth is a directory, without inputs
  std::uint64_t times = 10;   // each is made
};

KeyDigest modelled_key(std::uint64_t step, std::uint64_t time);
cache::RecordId modelled_record(const RecipeModel& model, std::uint64_t step, std::uint64_t time);
// An exec step as Dockerfiles have them, on the step before, with a directory of which the content decides.
cache::Recipe modelled_recipe(const RecipeModel& model, std::uint64_t step, std::uint64_t time);
base::Status put_modelled(base::lmdb::WriteTxn& txn, const RecipeModel& model, std::uint64_t step, std::uint64_t time, std::uint64_t recipes_max);
// All of them, in the order in which they would have been made.
base::Status put_model(base::lmdb::Env& env, const RecipeModel& model, std::uint64_t recipes_max);

}  // namespace cairn::test

// SPDX-License-Identifier: Apache-2.0
#include "tests/support/recipes.h"

#include <algorithm>

#include "libcache/explain/recipe_writer.h"

namespace cairn::test {

KeyDigest modelled_key(std::uint64_t step, std::uint64_t time) {
  return base::digest_of<KeyDigest>(std::to_string(step) + " " + std::to_string(time));
}
cache::RecordId modelled_record(const RecipeModel& model, std::uint64_t step, std::uint64_t time) {
  return cache::RecordId(1 + time * model.steps + step);
}

// An exec step as Dockerfiles have them, on the step before, with a directory of which the content decides.
cache::Recipe modelled_recipe(const RecipeModel& model, std::uint64_t step, std::uint64_t time) {
  cache::Recipe recipe;
  recipe.vertex = base::sha256("vertex " + std::to_string(step));
  recipe.operation = base::sha256("operation " + std::to_string(step));
  recipe.solve_began = base::from_unix_ns(1'700'000'000'000'000'000 + static_cast<std::int64_t>(time) * 3'600'000'000'000);
  if (step % 10 == 0) {
    recipe.name = "[internal] load build context " + std::to_string(step / 10);
    recipe.fields = {{"type", "source"}, {"source", "local://context" + std::to_string(step / 10)}};
    return recipe;
  }
  const std::string script = "cmake --build build --target part" + std::to_string(step) + " && install -D build/part" + std::to_string(step) + " /out/bin/";
  recipe.name = "[build " + std::to_string(step % 10 + 1) + "/10] RUN " + script;
  recipe.fields = {{"type", "exec"}, {"argument 0", "/bin/sh"}, {"argument 1", "-c"}, {"argument 2", script},
                   {"env PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, {"cwd", "/src"}, {"network", "sandbox"},
                   {"security", "sandbox"}, {"mount /", "bind, from input 0, output 0"}, {"mount /src", "bind, from input 1, read-only"},
                   {"platform", "linux/amd64"}};
  const std::uint64_t directory = step / 10 * 10;
  recipe.inputs.push_back({.record = modelled_record(model, step - 1, time), .key = modelled_key(step - 1, time)});
  recipe.inputs.push_back({.record = modelled_record(model, directory, time), .key = modelled_key(directory, time),
                           .content = base::digest_of<KeyDigest>("content " + std::to_string(directory) + " " + std::to_string(time))});
  return recipe;
}

base::Status put_modelled(base::lmdb::WriteTxn& txn, const RecipeModel& model, std::uint64_t step, std::uint64_t time, std::uint64_t recipes_max) {
  const cache::Recipe recipe = modelled_recipe(model, step, time);
  return cache::put_recipe(txn, {.record = modelled_record(model, step, time), .key = modelled_key(step, time), .recipe = recipe,
                                 .made = recipe.solve_began + std::chrono::milliseconds(20 * step), .took = std::chrono::milliseconds(700)},
                           recipes_max);
}

// All of them, in the order in which they would have been made.
base::Status put_model(base::lmdb::Env& env, const RecipeModel& model, std::uint64_t recipes_max) {
  constexpr std::uint64_t steps_per_change = 10'000;
  for (std::uint64_t time = 0; time < model.times; ++time)
    for (std::uint64_t first = 0; first < model.steps; first += steps_per_change)
      TRY(env.update([&](base::lmdb::WriteTxn& txn) -> base::Status {
        for (std::uint64_t step = first; step < std::min(model.steps, first + steps_per_change); ++step) TRY(put_modelled(txn, model, step, time, recipes_max));
        return {};
      }));
  return {};
}

}  // namespace cairn::test

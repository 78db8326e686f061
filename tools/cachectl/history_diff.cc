// SPDX-License-Identifier: Apache-2.0
// history diff: what one of two solves has executed and the other has not, and why. Reads beside whoever owns the store.
#include <iostream>
#include <map>

#include "libcache/history.h"
#include "tools/cachectl/explanation.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/lookup_error.h"
#include "tools/cachectl/named_solve.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::fail;
using base::Result;
using nlohmann::ordered_json;
using State = cache::SolvedStep::State;

namespace {

struct DiffArguments {
  std::string first, second;
  Output format = Output::text;
};

struct ExecutedOnce {
  cache::SolvedStep step;
  std::optional<State> elsewhere;  // what it was in the other solve; nullopt: that had no such step
  std::optional<cache::Explanation> why;
};

struct Differences {
  cache::SolveRow first, second;
  std::vector<ExecutedOnce> only_first, only_second;
};

// The step of another solve that is this one: by its digest, else the one with its name, of several the one in its place among them.
class Steps {
 public:
  explicit Steps(const cache::SolveRow& row) {
    for (const cache::SolvedStep& step : row.steps) {
      by_digest_.emplace(step.digest, &step);
      by_name_[step.name].push_back(&step);
    }
  }
  const cache::SolvedStep* find(const cache::SolvedStep& step, std::size_t place) const {
    const auto same = by_digest_.find(step.digest);
    if (same != by_digest_.end()) return same->second;
    const auto named = by_name_.find(step.name);
    return named != by_name_.end() && place < named->second.size() ? named->second[place] : nullptr;
  }

 private:
  std::map<base::Sha256Bytes, const cache::SolvedStep*> by_digest_;
  std::map<std::string, std::vector<const cache::SolvedStep*>> by_name_;
};

Result<std::vector<ExecutedOnce>> executed_only_by(base::lmdb::Env& env, const cache::SolveRow& row, const cache::SolveRow& other) {
  const Steps others(other);
  std::map<std::string, std::size_t> places;
  std::vector<ExecutedOnce> found;
  for (const cache::SolvedStep& step : row.steps) {
    const cache::SolvedStep* same = others.find(step, places[step.name]++);
    if (step.state != State::executed || (same != nullptr && same->state == State::executed && same->made == step.made)) continue;
    if (same != nullptr && same->state == State::executed && same->digest == step.digest && !step.made) continue;
    ExecutedOnce& once = found.emplace_back(ExecutedOnce{step, same != nullptr ? std::optional(same->state) : std::nullopt, {}});
    auto why = step.made ? cache::explain(env, step.made) : fail(ErrorCode::not_found, "it made nothing");
    if (!why && why.error().code != ErrorCode::not_found) return tl::unexpected(std::move(why).error());
    if (why) once.why = std::move(*why);
  }
  return found;
}

Result<Differences> compare(const GlobalOptions& global, const DiffArguments& arguments) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  Differences differences;
  differences.first = TRY(find_named_solve(*env, options.engine.root, arguments.first));
  differences.second = TRY(find_named_solve(*env, options.engine.root, arguments.second));
  differences.only_first = TRY(executed_only_by(*env, differences.first, differences.second));
  differences.only_second = TRY(executed_only_by(*env, differences.second, differences.first));
  return differences;
}

std::string state_text(const std::optional<State>& state) { return state ? std::string(to_string(*state)) : "absent"; }

ordered_json executed_json(const std::vector<ExecutedOnce>& steps) {
  ordered_json json = ordered_json::array();
  for (const ExecutedOnce& once : steps) {
    ordered_json step = {{"name", once.step.name}, {"digest", "sha256:" + base::to_hex(once.step.digest)}, {"other", state_text(once.elsewhere)}};
    step["why"] = once.why ? explanation_json(*once.why) : ordered_json();
    json.push_back(std::move(step));
  }
  return json;
}

void print(const cache::SolveRow& row, const std::vector<ExecutedOnce>& steps, base::WallTime now) {
  std::cout << fmt::format("only {} has executed: {}\n", cache::to_text(row.id), steps.empty() ? "nothing" : fmt::format("{} steps", steps.size()));
  for (const ExecutedOnce& once : steps) {
    std::cout << fmt::format("  {} (there: {}): {}\n", printable(once.step.name), state_text(once.elsewhere),
                             once.why ? reason_line(*once.why, now) : "nothing is kept of how it was made");
    if (once.why) std::cout << path_lines(once.why->reason);
  }
}

ExitCode run_history_diff(const GlobalOptions& global, const DiffArguments& arguments) {
  auto differences = compare(global, arguments);
  if (!differences) return report_lookup_error(global, differences.error());
  if (arguments.format == Output::json) {
    const ordered_json json = {{"format", 1},
                               {"first", cache::to_text(differences->first.id)},
                               {"second", cache::to_text(differences->second.id)},
                               {"only_first", executed_json(differences->only_first)},
                               {"only_second", executed_json(differences->only_second)}};
    std::cout << json_line(json);
    return ExitCode::done;
  }
  const base::WallTime now = base::SystemClock().now();
  print(differences->first, differences->only_first, now);
  print(differences->second, differences->only_second, now);
  return ExitCode::done;
}

}  // namespace

void add_history_diff(CLI::App& app, Program& program) {
  auto [verb, to] = add_verb<DiffArguments>(noun(app, "history"), program, "diff", R"(What one of two solves has executed and the other has not, and why.

Examples:
  cachectl --root DIR history diff previous last
  cachectl --root DIR history diff 187bcd5f2a3c9e10 187bcd60013f5a22 --json)", run_history_diff);
  verb.add_option("FIRST", to.first, "A solve: its id, or last, or previous: the one before")->required();
  verb.add_option("SECOND", to.second, "Another one")->required();
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/named_solve.h"

#include <algorithm>
#include <cctype>

namespace cairn::cachectl {

using base::ErrorCode;
using base::Result;

namespace {

constexpr std::size_t id_digits = 16;
constexpr std::size_t hinted_max = 3;

// The newest of them, in words.
std::string ids_of(const std::vector<cache::SolveRow>& solves) {
  std::string text;
  for (std::size_t i = 0; i < std::min(solves.size(), hinted_max); ++i) text += (i == 0 ? "" : ", ") + cache::to_text(solves[solves.size() - 1 - i].id);
  return text;
}

}  // namespace

bool may_name_solve(const std::string& name) {
  if (name == "last" || name == "previous") return true;
  return !name.empty() && name.size() <= id_digits && std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

Result<cache::SolveRow> find_named_solve(base::lmdb::Env& env, const base::HostPath& root, const std::string& name) {
  if (!may_name_solve(name)) TRY(cache::parse_solve_id(name), "solve {}", name);
  if (name.size() == id_digits)
    if (auto row = TRY(cache::find_solve(env, root, TRY(cache::parse_solve_id(name))))) return std::move(*row);
  auto all = TRY(cache::solve_history(env, root));
  const std::string known = all.empty() ? "nothing has been solved in this store" : "the last ones are " + ids_of(all);
  std::vector<cache::SolveRow> meant;
  if (name == "last" || name == "previous") {
    const std::size_t back = name == "last" ? 1 : 2;
    if (all.size() >= back) meant.push_back(std::move(all[all.size() - back]));
  } else {
    for (cache::SolveRow& row : all)
      if (cache::to_text(row.id).starts_with(name)) meant.push_back(std::move(row));
  }
  if (meant.size() == 1) return std::move(meant.front());
  if (meant.empty())
    return tl::unexpected(base::Error{.code = ErrorCode::not_found, .message = fmt::format("solve {}: it is not in the history of {}", name, root.str()), .hint = known});
  return tl::unexpected(base::Error{.code = ErrorCode::invalid_argument,
                                    .message = fmt::format("solve {}: ambiguous: {} solves begin so", name, meant.size()),
                                    .hint = "the last of them are " + ids_of(meant)});
}

}  // namespace cairn::cachectl

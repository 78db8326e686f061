// SPDX-License-Identifier: Apache-2.0
// What a file step is (spec/solver 3.4): its actions, with the source of a copy reduced to its last name, and for each
// input that is only read the paths that are read.
#include <algorithm>
#include <map>
#include <set>

#include "libbase/base64.h"
#include "libsolver/ops/cache_maps.h"
#include "libsolver/wire/go_json.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

cache::Selection account_file(std::string path) {
  cache::Selection selection;
  selection.path = std::move(path);
  selection.follow_links = true;
  return selection;
}

bool has_filters(const cache::Selection& selection) {
  return selection.wildcard || !selection.include_patterns.empty() || !selection.exclude_patterns.empty();
}

// Collects what the actions read of each input. Inputs that an action changes are keyed as a whole.
class FileReads {
 public:
  explicit FileReads(std::size_t inputs) : inputs_(static_cast<std::int64_t>(inputs)) {}

  void changes(std::int64_t input) { changed_.insert(input); }
  // A name in an owner is looked up in the account files of some input. A negative input ends the owner's lookups:
  // BuildKit gives up there without failing.
  void owner(const std::optional<wire::ChownOpt>& owner) {
    if (!owner) return;
    if (!account(owner->user, "/etc/passwd")) return;
    account(owner->group, "/etc/group");
  }
  void copy(std::int64_t input, wire::FileActionCopy& copy) {
    if (input == wire::no_input || input >= inputs_) return;
    cache::Selection selection;
    selection.path = copy.src;
    selection.follow_links = copy.follow_symlink;
    selection.wildcard = copy.allow_wildcard && has_wildcard(copy.src);
    selection.include_patterns = copy.include_patterns;
    selection.exclude_patterns = copy.exclude_patterns;
    selection.required_paths = copy.required_paths;
    reads_[input].push_back(std::move(selection));
    copy.src = path_base(copy.src);
  }
  base::Status fill(std::vector<CacheMapDep>& deps) {
    for (auto& [input, selections] : reads_) {
      if (changed_.contains(input)) continue;
      if (input < 0 || input >= inputs_) {
        return fail(ErrorCode::invalid_argument, "it reads input {}, but there are {}", input, inputs_);
      }
      CacheMapDep& dep = deps[static_cast<std::size_t>(input)];
      for (const auto& selection : selections) dep.selectors.push_back(selection.path);
      std::sort(dep.selectors.begin(), dep.selectors.end(), std::greater<>());
      dep.selector = selector_digest(dep.selectors);
      dep.content = deduped(selections);
    }
    return {};
  }

 private:
  bool account(const std::optional<wire::UserOpt>& user, const char* file) {
    const auto* named = user ? std::get_if<wire::NamedUserOpt>(&user->user) : nullptr;
    if (named == nullptr) return true;
    if (named->input < 0) return false;
    reads_[named->input].push_back(account_file(file));
    return true;
  }

  static std::vector<cache::Selection> deduped(const std::vector<cache::Selection>& selections) {
    std::vector<std::string> plain, followed;
    for (const auto& selection : selections) {
      if (!has_filters(selection)) (selection.follow_links ? followed : plain).push_back(selection.path);
    }
    std::vector<cache::Selection> out;
    for (auto& path : dedupe_paths(plain)) out.emplace_back().path = std::move(path);
    for (auto& path : dedupe_paths(followed)) out.push_back(account_file(std::move(path)));
    for (const auto& selection : selections) {
      if (has_filters(selection)) out.push_back(selection);
    }
    std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
    return out;
  }

  std::int64_t inputs_;
  std::set<std::int64_t> changed_;
  std::map<std::int64_t, std::vector<cache::Selection>> reads_;
};

// The JSON of one action, noting in `reads` what it touches.
struct ActionEncoder {
  const wire::FileAction& action;
  FileReads& reads;

  std::string operator()(const std::monostate&) const { return ""; }
  std::string operator()(const wire::FileActionCopy& copy) const {
    reads.changes(action.input);
    reads.owner(copy.owner);
    wire::FileActionCopy normalized = copy;
    reads.copy(action.secondary_input, normalized);
    return wire::go_json(normalized);
  }
  std::string operator()(const wire::FileActionMkFile& file) const { return owned(file); }
  std::string operator()(const wire::FileActionMkDir& directory) const { return owned(directory); }
  std::string operator()(const wire::FileActionRm& rm) const {
    reads.changes(action.input);
    return wire::go_json(rm);
  }
  // The names in a link's owner are not looked up for the key.
  std::string operator()(const wire::FileActionSymlink& link) const {
    reads.changes(action.input);
    return wire::go_json(link);
  }

 private:
  template <class Action>
  std::string owned(const Action& owned_action) const {
    reads.changes(action.input);
    reads.owner(owned_action.owner);
    return wire::go_json(owned_action);
  }
};

}  // namespace

bool has_default_indexes(const std::vector<wire::FileAction>& actions) {
  const auto count = static_cast<std::int64_t>(actions.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const auto& action = actions[static_cast<std::size_t>(i)];
    if (action.input != (i == 0 ? 0 : count + i - 1)) return false;
    if (action.secondary_input != wire::no_input && action.secondary_input != 1) return false;
    if (action.output != (i + 1 == count ? 0 : wire::no_output)) return false;
  }
  return count > 0;
}

Result<CacheMap> file_cache_map(const Vertex& vertex, const wire::FileOp& file) {
  FileReads reads(vertex.inputs.size());
  std::string actions = "[", indexes = "[";
  for (const auto& action : file.actions) {
    const std::string json = std::visit(ActionEncoder{action, reads}, action.action);
    const char* comma = &action == &file.actions.front() ? "" : ",";
    // An action of a kind we do not know is a nil slice in Go.
    actions += fmt::format("{}{}", comma, json.empty() ? "null" : '"' + base::base64(json) + '"');
    indexes += fmt::format("{}[{},{},{}]", comma, action.input, action.secondary_input, action.output);
  }
  wire::GoJsonObject json;
  json.text("Type", "buildkit.file.v0").raw("Actions", actions + ']');
  if (!has_default_indexes(file.actions)) json.raw("indexes", indexes + ']');
  CacheMap map = hashed_cache_map(json.take());
  map.deps.resize(vertex.inputs.size());
  for (auto& dep : map.deps) dep.unlazy = true;
  TRY(reads.fill(map.deps));
  return map;
}

}  // namespace cairn::solver

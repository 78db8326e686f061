// SPDX-License-Identifier: Apache-2.0
// File steps: a chain of actions, each on the result of the one before, the first on the state itself.
#include <algorithm>
#include <charconv>

#include "libsolver/llb/node.h"
#include "libsolver/ops/cache_maps.h"

namespace cairn::solver::llb {
namespace {

// Absolute and clean, but a trailing slash ("into this directory") stays, and so does a trailing "/.".
std::string action_path(std::string_view path) {
  std::string clean = rooted_path(path);
  if ((path.ends_with('/') || path.ends_with("/.")) && clean != "/") clean += '/';
  if (path.ends_with("/.")) clean += '.';
  return clean;
}

}  // namespace

template <class T>
FileActions& FileActions::add(T action, State source) {
  Action entry;
  entry.action.action = std::move(action);
  entry.source = std::move(source);
  actions_.push_back(std::move(entry));
  return *this;
}

namespace {

// A number, or a name that is looked up in the state that is changed; its input is put in when that is known.
std::optional<wire::UserOpt> user_opt(const std::string& text) {
  if (text.empty()) return std::nullopt;
  wire::UserOpt user;
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text == "root") user.user = std::uint32_t{0};
  else if (error == std::errc() && end == text.data() + text.size()) user.user = number;
  else user.user = wire::NamedUserOpt{text, wire::no_input, {}};
  return user;
}

std::optional<wire::ChownOpt>* owner_in(wire::FileAction& action) {
  struct Owner {
    std::optional<wire::ChownOpt>* operator()(std::monostate&) { return nullptr; }
    std::optional<wire::ChownOpt>* operator()(wire::FileActionRm&) { return nullptr; }
    std::optional<wire::ChownOpt>* operator()(wire::FileActionCopy& a) { return &a.owner; }
    std::optional<wire::ChownOpt>* operator()(wire::FileActionMkFile& a) { return &a.owner; }
    std::optional<wire::ChownOpt>* operator()(wire::FileActionMkDir& a) { return &a.owner; }
    std::optional<wire::ChownOpt>* operator()(wire::FileActionSymlink& a) { return &a.owner; }
  };
  return std::visit(Owner{}, action.action);
}

std::int64_t* timestamp_in(wire::FileAction& action) {
  struct Timestamp {
    std::int64_t* operator()(std::monostate&) { return nullptr; }
    std::int64_t* operator()(wire::FileActionRm&) { return nullptr; }
    std::int64_t* operator()(wire::FileActionCopy& a) { return &a.timestamp; }
    std::int64_t* operator()(wire::FileActionMkFile& a) { return &a.timestamp; }
    std::int64_t* operator()(wire::FileActionMkDir& a) { return &a.timestamp; }
    std::int64_t* operator()(wire::FileActionSymlink& a) { return &a.timestamp; }
  };
  return std::visit(Timestamp{}, action.action);
}

void look_names_up_in(wire::FileAction& action, std::int64_t input) {
  std::optional<wire::ChownOpt>* owner = owner_in(action);
  if (owner == nullptr || !*owner) return;
  for (auto* user : {&(*owner)->user, &(*owner)->group}) {
    if (!*user) continue;
    if (auto* name = std::get_if<wire::NamedUserOpt>(&(*user)->user)) name->input = input;
  }
}

wire::FileActionCopy copy_action(std::string_view src, std::string_view dest, const CopyOptions& options) {
  wire::FileActionCopy copy;
  copy.src = rooted_path(src);
  copy.dest = action_path(dest);
  copy.mode = options.mode;
  copy.follow_symlink = options.follow_symlink;
  copy.dir_copy_contents = options.dir_copy_contents;
  copy.create_dest_path = options.create_dest_path;
  copy.allow_wildcard = options.allow_wildcard;
  copy.allow_empty_wildcard = options.allow_empty_wildcard;
  copy.include_patterns = options.include_patterns;
  copy.exclude_patterns = options.exclude_patterns;
  copy.mode_str = options.mode_text;
  copy.attempt_unpack = options.unpack;
  copy.always_replace_existing = options.always_replace_existing;
  copy.required_paths = options.required_paths;
  copy.timestamp = -1;
  return copy;
}

}  // namespace

FileActions& FileActions::wrong(std::string_view what) {
  if (error_.empty()) error_ = what;
  return *this;
}

FileActions& FileActions::copy(const State& from, std::string_view src, std::string_view dest,
                               const CopyOptions& options) {
  return add(copy_action(src, dest, options), from);
}

FileActions& FileActions::copy(std::size_t from_action, std::string_view src, std::string_view dest,
                               const CopyOptions& options) {
  if (from_action >= actions_.size()) return wrong("a copy from an action that is not before it");
  add(copy_action(src, dest, options));
  actions_.back().source_action = from_action;
  return *this;
}

FileActions& FileActions::owner(const FileOwner& owner) {
  std::optional<wire::ChownOpt>* place = actions_.empty() ? nullptr : owner_in(actions_.back().action);
  if (place == nullptr) return wrong("an owner of nothing that is made");
  place->emplace();
  (*place)->user = user_opt(owner.user);
  (*place)->group = user_opt(owner.group);
  return *this;
}

FileActions& FileActions::created(std::int64_t nanoseconds) {
  std::int64_t* place = actions_.empty() ? nullptr : timestamp_in(actions_.back().action);
  if (place == nullptr) return wrong("a time of nothing that is made");
  *place = nanoseconds;
  return *this;
}

FileActions& FileActions::mkdir(std::string_view path, std::int32_t mode) {
  wire::FileActionMkDir directory;
  directory.path = rooted_path(path);
  directory.mode = mode;
  directory.timestamp = -1;
  return add(std::move(directory));
}

FileActions& FileActions::mkdir_parents(std::string_view path, std::int32_t mode) {
  mkdir(path, mode);
  std::get<wire::FileActionMkDir>(actions_.back().action.action).make_parents = true;
  return *this;
}

FileActions& FileActions::mkfile(std::string_view path, std::int32_t mode, std::string_view data) {
  wire::FileActionMkFile file;
  file.path = rooted_path(path);
  file.mode = mode;
  file.data.value = data;
  file.timestamp = -1;
  return add(std::move(file));
}

FileActions& FileActions::rm(std::string_view path, const RmOptions& options) {
  wire::FileActionRm rm;
  rm.allow_not_found = options.allow_not_found;
  rm.allow_wildcard = options.allow_wildcard;
  rm.path = rooted_path(path);
  return add(std::move(rm));
}

FileActions& FileActions::symlink(std::string_view oldpath, std::string_view newpath) {
  wire::FileActionSymlink link;
  link.oldpath = oldpath;
  link.newpath = rooted_path(newpath);
  link.timestamp = -1;
  return add(std::move(link));
}

FileActions& FileActions::name(std::string_view name) {
  name_ = name;
  return *this;
}

FileActions& FileActions::notes(StepNotes notes) {
  notes_ = std::move(notes);
  return *this;
}

State State::file(const FileActions& actions) const {
  if (!actions.error_.empty()) return wrong(actions.error_);
  if (actions.actions_.empty()) return wrong("a file step without actions");
  auto node = std::make_shared<Node>();
  node->folds_inputs = true;
  if (!is_scratch()) node->need_state(*this);
  // BuildKit's client writes what actions need from the last action to the first, and numbers it from the first.
  for (auto entry = actions.actions_.rbegin(); entry != actions.actions_.rend(); ++entry) {
    if (!entry->source.is_scratch()) node->need_state(entry->source);
  }
  const auto input_of = [&](const State& state) {
    const std::size_t need = node->need_state(state);
    const auto known = std::find(node->inputs.begin(), node->inputs.end(), need);
    const auto number = known - node->inputs.begin();
    if (known == node->inputs.end()) node->inputs.push_back(need);
    return static_cast<std::int64_t>(number);
  };
  if (!is_scratch()) input_of(*this);

  wire::FileOp op;
  const auto inputs = static_cast<std::int64_t>(node->needs.size());
  for (const auto& entry : actions.actions_) {
    const auto position = static_cast<std::int64_t>(op.actions.size());
    wire::FileAction action = entry.action;
    action.input = position > 0 ? inputs + position - 1 : is_scratch() ? wire::no_input : 0;
    action.secondary_input = wire::no_input;
    if (!entry.source.is_scratch()) action.secondary_input = input_of(entry.source);
    if (entry.source_action) action.secondary_input = inputs + static_cast<std::int64_t>(*entry.source_action);
    look_names_up_in(action, is_scratch() ? wire::no_input : 0);
    action.output = &entry == &actions.actions_.back() ? 0 : wire::no_output;
    op.actions.push_back(std::move(action));
  }
  node->op.op = std::move(op);
  node->need_capability("file.base");
  node->note(actions.notes_);
  node->name(actions.name_);
  return on(std::move(node), 0);
}

}  // namespace cairn::solver::llb

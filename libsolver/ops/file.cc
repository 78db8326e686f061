// SPDX-License-Identifier: Apache-2.0
// A file step: actions that each change a tree, which is an input, nothing, or what another action has made. Numbers below
// the number of inputs are inputs, those from there on are actions (spec/solver 3.4). Only what outputs need is done.
#include <algorithm>

#include "libsolver/exec/user.h"
#include "libsolver/files/actions.h"
#include "libsolver/ops/ops.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Result;
using base::Status;

const wire::ChownOpt* owner_of(const wire::FileAction& action) {
  struct Owner {
    const wire::ChownOpt* operator()(const std::monostate&) { return nullptr; }
    const wire::ChownOpt* operator()(const wire::FileActionCopy& a) { return a.owner ? &*a.owner : nullptr; }
    const wire::ChownOpt* operator()(const wire::FileActionMkFile& a) { return a.owner ? &*a.owner : nullptr; }
    const wire::ChownOpt* operator()(const wire::FileActionMkDir& a) { return a.owner ? &*a.owner : nullptr; }
    const wire::ChownOpt* operator()(const wire::FileActionRm&) { return nullptr; }
    const wire::ChownOpt* operator()(const wire::FileActionSymlink& a) { return a.owner ? &*a.owner : nullptr; }
  };
  return std::visit(Owner{}, action.action);
}

const wire::NamedUserOpt* name_in(const std::optional<wire::UserOpt>& user) {
  return user ? std::get_if<wire::NamedUserOpt>(&user->user) : nullptr;
}

// What an action reads and does not change, in the numbers of the step.
std::vector<std::int64_t> read_by(const wire::FileAction& action) {
  std::vector<std::int64_t> numbers;
  if (std::holds_alternative<wire::FileActionCopy>(action.action)) numbers.push_back(action.secondary_input);
  if (const wire::ChownOpt* owner = owner_of(action)) {
    for (const auto* user : {&owner->user, &owner->group}) {
      if (const auto* name = name_in(*user)) numbers.push_back(name->input);
    }
  }
  return numbers;
}

// In which order actions are done, and which of their trees become records: outputs, and what is both changed further and
// used otherwise. Others are handed on as they are.
class FilePlan {
 public:
  static Result<FilePlan> make(std::size_t inputs, const wire::FileOp& file) {
    FilePlan plan(static_cast<std::int64_t>(inputs), file);
    TRY(plan.find_outputs());
    TRY(plan.find_order());
    return plan;
  }

  std::vector<std::size_t> order;
  std::vector<std::size_t> outputs;  // the action of each
  std::vector<bool> is_record;       // by action

 private:
  FilePlan(std::int64_t inputs, const wire::FileOp& file)
      : is_record(file.actions.size(), false), inputs_(inputs), file_(file) {}

  Status find_outputs() {
    constexpr auto none = static_cast<std::size_t>(-1);
    outputs.assign(file_.actions.size(), none);
    std::size_t count = 0;
    for (std::size_t i = 0; i < file_.actions.size(); ++i) {
      const std::int64_t output = file_.actions[i].output;
      if (output == wire::no_output) continue;
      if (output < 0 || output >= static_cast<std::int64_t>(outputs.size()) || outputs[static_cast<std::size_t>(output)] != none) {
        return base::fail(ErrorCode::invalid_argument, "file action {} has output {}, which is taken or out of order", i, output);
      }
      outputs[static_cast<std::size_t>(output)] = i;
      is_record[i] = true;
      ++count;
    }
    if (count == 0) return base::fail(ErrorCode::invalid_argument, "a file op without outputs");
    if (std::find(outputs.begin(), outputs.begin() + static_cast<std::ptrdiff_t>(count), none) != outputs.begin() + static_cast<std::ptrdiff_t>(count)) {
      return base::fail(ErrorCode::invalid_argument, "the outputs of a file op are not numbered without gaps");
    }
    outputs.resize(count);
    return {};
  }

  // What must be done before an action, checked.
  Result<std::vector<std::size_t>> needs(std::size_t index) {
    const wire::FileAction& action = file_.actions[index];
    if (std::holds_alternative<std::monostate>(action.action)) {
      return base::fail(ErrorCode::unavailable, "not supported: file action {}, of a kind that is not known", index);
    }
    std::vector<std::int64_t> numbers = read_by(action);
    numbers.push_back(action.input);
    std::vector<std::size_t> out;
    for (const std::int64_t number : numbers) {
      if (number < wire::no_input || number >= inputs_ + static_cast<std::int64_t>(file_.actions.size())) {
        return base::fail(ErrorCode::invalid_argument, "file action {} takes {}, but there are {} inputs and {} actions", index, number,
                          inputs_, file_.actions.size());
      }
      if (number >= inputs_) out.push_back(static_cast<std::size_t>(number - inputs_));
    }
    return out;
  }

  Status find_order() {
    enum class Mark { unseen, open, done };
    std::vector<Mark> marks(file_.actions.size(), Mark::unseen);
    std::vector<std::size_t> uses(file_.actions.size(), 0), changes(file_.actions.size(), 0);
    std::vector<std::size_t> stack = outputs;
    while (!stack.empty()) {
      const std::size_t index = stack.back();
      if (marks[index] != Mark::unseen) {
        stack.pop_back();
        if (marks[index] == Mark::open) order.push_back(index);
        marks[index] = Mark::done;
        continue;
      }
      marks[index] = Mark::open;
      for (const std::size_t need : TRY(needs(index))) {
        ++uses[need];
        if (marks[need] == Mark::open) return base::fail(ErrorCode::invalid_argument, "file action {} needs itself", need);
        if (marks[need] == Mark::unseen) stack.push_back(need);
      }
      const std::int64_t changed = file_.actions[index].input - inputs_;
      if (changed >= 0) ++changes[static_cast<std::size_t>(changed)];
    }
    for (std::size_t i = 0; i < uses.size(); ++i) {
      if (changes[i] > 0 && uses[i] > 1) is_record[i] = true;
    }
    return {};
  }

  std::int64_t inputs_;
  const wire::FileOp& file_;
};

// One execution of a file step.
class FileRun {
 public:
  FileRun(const Vertex& vertex, const wire::FileOp& file, const FilePlan& plan, std::span<const OptionalRef> inputs,
          const OpContext& context, cache::Publication& publication)
      : vertex_(vertex), file_(file), plan_(plan), inputs_(inputs), context_(context), publication_(publication),
        made_(file.actions.size()), views_(inputs.size() + file.actions.size()) {}

  Result<OpOutputs> run() {
    for (const std::size_t index : plan_.order) TRY(act(index), "file action {}", index);
    OpOutputs outputs;
    for (const std::size_t index : plan_.outputs) outputs.refs.push_back(made_[index].ref);
    return outputs;
  }

 private:
  // What an action has made: a record, or a tree that somebody may change further.
  struct Made {
    OptionalRef ref;
    std::optional<cache::MutableRef> fork;
    snapshot::MountedTree tree;
  };

  Status act(std::size_t index) {
    if (context_.stop.stop_requested()) return base::fail(ErrorCode::cancelled, "it was cancelled");
    const wire::FileAction& action = file_.actions[index];
    Made made = TRY(begin(action));
    const auto owner = TRY(find_owner(owner_of(action)));
    TRY(change(action, made.tree.fd(), owner));
    if (plan_.is_record[index]) {
      made.tree = {};
      cache::RecordFacts facts;
      facts.description = vertex_.name;
      made.ref = TRY(std::move(*made.fork).commit(publication_, std::move(facts)));
      made.fork.reset();
    }
    made_[index] = std::move(made);
    return {};
  }

  // The tree that the action changes.
  Result<Made> begin(const wire::FileAction& action) {
    const auto count = static_cast<std::int64_t>(inputs_.size());
    OptionalRef base;
    if (action.input >= count) {
      Made& before = made_[static_cast<std::size_t>(action.input - count)];
      if (before.fork) return std::move(before);
      base = before.ref;
    } else if (action.input >= 0) {
      base = inputs_[static_cast<std::size_t>(action.input)];
    }
    Made made;
    made.fork = TRY(context_.cache.create(std::move(base)));
    made.tree = TRY(made.fork->mount(snapshot::Access::read_write));
    return made;
  }

  Status change(const wire::FileAction& action, int tree, std::optional<Ownership> owner) {
    if (const auto* copy = std::get_if<wire::FileActionCopy>(&action.action)) {
      const CopyOptions options{.owner = owner, .stop = context_.stop,
                                .warn = [&](std::string_view line) { context_.output(Stream::err, line); }};
      return copy_paths(TRY(view(action.secondary_input)), tree, *copy, options);
    }
    if (const auto* file = std::get_if<wire::FileActionMkFile>(&action.action)) return make_file(tree, *file, owner);
    if (const auto* dir = std::get_if<wire::FileActionMkDir>(&action.action)) return make_directory(tree, *dir, owner);
    if (const auto* link = std::get_if<wire::FileActionSymlink>(&action.action)) return make_link(tree, *link, owner);
    return remove_paths(tree, std::get<wire::FileActionRm>(action.action));
  }

  // A user without a group is in the group of the same number, or in that of its line.
  Result<std::optional<Ownership>> find_owner(const wire::ChownOpt* owner) {
    if (owner == nullptr) return std::optional<Ownership>();
    Ownership out;
    if (const auto* name = name_in(owner->user)) {
      const StepUser user = TRY(resolve_user_in(TRY(view(name->input)), name->name));
      out = {user.uid, user.gid};
    } else if (owner->user && std::holds_alternative<std::uint32_t>(owner->user->user)) {
      out.uid = out.gid = std::get<std::uint32_t>(owner->user->user);
    }
    if (const auto* name = name_in(owner->group)) {
      out.gid = TRY(resolve_group_in(TRY(view(name->input)), name->name));
    } else if (owner->group && std::holds_alternative<std::uint32_t>(owner->group->user)) {
      out.gid = std::get<std::uint32_t>(owner->group->user);
    }
    return std::optional(out);
  }

  // A descriptor of what is only read; it stays open for the whole step.
  Result<int> view(std::int64_t number) {
    if (number < 0) return look(empty_, OptionalRef());
    const auto index = static_cast<std::size_t>(number);
    if (index < inputs_.size()) return look(views_[index], inputs_[index]);
    const Made& made = made_[index - inputs_.size()];
    if (made.fork) return made.tree.fd();
    return look(views_[index], made.ref);
  }

  Result<int> look(snapshot::MountedTree& tree, const OptionalRef& ref) {
    if (tree) return tree.fd();
    if (ref) {
      tree = TRY(ref->mount());
    } else {
      if (!nothing_) nothing_ = TRY(context_.cache.create(std::nullopt));
      tree = TRY(nothing_->mount(snapshot::Access::read_only));
    }
    return tree.fd();
  }

  const Vertex& vertex_;
  const wire::FileOp& file_;
  const FilePlan& plan_;
  std::span<const OptionalRef> inputs_;
  const OpContext& context_;
  cache::Publication& publication_;
  std::vector<Made> made_;
  std::optional<cache::MutableRef> nothing_;  // the empty tree, where somebody reads it
  std::vector<snapshot::MountedTree> views_;
  snapshot::MountedTree empty_;
};

class FileStep final : public PureOp {
 public:
  FileStep(std::shared_ptr<const Vertex> vertex, const wire::FileOp& file, FilePlan plan)
      : PureOp(std::move(vertex)), file_(file), plan_(std::move(plan)) {}

  Result<OpOutputs> execute(std::span<const OptionalRef> inputs, const OpContext& context,
                            cache::Publication& publication) override {
    return FileRun(*vertex_, file_, plan_, inputs, context, publication).run();
  }
  std::uint32_t outputs() const override { return static_cast<std::uint32_t>(plan_.outputs.size()); }

 private:
  const wire::FileOp& file_;  // in *vertex_
  FilePlan plan_;
};

}  // namespace

Result<std::unique_ptr<Op>> make_file(std::shared_ptr<const Vertex> vertex, const wire::FileOp& file) {
  FilePlan plan = TRY(FilePlan::make(vertex->inputs.size(), file));
  return std::make_unique<FileStep>(std::move(vertex), file, std::move(plan));
}

}  // namespace cairn::solver

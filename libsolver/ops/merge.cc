// SPDX-License-Identifier: Apache-2.0
// Steps that make trees of trees without a look into any of them: merge, diff, and the one that hands its inputs on
// (spec/solver 3.5, 3.8).
#include "libsolver/ops/ops.h"

namespace cairn::solver {
namespace {

using base::Result;

cache::RecordFacts facts_of(const Vertex& vertex) {
  cache::RecordFacts facts;
  facts.description = vertex.name;
  return facts;
}

OptionalRef input_at(std::span<const OptionalRef> inputs, std::int64_t number) {
  return number < 0 ? OptionalRef() : inputs[static_cast<std::size_t>(number)];
}

class MergeStep final : public PureOp {
 public:
  MergeStep(std::shared_ptr<const Vertex> vertex, std::vector<std::int64_t> numbers)
      : PureOp(std::move(vertex)), numbers_(std::move(numbers)) {}

  Result<OpOutputs> execute(std::span<const OptionalRef> inputs, const OpContext& context,
                            cache::Publication& publication) override {
    std::vector<cache::ImmutableRef> trees;
    for (const std::int64_t number : numbers_) {
      if (auto input = input_at(inputs, number)) trees.push_back(std::move(*input));
    }
    OpOutputs outputs;
    outputs.refs.push_back(TRY(context.cache.merge(std::move(trees), publication, facts_of(*vertex_), context.stop)));
    return outputs;
  }
  std::uint32_t outputs() const override { return 1; }

 private:
  std::vector<std::int64_t> numbers_;
};

class DiffStep final : public PureOp {
 public:
  DiffStep(std::shared_ptr<const Vertex> vertex, std::int64_t lower, std::int64_t upper)
      : PureOp(std::move(vertex)), lower_(lower), upper_(upper) {}

  Result<OpOutputs> execute(std::span<const OptionalRef> inputs, const OpContext& context,
                            cache::Publication& publication) override {
    OptionalRef lower = input_at(inputs, lower_), upper = input_at(inputs, upper_);
    OpOutputs outputs;
    OptionalRef& made = outputs.refs.emplace_back();
    if (!lower) made = std::move(upper);  // all of it is new
    else if (!upper || upper->id() != lower->id()) {
      made = TRY(context.cache.diff(*lower, std::move(upper), publication, facts_of(*vertex_), context.stop));
    }
    return outputs;
  }
  std::uint32_t outputs() const override { return 1; }

 private:
  std::int64_t lower_, upper_;
};

class PassthroughStep final : public PureOp {
 public:
  PassthroughStep(std::shared_ptr<const Vertex> vertex, std::vector<std::int64_t> numbers)
      : PureOp(std::move(vertex)), numbers_(std::move(numbers)) {}

  Result<OpOutputs> execute(std::span<const OptionalRef> inputs, const OpContext&, cache::Publication&) override {
    OpOutputs outputs;
    for (const std::int64_t number : numbers_) outputs.refs.push_back(input_at(inputs, number));
    return outputs;
  }
  std::uint32_t outputs() const override { return static_cast<std::uint32_t>(numbers_.size()); }
  Place place() const override { return Place::beside; }

 private:
  std::vector<std::int64_t> numbers_;
};

}  // namespace

Result<std::unique_ptr<Op>> make_merge(std::shared_ptr<const Vertex> vertex, const wire::MergeOp& merge) {
  std::vector<std::int64_t> numbers;
  for (const wire::InputNumber& each : merge.inputs) {
    if (each.input < wire::no_input || each.input >= static_cast<std::int64_t>(vertex->inputs.size())) {
      return base::fail(base::ErrorCode::invalid_argument, "a merge takes input {} of {}", each.input, vertex->inputs.size());
    }
    numbers.push_back(each.input);
  }
  return std::make_unique<MergeStep>(std::move(vertex), std::move(numbers));
}

Result<std::unique_ptr<Op>> make_diff(std::shared_ptr<const Vertex> vertex, const wire::DiffOp& diff) {
  CHECK(diff.lower.has_value() && diff.upper.has_value(), "loading checks that, and the numbers");
  return std::make_unique<DiffStep>(std::move(vertex), diff.lower->input, diff.upper->input);
}

Result<std::unique_ptr<Op>> make_passthrough(std::shared_ptr<const Vertex> vertex, const wire::PassthroughOp& op) {
  return std::make_unique<PassthroughStep>(std::move(vertex), op.outputs);
}

}  // namespace cairn::solver

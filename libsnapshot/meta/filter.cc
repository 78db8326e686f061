// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/meta/filter.h"

#include <algorithm>

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;

constexpr std::string_view ends_word = ",=!\" \t~<>()[]{}";

std::string text_of(SnapshotId id) { return id ? fmt::format("{}", id) : std::string(); }

}  // namespace

class Filter::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  base::Result<std::vector<Condition>> run() {
    std::vector<Condition> conditions;
    do conditions.push_back(TRY(condition()));
    while (take(","));
    if (!at_end()) return wrong("an operator or the end");
    return conditions;
  }

 private:
  bool at_end() const { return at_ == text_.size(); }
  bool take(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  base::Result<std::vector<Condition>> wrong(std::string_view expected) const { return tl::unexpected(error(expected)); }
  base::Error error(std::string_view expected) const {
    return fail(ErrorCode::invalid_argument, "filter \"{}\": {} is expected at byte {}", text_, expected, at_).value();
  }

  base::Result<Condition> condition() {
    Condition condition;
    const auto field = TRY(word("a field"));
    if (field == "name" || field == "id") {
      condition.field = Field::name;
    } else if (field == "kind") {
      condition.field = Field::kind;
    } else if (field == "parent") {
      condition.field = Field::parent;
    } else if (field == "labels." || (field == "labels" && take("."))) {
      condition.field = Field::label;
      condition.key = TRY(word("the name of a label"));
    } else if (field.starts_with("labels.")) {
      condition.field = Field::label;
      condition.key = field.substr(7);
    } else {
      return fail(ErrorCode::invalid_argument, "filter \"{}\": there is no field \"{}\"", text_, field);
    }
    if (take("==")) {
      condition.test = Test::equal;
    } else if (take("!=")) {
      condition.test = Test::different;
    } else {
      return condition;
    }
    // An empty value need not be quoted.
    if (!at_end() && text_[at_] != ',') condition.value = TRY(word("a value"));
    return condition;
  }

  base::Result<std::string> word(std::string_view expected) {
    if (take("\"")) return quoted();
    const auto start = at_;
    while (!at_end() && ends_word.find(text_[at_]) == std::string_view::npos) ++at_;
    if (at_ == start) return tl::unexpected(error(expected));
    return std::string(text_.substr(start, at_ - start));
  }

  base::Result<std::string> quoted() {
    std::string value;
    while (!at_end() && text_[at_] != '"') {
      if (text_[at_] == '\\') ++at_;
      if (at_end()) break;
      value += text_[at_++];
    }
    if (!take("\"")) return tl::unexpected(error("a quotation mark"));
    return value;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

base::Result<Filter> Filter::parse(std::string_view text) {
  Filter filter;
  filter.conditions_ = TRY(Parser(text).run());
  return filter;
}

bool Filter::matches(const SnapshotInfo& info) const {
  return std::all_of(conditions_.begin(), conditions_.end(),
                     [&](const Condition& condition) { return holds(condition, info); });
}

bool Filter::holds(const Condition& condition, const SnapshotInfo& info) {
  const auto test = [&](const std::string& value) {
    switch (condition.test) {
      case Test::present: return !value.empty();
      case Test::equal: return value == condition.value;
      case Test::different: return value != condition.value;
    }
    return false;
  };
  switch (condition.field) {
    case Field::name: return test(text_of(info.id));
    case Field::kind: return test(std::string(to_string(info.kind)));
    case Field::label: {
      const auto label = info.labels.find(condition.key);
      return test(label == info.labels.end() ? std::string() : label->second);
    }
    case Field::parent: break;
  }
  if (info.stacked_on.empty()) return test(text_of(info.parent));
  const auto& parents = info.stacked_on;
  if (condition.test == Test::different) {
    return std::all_of(parents.begin(), parents.end(), [&](SnapshotId id) { return test(text_of(id)); });
  }
  return std::any_of(parents.begin(), parents.end(), [&](SnapshotId id) { return test(text_of(id)); });
}

}  // namespace cairn::snapshot

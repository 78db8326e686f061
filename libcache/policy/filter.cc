// SPDX-License-Identifier: Apache-2.0
// Filters, with the meaning that containerd's parser and BuildKit's fields give them. RE2 has the syntax and the linear
// time of Go's expressions.
#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "libcache/conditions.h"
#include "libcache/policy.h"

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::int64_t expression_memory_max = 1 << 20;

}  // namespace

struct RecordFilter::Expression {
  explicit Expression(const std::string& source, const re2::RE2::Options& options) : re(source, options) {}
  const re2::RE2 re;
};

Result<std::shared_ptr<const RecordFilter::Expression>> RecordFilter::compile(const std::string& source) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(expression_memory_max);
  auto expression = std::make_shared<const Expression>(source, options);
  if (!expression->re.ok())
    return fail(ErrorCode::invalid_argument, "\"{}\" is no regular expression: {}", source, expression->re.error());
  return expression;
}

// What conditions mean of records. Only the first component names a field of ours; the rest, as in containerd, is looked at by
// nobody.
class FilterParser {
 public:
  static Result<RecordFilter> parse(std::string_view text) {
    RecordFilter filter;
    filter.text_ = text;
    TRY(parse_conditions(text, "type==exec.cachemount,until=24h", [&](Condition condition) {
      return add(filter, std::move(condition));
    }));
    return filter;
  }

 private:
  static base::Status add(RecordFilter& filter, Condition parsed) {
    const std::string& field = parsed.path.front();
    if (field == "until" || field == "unused-for") return add_age(filter, parsed);
    RecordFilter::Condition condition;
    condition.field = field;
    condition.op = operator_of(parsed.op);
    condition.value = std::move(parsed.value);
    if (condition.op == RecordFilter::Operator::matches) condition.expression = TRY(RecordFilter::compile(condition.value));
    filter.conditions_.push_back(std::move(condition));
    return {};
  }

  static RecordFilter::Operator operator_of(Condition::Operator op) {
    switch (op) {
      case Condition::Operator::present: return RecordFilter::Operator::present;
      case Condition::Operator::equal: return RecordFilter::Operator::equal;
      case Condition::Operator::not_equal: return RecordFilter::Operator::not_equal;
      case Condition::Operator::matches: break;
    }
    return RecordFilter::Operator::matches;
  }

  static base::Status add_age(RecordFilter& filter, const Condition& condition) {
    if (condition.op != Condition::Operator::equal) return fail(ErrorCode::invalid_argument, "want until=AGE");
    const auto age = TRY(parse_age(condition.value));
    filter.unused_for_ = std::max(age, filter.unused_for_.value_or(std::chrono::nanoseconds(0)));
    return {};
  }
};

Result<RecordFilter> RecordFilter::parse(std::string_view text) { return FilterParser::parse(text); }

namespace {

// What is there of a field: nullopt is absent, and reads as "".
std::optional<std::string> value_of(std::string_view field, const RecordInfo& record, InUse in_use) {
  const auto present = [](bool is) { return is ? std::optional<std::string>("") : std::nullopt; };
  const auto text = [](std::string value) { return value.empty() ? std::nullopt : std::optional<std::string>(std::move(value)); };
  if (field == "id") return std::to_string(record.id.value());
  if (field == "description") return text(record.facts.description);
  if (field == "type") return std::string(to_string(record.facts.type));
  if (field == "inuse") return present(in_use == InUse::yes);
  // A committed record is never writable, and no image store shares records with us.
  if (field == "immutable" || field == "private") return present(true);
  if (field != "parents") return std::nullopt;
  std::string joined;
  for (const RecordId parent : record.parents) joined += (joined.empty() ? "" : ";") + std::to_string(parent.value());
  return text(std::move(joined));
}

}  // namespace

bool RecordFilter::holds(const Condition& condition, const RecordInfo& record, InUse in_use) {
  const auto value = value_of(condition.field, record, in_use);
  switch (condition.op) {
    case Operator::present: return value.has_value();
    case Operator::equal: return value && *value == condition.value;
    case Operator::not_equal: return value.value_or("") != condition.value;
    case Operator::matches: return re2::RE2::PartialMatch(value.value_or(""), condition.expression->re);
  }
  return false;
}

bool RecordFilter::matches(const RecordInfo& record, InUse in_use) const {
  return std::all_of(conditions_.begin(), conditions_.end(),
                     [&](const Condition& condition) { return holds(condition, record, in_use); });
}

std::optional<RecordType> RecordFilter::only_type() const {
  constexpr std::array types = {RecordType::regular, RecordType::source_local, RecordType::source_image,
                                RecordType::internal, RecordType::exec_cache_mount};
  for (const Condition& condition : conditions_) {
    if (condition.field != "type" || condition.op != Operator::equal) continue;
    for (const RecordType type : types)
      if (to_string(type) == condition.value) return type;
  }
  return std::nullopt;
}

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
// What may stay in a store and what goes: an ordered list of rules, read from a file of ours or from BuildKit's
// configuration. Nothing here touches a store; the collector (prune.h) applies it.
//
// A ceiling is never a floor: a ceiling says what must go, a floor what nothing takes away. Rules are applied in their
// order, each to what the earlier ones have left.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libcache/record.h"

namespace cairn::cache {

// The file system under a store, as a policy sees it.
struct DiskSpace {
  std::int64_t total_bytes = 0;
  std::int64_t free_bytes = 0;  // bytes that are being freed already count as free
};

// An amount of space: the least of some, each in bytes or in percent of the file system. None: nothing is said.
class Space {
 public:
  struct Part {
    enum class Unit : std::uint8_t { bytes, percent };
    Unit unit = Unit::bytes;
    std::uint64_t amount = 0;
    bool operator==(const Part&) const = default;
  };
  Space() = default;
  explicit Space(std::vector<Part> parts) : parts_(std::move(parts)) {}
  static Space bytes(std::uint64_t amount) { return Space({{Part::Unit::bytes, amount}}); }
  static Space percent(std::uint64_t amount) { return Space({{Part::Unit::percent, amount}}); }

  // nullopt: nothing is said.
  std::optional<std::int64_t> on(const DiskSpace& disk) const;
  bool is_given() const { return !parts_.empty(); }
  const std::vector<Part>& parts() const { return parts_; }
  std::string str() const;  // "20%", "least of 80% and 100000000000 bytes"
  bool operator==(const Space&) const = default;

 private:
  std::vector<Part> parts_;
};

// "10GB" (10^9 bytes each), "1.5 GiB", "512", or "20%" (0 to 100). Errors: invalid_argument.
base::Result<Space> parse_space(std::string_view text);
// "48h", "1h30m", "90s", "60d", "2w". Errors: invalid_argument.
base::Result<std::chrono::nanoseconds> parse_age(std::string_view text);
std::string to_string(std::chrono::nanoseconds age);  // "48h"

enum class InUse : std::uint8_t { no, yes };

// containerd's grammar of filters, as BuildKit uses it: conditions with commas between them, all of which must hold. A
// condition is FIELD, FIELD==VALUE, FIELD!=VALUE or FIELD~=EXPRESSION (Go's syntax; found anywhere). FIELD is id,
// parents (joined by ';'), description, type, inuse, mutable, immutable, shared or private; of another, nothing is
// present. VALUE is a word, or quoted as in Go ("..." or `...`); an expression may stand between '/' or '|'. Beyond
// BuildKit: '=' is '==', and until=AGE (or unused-for=AGE) means not used for so long. The empty filter matches all.
class RecordFilter {
 public:
  // Errors: invalid_argument, with the position in the text.
  static base::Result<RecordFilter> parse(std::string_view text);
  bool matches(const RecordInfo& record, InUse in_use) const;  // all but `until`
  const std::string& text() const { return text_; }
  std::optional<std::chrono::nanoseconds> unused_for() const { return unused_for_; }
  // The one type of record that it can match, if it says so.
  std::optional<RecordType> only_type() const;

 private:
  friend class FilterParser;
  struct Expression;  // a compiled regular expression
  enum class Operator : std::uint8_t { present, equal, not_equal, matches };
  struct Condition {
    std::string field;
    Operator op = Operator::present;
    std::string value;
    std::shared_ptr<const Expression> expression;
  };
  static base::Result<std::shared_ptr<const Expression>> compile(const std::string& source);
  static bool holds(const Condition& condition, const RecordInfo& record, InUse in_use);

  std::string text_;
  std::vector<Condition> conditions_;
  std::optional<std::chrono::nanoseconds> unused_for_;
};

// One rule. It takes records in the policy's order (or, if it has an age, those not used for longest first) until what
// it wants is reached. What it says nothing of does not limit it; a rule without ceiling and free takes all it may.
struct PolicyRule {
  std::string name{};                                   // "" : none was given
  std::vector<RecordFilter> filters{};                  // one of them matches; none: every record
  std::optional<std::chrono::nanoseconds> unused_for{}; // takes only what was not used for so long, and what only that keeps
  Space ceiling{};  // live bytes of what the filters match (without filters: of the store) are to be at most this
  Space floor{};    // live bytes of the same never fall below this
  Space free{};     // so much of the file system is to be free
  bool all = false;  // also what is internal

  // The floor: a rule that wants free space has one even if none was written (see default_floor()), because space that
  // is short for other reasons must not cost the whole cache.
  Space effective_floor() const;
  // What may stay of `live` bytes; nullopt: the rule has no bound and takes all it may.
  std::optional<std::int64_t> keep_bytes(std::int64_t live_bytes, const DiskSpace& disk) const;
  // If every filter is for one type: which types. nullopt: all of them.
  std::optional<std::vector<RecordType>> only_types() const;
  bool matches(const RecordInfo& record, InUse in_use) const;  // `until` and `all` aside
};

Space default_floor();  // the least of 10 % and 10 GB

enum class PolicyOrder : std::uint8_t {
  cost,  // cheapest first: seconds to make it again, times uses, by the bytes it frees; what is new or was used counts anew
  lru,   // not used for longest first
};

struct Policy {
  PolicyOrder order = PolicyOrder::cost;
  std::vector<RecordFilter> pins;  // what one of them matches is never taken, by no rule
  std::vector<PolicyRule> rules;
  std::vector<std::string> notes;  // what the reader of the file should know: what was translated, what is risky
};

// The policy of a store without a file: what was not used for 60 days goes; ceiling: the least of 80 % and 100 GB;
// free: 20 %; floor: the least of 10 % and 10 GB.
Policy default_policy();

// Reads a policy: docs/guides/operate.md describes the file. One that has the tables of BuildKit's configuration
// (buildkitd.toml: worker.oci, worker.containerd) is translated. Rules of which none bounds everything, whatever its age,
// get a last one that does: a ceiling of 80 %. `name` is what errors call it; they say line and field.
// Errors: invalid_argument.
base::Result<Policy> parse_policy(std::string_view text, std::string_view name);

// Name and number of a rule as people see it: `rule 2 "cache mounts"`.
std::string rule_title(const Policy& policy, std::size_t index);

}  // namespace cairn::cache

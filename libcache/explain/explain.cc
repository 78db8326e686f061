// SPDX-License-Identifier: Apache-2.0
#include "libcache/explain.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "libcache/explain/content.h"
#include "libcache/explain/recipe_reader.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using Kind = Reason::Kind;

namespace {

constexpr std::size_t way_max = 1000;
constexpr std::size_t digest_digits_min = 4;  // of a vertex: what one part of the index is named by
constexpr std::size_t short_digits = 2 * std::tuple_size_v<ShortDigest>;

std::string_view type_of(const RecipeText& text) { return text.fields.empty() ? std::string_view() : std::string_view(text.fields.front().value); }

std::string hex_of(const ShortDigest& digest) {
  std::string text;
  for (const char byte : digest) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

class Explainer {
 public:
  Explainer(const ReadTxn& txn, Explanation& out) : txn_(txn), out_(out), reader_(txn, out.counts) {}

  Status explain(RecordId record) {
    const KnownRecipe* now = TRY(reader_.find(record));
    if (now == nullptr) return fail(ErrorCode::not_found, "record {}: it is not kept what it was made of", record);
    out_.record = record;
    out_.name = now->text.name;
    out_.vertex = hex_of(now->row.vertex);
    out_.made = now->row.made;
    out_.took = now->row.took;
    // It was taken since, and nobody has made it again: that is what the next solve will find.
    if (now->row.evicted && !TRY(newer_with_key(*now))) return evicted(*now), Status();
    const KnownRecipe* earlier = TRY(nearest_earlier(reader_, *now));
    while (earlier != nullptr && now != nullptr) {
      compared_with(*earlier);
      std::optional<std::uint32_t> input = TRY(compare(*earlier, *now));
      if (!input) return {};
      TRY(go_down(*input, earlier, now));
    }
    return {};
  }

 private:
  Result<bool> newer_with_key(const KnownRecipe& now) {
    for (const RecordId record : TRY(reader_.look_up(RecipeIndex::vertex, raw_of(now.row.vertex)))) {
      const KnownRecipe* other = TRY(reader_.find(record));
      if (other != nullptr && other->row.made > now.row.made && other->row.key == now.row.key) return true;
    }
    return false;
  }

  void compared_with(const KnownRecipe& earlier) {
    out_.reason.earlier = earlier.record;
    out_.reason.earlier_made = earlier.row.made;
  }

  void evicted(const KnownRecipe& earlier) {
    Reason& reason = out_.reason;
    compared_with(earlier);
    reason.kind = Kind::evicted;
    reason.evicted_at = earlier.row.evicted->when;
    reason.rule = earlier.row.evicted->rule;
    reason.build_time = earlier.row.took;
  }

  void differ(Kind kind, std::string field, std::optional<std::string> before, std::optional<std::string> after) {
    out_.reason.kind = kind;
    out_.reason.field = std::move(field);
    out_.reason.before = std::move(before);
    out_.reason.after = std::move(after);
  }

  // What makes their keys differ; or the input that does, which has to be looked into.
  Result<std::optional<std::uint32_t>> compare(const KnownRecipe& earlier, const KnownRecipe& now) {
    const std::optional<std::uint32_t> done;
    const auto fields = differing_fields(earlier.text.fields, now.text.fields);
    if (!fields.empty()) {
      const FieldDifference& first = fields.front();
      differ(Kind::field, first.name, first.before, first.after);
      return done;
    }
    if (earlier.text.operation != now.text.operation) {
      differ(Kind::field, "operation", hex_of(earlier.text.operation), hex_of(now.text.operation));
      return done;
    }
    if (earlier.row.inputs.size() != now.row.inputs.size()) {
      differ(Kind::inputs, "inputs", std::to_string(earlier.row.inputs.size()), std::to_string(now.row.inputs.size()));
      return done;
    }
    std::vector<std::uint32_t> differing;
    for (std::uint32_t i = 0; i < now.row.inputs.size(); ++i)
      if (!TRY(reader_.same(earlier.row.inputs[i], now.row.inputs[i]))) differing.push_back(i);
    if (!differing.empty()) return compare_inputs(earlier, now, differing);
    TRY(equal(earlier, now));
    return done;
  }

  Status equal(const KnownRecipe& earlier, const KnownRecipe& now) {
    if (now.row.inputs.empty() && now.row.further == earlier.row.further && earlier.row.key != now.row.key) {
      out_.reason.kind = Kind::content;
      if (out_.reason.paths_total == 0) note_paths(earlier, now, {});
    } else if (earlier.row.evicted && !now.row.asked_anew) {
      evicted(earlier);
    } else {
      out_.reason.kind = now.row.asked_anew ? Kind::asked : Kind::again;
    }
    // An input that was asked to run again in the same solve: so all that is made of it runs again, too.
    for (std::uint32_t i = 0; out_.reason.kind == Kind::again && i < now.row.inputs.size(); ++i) {
      const KnownRecipe* input = TRY(reader_.find(now.row.inputs[i].record));
      if (input == nullptr || input->row.made < now.row.solve_began() || input->record == earlier.row.inputs[i].record) continue;
      if (input->row.asked_anew) out_.reason.kind = Kind::asked;
      if (input->row.asked_anew) out_.way.push_back({i, input->text.name, input->record});
    }
    return {};
  }

  // The paths in which two trees differ, of those that are selected; whether there are any that are known.
  bool note_paths(const KnownRecipe& earlier, const KnownRecipe& now, const std::vector<Selection>& selections) {
    auto paths = differing_paths(txn_, {earlier.record, earlier.row.rules}, {now.record, now.row.rules}, selections, out_.counts);
    if (!paths || !*paths || (*paths)->total == 0) return false;
    out_.reason.paths = std::move((*paths)->paths);
    out_.reason.paths_total = (*paths)->total;
    return true;
  }

  Result<std::optional<std::uint32_t>> compare_inputs(const KnownRecipe& earlier, const KnownRecipe& now, const std::vector<std::uint32_t>& differing) {
    const std::vector<RecipeRow::Input>&old = earlier.row.inputs, &inputs = now.row.inputs;
    const std::uint32_t first = differing.front();
    for (const std::uint32_t other : differing) {
      const bool swapped = other != first && TRY(reader_.same(old[first], inputs[other])) && TRY(reader_.same(old[other], inputs[first]));
      if (!swapped) continue;
      differ(Kind::inputs, fmt::format("inputs {} and {}", first, other), TRY(names_of(old[first], old[other])),
             TRY(names_of(inputs[first], inputs[other])));
      return std::optional<std::uint32_t>();
    }
    const KnownRecipe* was = TRY(reader_.find(old[first].record));
    const KnownRecipe* is = TRY(reader_.find(inputs[first].record));
    if (was == nullptr || is == nullptr) {
      out_.way.push_back({first, is != nullptr ? is->text.name : "", inputs[first].record});
      out_.reason.kind = Kind::unknown;
      return std::optional<std::uint32_t>();
    }
    if (type_of(was->text) != type_of(is->text)) {
      differ(Kind::inputs, fmt::format("input {}", first), was->text.name, is->text.name);
      return std::optional<std::uint32_t>();
    }
    // The paths that decide are those of the step itself, however far it is to what is to blame.
    const RecipeText::Input& said = now.text.inputs[first];
    if (said.by_content && out_.way.empty()) note_paths(*was, *is, said.selections);
    return std::optional<std::uint32_t>(first);
  }

  Status go_down(std::uint32_t input, const KnownRecipe*& earlier, const KnownRecipe*& now) {
    const RecipeRow::Input& was = earlier->row.inputs[input];
    const RecipeRow::Input& is = now->row.inputs[input];
    earlier = TRY(reader_.find(was.record));
    now = TRY(reader_.find(is.record));
    out_.way.push_back({input, now->text.name, is.record});
    if (out_.way.size() < way_max) return {};
    out_.reason.kind = Kind::unknown;
    now = nullptr;
    return {};
  }

  Result<std::string> names_of(const RecipeRow::Input& a, const RecipeRow::Input& b) {
    std::string names;
    for (const RecipeRow::Input* input : {&a, &b}) {
      const KnownRecipe* recipe = TRY(reader_.find(input->record));
      names += (names.empty() ? "" : ", ") + (recipe != nullptr ? recipe->text.name : fmt::format("record {}", input->record));
    }
    return names;
  }

  const ReadTxn& txn_;
  Explanation& out_;
  RecipeReader reader_;
};

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// Of vertices whose digests begin so: those in one part of the index, as the digits name it.
Status find_vertices(const ReadTxn& txn, RecipeReader& reader, std::string_view digits, std::vector<RecordId>& found) {
  std::string raw;
  for (std::size_t i = 0; i + 1 < digest_digits_min; i += 2) {
    unsigned byte = 0;
    std::from_chars(digits.data() + i, digits.data() + i + 2, byte, 16);
    raw += static_cast<char>(byte);
  }
  const BucketId bucket = bucket_of(RecipeIndex::vertex, raw + std::string(4, '\0')).bucket;
  auto row = txn.get(table::recipe_index, bucket);
  if (!row && row.error().code == ErrorCode::corrupt) return {};
  const auto entries = TRY(std::move(row));
  if (!entries) return {};
  for (const RecipeBucket::Entry& entry : entries->entries) {
    const KnownRecipe* recipe = TRY(reader.find(entry.record));
    if (recipe != nullptr && hex_of(recipe->row.vertex).starts_with(digits.substr(0, short_digits))) found.push_back(entry.record);
  }
  return {};
}

}  // namespace

std::string_view to_string(Kind kind) {
  static constexpr std::array<std::string_view, 8> names = {"never_seen", "evicted", "field", "inputs", "content", "asked", "again", "unknown"};
  return names[static_cast<std::size_t>(kind)];
}

Result<Explanation> explain(base::lmdb::Env& env, RecordId record) {
  Explanation explanation;
  TRY(env.view([&](ReadTxn& txn) { return Explainer(txn, explanation).explain(record); }));
  return explanation;
}

Result<std::vector<FoundStep>> find_steps(base::lmdb::Env& env, std::string_view step) {
  std::vector<FoundStep> found;
  TRY(env.view([&](ReadTxn& txn) -> Status {
    ExplainCounts counts;
    RecipeReader reader(txn, counts);
    std::vector<RecordId> records;
    const std::string_view digits = step.starts_with("sha256:") ? step.substr(7) : step;
    if (digits.size() >= digest_digits_min && digits.size() <= 64 && is_hex(digits)) TRY(find_vertices(txn, reader, digits, records));
    const std::string_view name = step.substr(0, owner_label_bytes_max);
    for (const RecordId record : TRY(reader.look_up(RecipeIndex::name, spread(name)))) {
      const KnownRecipe* recipe = TRY(reader.find(record));
      const bool known = recipe == nullptr || std::find(records.begin(), records.end(), record) != records.end();
      if (!known && recipe->text.name == name) records.push_back(record);
    }
    for (const RecordId record : records) {
      const KnownRecipe* recipe = TRY(reader.find(record));
      found.push_back({record, recipe->text.name, hex_of(recipe->row.vertex), recipe->row.made});
    }
    return {};
  }));
  std::sort(found.begin(), found.end(), [](const FoundStep& a, const FoundStep& b) { return std::tuple(a.made, a.record) > std::tuple(b.made, b.record); });
  return found;
}

}  // namespace cairn::cache

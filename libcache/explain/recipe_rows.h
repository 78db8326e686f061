// SPDX-License-Identifier: Apache-2.0
// The tables of recipes. A record has a small row that names a text; texts are stored once, however many records were made by
// that operation. An index leads from a vertex, a name, an operation or a first input to the newest records that have it. Digests
// are cut to 16 bytes here: nothing is found or trusted by them, they only tell what differs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libcache/pages/page_rows.h"
#include "libcache/recipe.h"

namespace cairn::cache {

using ShortDigest = std::array<char, 16>;
ShortDigest shortened(std::string_view raw);  // of 16 bytes at least
inline std::string_view raw_of(const ShortDigest& digest) { return {digest.data(), digest.size()}; }

struct RecipeRow {
  struct Input {
    RecordId record;
    std::optional<ShortDigest> key{};  // where the recipe of that record does not say it
    std::optional<ShortDigest> content{};
    bool operator==(const Input&) const = default;
  };
  ShortDigest text{};    // names its row of recipe_texts
  ShortDigest key{};     // under which the record was stored
  ShortDigest vertex{};
  base::WallTime made{};
  std::chrono::microseconds took{0};
  std::chrono::microseconds since_begin{0};  // of its solve, until it was made
  bool asked_anew = false;
  bool further = false;                      // the step has made others, one of which the index leads to
  DigestRules rules = DigestRules::scan;     // of its tree
  std::vector<Input> inputs;
  struct Evicted {
    base::WallTime when{};
    std::string rule;
    bool operator==(const Evicted&) const = default;
  };
  std::optional<Evicted> evicted{};          // the record was taken
  base::WallTime solve_began() const { return made - since_begin; }
  bool operator==(const RecipeRow&) const = default;
};

struct RecipeText {
  struct Input {
    bool by_content = false;
    std::vector<Selection> selections{};
    bool operator==(const Input&) const = default;
  };
  std::string name;
  ShortDigest operation{};
  std::vector<RecipeField> fields;
  std::vector<Input> inputs;
  bool operator==(const RecipeText&) const = default;
};
inline constexpr std::size_t recipe_text_bytes_max = 1u << 20;  // unpacked

// As it is stored: how many rows name it, then the text.
struct RecipeTextRow {
  std::uint64_t users = 0;
  RecipeText text;
  bool operator==(const RecipeTextRow&) const = default;
};
ShortDigest name_of_text(const RecipeText& text);

// A part of the index: what hashes alike in its first 16 bits, ascending by record.
struct RecipeBucket {
  struct Entry {
    std::uint32_t hash = 0;
    RecordId record;
    bool operator==(const Entry&) const = default;
  };
  std::vector<Entry> entries;
  bool operator==(const RecipeBucket&) const = default;
};
using BucketId = base::Id<struct RecipeBucketMeaning>;

enum class RecipeIndex : std::uint8_t { vertex = 0, name = 1, operation = 2, first_input = 3 };
struct BucketPlace {
  BucketId bucket;
  std::uint32_t hash = 0;
};
// digest: at least 6 bytes that are spread evenly.
BucketPlace bucket_of(RecipeIndex index, std::string_view digest);
std::string spread(std::string_view name);  // a digest of a name, for that

// The page of a tree that a record had which is gone.
struct KeptTreeRow {
  PageName page;
  bool operator==(const KeptTreeRow&) const = default;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::RecipeRow> {
  static std::string encode(const cache::RecipeRow& row);
  static Result<cache::RecipeRow> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::RecipeTextRow> {
  static std::string encode(const cache::RecipeTextRow& row);
  static Result<cache::RecipeTextRow> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::RecipeBucket> {
  static std::string encode(const cache::RecipeBucket& row);
  static Result<cache::RecipeBucket> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::KeptTreeRow> {
  static std::string encode(const cache::KeptTreeRow& row);
  static Result<cache::KeptTreeRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

using base::lmdb::Precious;
using base::lmdb::TableSpec;

inline constexpr TableSpec<RecordId, RecipeRow> recipes{{"cache.recipes", Precious::ephemeral}};
// By the first 16 bytes of the SHA-256 of the text.
inline constexpr TableSpec<std::string, RecipeTextRow> recipe_texts{{"cache.recipe_texts", Precious::ephemeral}};
inline constexpr TableSpec<BucketId, RecipeBucket> recipe_index{{"cache.recipe_index", Precious::ephemeral}};
inline constexpr TableSpec<RecordId, KeptTreeRow> recipe_trees{{"cache.recipe_trees", Precious::ephemeral}};

}  // namespace cairn::cache::table

// SPDX-License-Identifier: Apache-2.0
// Recipes and explanations below real solves (those are in tests/e2e/explain_test.cc): bounds, damage, and what an answer costs.
#include "libcache/explain.h"

#include <gmock/gmock.h>

#include "libcache/explain/compare.h"
#include "libcache/explain/recipe_rows.h"
#include "libcache/explain/recipe_writer.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/recipes.h"

namespace cairn::cache {
namespace {

using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;
using ::testing::IsEmpty;
using Kind = Reason::Kind;

std::uint64_t count(OpenStore& store, const base::lmdb::RawTableSpec& table) {
  return must(store.env->view([&](ReadTxn& txn) { return txn.count(table); }));
}

// What a table takes: its keys, its values with their checksums, and what LMDB needs for a row.
std::uint64_t bytes_of(OpenStore& store, const base::lmdb::RawTableSpec& table) {
  std::uint64_t bytes = 0;
  must(store.env->view([&](ReadTxn& txn) {
    return txn.scan_raw(table, "", "", [&](std::string_view key, std::string_view value) -> base::Result<Scan> {
      bytes += key.size() + value.size() + 4 + 10;
      return Scan::next;
    });
  }));
  return bytes;
}

// A step of one field, published with a record of its own.
ImmutableRef make_step(OpenStore& store, int n, Recipe recipe) {
  Publication publication;
  ImmutableRef ref = store.commit(publication, {}, "file", "bytes " + std::to_string(n));
  publication.executed({recipe.vertex, recipe.name, {}});
  publication.add_result(key(n), ref);
  recipe.solve_began = store.clock.now();
  store.clock.advance(std::chrono::seconds(1));
  publication.made_of(std::make_shared<const Recipe>(std::move(recipe)));
  must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  return ref;
}

Recipe one_field(const std::string& name, const std::string& value) {
  Recipe recipe;
  recipe.vertex = base::sha256("vertex " + name + value);
  recipe.name = name;
  recipe.operation = base::sha256(value);
  recipe.fields = {{"type", "exec"}, {"argument 0", value}};
  return recipe;
}

TEST(Recipes, AreBoundedAndTheOldestGo) {
  OpenStore store;
  const test::RecipeModel model{.steps = 20, .times = 5};
  ASSERT_OK(test::put_model(*store.env, model, 30));
  EXPECT_EQ(count(store, table::recipes), 30u);
  EXPECT_EQ(count(store, table::recipe_texts), 20u);
  EXPECT_THAT(store.findings(), IsEmpty());
  EXPECT_EQ(explain(*store.env, test::modelled_record(model, 1, 0)).error().code, base::ErrorCode::not_found);
  EXPECT_EQ(must(explain(*store.env, test::modelled_record(model, 12, 4))).reason.kind, Kind::content);
  ASSERT_OK(test::put_model(*store.env, {.steps = 3, .times = 1}, 2));  // a lower bound is caught up with
  EXPECT_LT(count(store, table::recipes), 30u);
}

TEST(Recipes, AreAsManyAsStoreTomlSaysAndNoneIfItSaysSo) {
  EXPECT_EQ(must(parse_options("explain_steps = 7\n", "store.toml")).recipes_max, 7u);
  EXPECT_EQ(must(parse_options("", "store.toml")).recipes_max, 1'000'000u);
  for (const char* wrong : {"explain_steps = -1\n", "explain_steps = \"all\"\n"}) {
    const auto options = parse_options(wrong, "store.toml");
    ASSERT_FALSE(options);
    EXPECT_NE(options.error().message.find("explain_steps"), std::string::npos) << options.error().message;
  }
  OpenStore store;
  store.close();
  store.cache_options.recipes_max = 0;
  store.open();
  const RecordId made = make_step(store, 1, one_field("step", "a")).id();
  EXPECT_EQ(count(store, table::recipes), 0u);
  const auto why = explain(*store.env, made);
  ASSERT_FALSE(why);
  EXPECT_EQ(why.error().message, fmt::format("record {}: it is not kept what it was made of", made));
}

TEST(Recipes, OfOneOperationShareTheirTextAndTakeFewBytesOnAverage) {
  OpenStore store;
  const test::RecipeModel model{.steps = 500, .times = 10};
  ASSERT_OK(test::put_model(*store.env, model, 1'000'000));
  const std::uint64_t records = count(store, table::recipes);
  ASSERT_EQ(records, 5000u);
  EXPECT_EQ(count(store, table::recipe_texts), 500u);
  const std::uint64_t bytes = bytes_of(store, table::recipes) + bytes_of(store, table::recipe_texts) + bytes_of(store, table::recipe_index);
  EXPECT_LE(bytes / records, 256u) << bytes_of(store, table::recipes) << " " << bytes_of(store, table::recipe_texts) << " "
                                   << bytes_of(store, table::recipe_index);
  EXPECT_THAT(store.findings(), IsEmpty());
}

TEST(Recipes, ADamagedRowCostsAnAnswerAndNoPublication) {
  OpenStore store;
  const RecordId first = make_step(store, 1, one_field("step", "a")).id();
  const RecordId second = make_step(store, 2, one_field("step", "b")).id();
  const auto why = must(explain(*store.env, second));
  EXPECT_EQ(why.reason.kind, Kind::field);
  EXPECT_EQ(why.reason.field, "argument 0");
  EXPECT_EQ(why.reason.before, "a");
  EXPECT_EQ(why.reason.after, "b");
  EXPECT_EQ(why.reason.earlier, first);
  ASSERT_OK(store.env->update([&](WriteTxn& txn) -> base::Status {
    TRY(txn.put_raw(table::recipes, base::Codec<RecordId>::encode(first), "\x01rubbish"));
    const BucketPlace place = bucket_of(RecipeIndex::name, spread("step"));
    return txn.put_raw(table::recipe_index, base::Codec<BucketId>::encode(place.bucket), "\x07");
  }));
  const RecordId third = make_step(store, 3, one_field("step", "c")).id();
  const auto again = must(explain(*store.env, third));
  EXPECT_EQ(again.reason.kind, Kind::never_seen) << "the index was lost";
  EXPECT_EQ(must(find_steps(*store.env, "step")).size(), 1u);
  EXPECT_EQ(store.results(key(3)), std::vector<RecordId>{third});
}

TEST(Recipes, CheckFindsWhatIsWrongAndRepairMakesItRight) {
  OpenStore store;
  const test::RecipeModel model{.steps = 10, .times = 3};
  const auto wrong = [&](const char* what, const std::function<base::Status(WriteTxn&)>& plant) {
    SCOPED_TRACE(what);
    ASSERT_OK(test::put_model(*store.env, model, 1000));
    ASSERT_THAT(store.findings(), IsEmpty());
    ASSERT_OK(store.env->update(plant));
    EXPECT_THAT(store.findings(), ::testing::Not(IsEmpty()));
    EXPECT_GT(must(store.cache->repair_rows()), 0u);
    EXPECT_THAT(store.findings(), IsEmpty());
    EXPECT_EQ(must(store.cache->repair_rows()), 0u);
  };
  const RecordId record = test::modelled_record(model, 5, 1);
  const auto text_of = [&](WriteTxn& txn) -> base::Result<std::string> {
    return std::string(raw_of(TRY(txn.get(table::recipes, record))->text));
  };
  wrong("a text is gone", [&](WriteTxn& txn) -> base::Status { return txn.erase(table::recipe_texts, TRY(text_of(txn))); });
  wrong("a text is counted wrong", [&](WriteTxn& txn) -> base::Status {
    const std::string name = TRY(text_of(txn));
    auto row = TRY(txn.get(table::recipe_texts, name));
    ++row->users;
    return txn.put(table::recipe_texts, name, *row);
  });
  wrong("a text has other inputs", [&](WriteTxn& txn) -> base::Status {
    auto row = TRY(txn.get(table::recipes, record));
    row->inputs.pop_back();
    return txn.put(table::recipes, record, *row);
  });
  wrong("the index leads to another", [&](WriteTxn& txn) -> base::Status {
    return txn.put(table::recipe_index, BucketId(7), RecipeBucket{{{42, record}}});
  });
}

TEST(Recipes, TreesThatAreGoneKeepTheirPagesUpToABound) {
  OpenStore store;
  store.cache->stop_collector();
  std::vector<RecordId> records;
  for (int n = 0; n < 20; ++n) {
    Recipe recipe;
    recipe.vertex = base::sha256("directory");
    recipe.name = "directory";
    recipe.fields = {{"type", "source"}};
    const ImmutableRef ref = make_step(store, n, recipe);
    ASSERT_OK(ref.content_digest({}));
    records.push_back(ref.id());
  }
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(count(store, table::records), 0u);
  EXPECT_EQ(count(store, table::recipe_trees), kept_trees_max);
  EXPECT_THAT(store.findings(), IsEmpty());
  const auto why = must(explain(*store.env, records[19]));
  EXPECT_EQ(why.reason.kind, Kind::evicted);
  Recipe recipe;
  recipe.vertex = base::sha256("directory");
  recipe.name = "directory";
  recipe.fields = {{"type", "source"}};
  const ImmutableRef ref = make_step(store, 100, recipe);
  ASSERT_OK(ref.content_digest({}));
  store.make({}, "carries the pages");
  const auto changed = must(explain(*store.env, ref.id()));
  EXPECT_EQ(changed.reason.kind, Kind::content);
  ASSERT_EQ(changed.reason.paths.size(), 1u);
  EXPECT_EQ(changed.reason.paths[0].path, "file");
}

// What an answer reads follows how many steps are alike, at most 16 each of four kinds, not how many there are.
TEST(Explanations, ReadTheSameRowsHoweverManyRecipesThereAre) {
  std::uint64_t few = 0;
  for (const std::uint64_t steps : {100u, 2000u}) {
    OpenStore store;
    const test::RecipeModel model{.steps = steps, .times = 4};
    ASSERT_OK(test::put_model(*store.env, model, 1'000'000));
    const Explanation why = must(explain(*store.env, test::modelled_record(model, 55, 3)));
    EXPECT_EQ(why.reason.kind, Kind::content) << "of the directory, four inputs below";
    EXPECT_EQ(why.reason.earlier, test::modelled_record(model, 50, 2));
    EXPECT_LE(why.counts.rows_read, 150u);
    if (few == 0) few = why.counts.rows_read;
    EXPECT_EQ(why.counts.rows_read, few);
  }
}

TEST(Explanations, StepsAreFoundByNameAndByHowTheirDigestBegins) {
  OpenStore store;
  const RecordId first = make_step(store, 1, one_field("step", "a")).id(), second = make_step(store, 2, one_field("step", "b")).id();
  const auto by_name = must(find_steps(*store.env, "step"));
  ASSERT_EQ(by_name.size(), 2u);
  EXPECT_EQ(by_name[0].record, second) << "the newest comes first";
  EXPECT_EQ(by_name[1].record, first);
  const std::string digest = base::to_hex(base::sha256("vertex stepa"));
  EXPECT_EQ(by_name[1].vertex, digest.substr(0, 32));
  for (const std::string& wanted : {digest, digest.substr(0, 4), digest.substr(0, 7), "sha256:" + digest, "sha256:" + digest.substr(0, 40)}) {
    const auto found = must(find_steps(*store.env, wanted));
    ASSERT_EQ(found.size(), 1u) << wanted;
    EXPECT_EQ(found[0].record, first);
  }
  std::string other = digest.substr(0, 6);
  other.back() = other.back() == '0' ? '1' : '0';
  EXPECT_TRUE(must(find_steps(*store.env, other)).empty());
  for (const std::string& nobody : {std::string(), std::string("s"), std::string("ste"), digest.substr(0, 3), std::string("sha256:"), std::string("zzzz")}) EXPECT_TRUE(must(find_steps(*store.env, nobody)).empty()) << nobody;
}

TEST(Explanations, OfFieldsTakeTheFirstThatDiffers) {
  const std::vector<RecipeField> before = {{"a", "1"}, {"b", "2"}, {"c", "3"}};
  const auto names = [](const std::vector<FieldDifference>& differences) {
    std::string all;
    for (const FieldDifference& each : differences) all += each.name + (each.before ? "-" : "") + (each.after ? "+" : "") + " ";
    return all;
  };
  EXPECT_EQ(names(differing_fields(before, before)), "");
  EXPECT_EQ(names(differing_fields(before, {{"a", "1"}, {"b", "9"}, {"c", "8"}})), "b-+ c-+ ");
  EXPECT_EQ(names(differing_fields(before, {{"b", "2"}, {"c", "3"}, {"d", "4"}})), "a- d+ ");
  EXPECT_EQ(names(differing_fields(before, {{"b", "2"}, {"a", "1"}, {"c", "3"}})), "order-+ ");
  EXPECT_EQ(names(differing_fields({{"a", "1"}, {"a", "2"}}, {{"a", "2"}, {"a", "1"}})), "a-+ a-+ ");
}

TEST(Explanations, AStepOnTheSameInputIsAnOlderVersionOnlyIfItIsAlike) {
  OpenStore store;
  const ImmutableRef base = store.make({}, "base", key(50));
  const auto on_base = [&](const std::string& name, const std::string& script) {
    Recipe recipe = one_field(name, script);
    recipe.inputs = {{.record = base.id(), .key = key(50)}};
    return recipe;
  };
  make_step(store, 1, on_base("apt-get install -y gcc", "apt-get install -y gcc"));
  const RecordId other = make_step(store, 2, on_base("make all", "make all")).id();
  EXPECT_EQ(must(explain(*store.env, other)).reason.kind, Kind::never_seen);
  const RecordId alike = make_step(store, 3, on_base("apt-get install -y gcc make", "apt-get install -y gcc make")).id();
  const Explanation why = must(explain(*store.env, alike));
  EXPECT_EQ(why.reason.kind, Kind::field);
  EXPECT_EQ(why.reason.before, "apt-get install -y gcc");
}

}  // namespace
}  // namespace cairn::cache

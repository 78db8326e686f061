// SPDX-License-Identifier: Apache-2.0
#include "libbase/id.h"

#include <type_traits>
#include <unordered_set>

#include <gmock/gmock.h>

namespace cairn::base {
namespace {

using RedId = Id<struct Red>;
using BlueId = Id<struct Blue>;
static_assert(!std::is_constructible_v<RedId, BlueId> && !std::is_convertible_v<std::uint64_t, RedId>);

TEST(IdTest, zero_is_none) {
  EXPECT_FALSE(RedId());
  EXPECT_EQ(RedId(), RedId(0));
  EXPECT_TRUE(RedId(1));
}

TEST(IdTest, orders_hashes_and_prints_its_number) {
  EXPECT_LT(RedId(2), RedId(10));
  EXPECT_EQ((std::unordered_set<RedId>{RedId(1), RedId(2), RedId(1)}.size()), 2u);
  EXPECT_EQ(fmt::format("{}", RedId(42)), "42");
  EXPECT_EQ(RedId(42).value(), 42u);
}

}  // namespace
}  // namespace cairn::base

// SPDX-License-Identifier: Apache-2.0
// The tables that the tests of this folder use, and short ways to read and write them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "libbase/lmdb/env.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {

struct Counter {
  std::uint64_t value = 0;
};

}  // namespace cairn::test

template <>
struct cairn::base::Codec<cairn::test::Counter> {
  static std::string encode(const test::Counter& counter) { return ByteWriter().u8(1).u64(counter.value).take(); }
  static Result<test::Counter> decode(std::string_view bytes) {
    ByteReader reader(bytes);
    if (TRY(reader.u8()) != 1) return fail(ErrorCode::corrupt, "counter of another version");
    const std::uint64_t value = TRY(reader.u64());
    TRY(reader.expect_end());
    return test::Counter{value};
  }
};

namespace cairn::test {

namespace lmdb = base::lmdb;

inline constexpr lmdb::TableSpec<std::string, Counter> counters{{"test.counters", lmdb::Precious::persistent}};
inline constexpr lmdb::TableSpec<std::string, std::string> words{{"test.words", lmdb::Precious::rebuildable}};
inline constexpr lmdb::TableSpec<std::string, std::string> others{{"test.others", lmdb::Precious::ephemeral}};
inline constexpr std::array<const lmdb::RawTableSpec*, 2> tables{&counters, &words};

inline base::Result<std::unique_ptr<lmdb::Env>> open_env(const base::HostPath& dir, lmdb::Env::Options options = {}) {
  return lmdb::Env::open(dir, tables, options);
}
inline base::Result<std::unique_ptr<lmdb::Env>> open_read_only(const base::HostPath& dir,
                                                               lmdb::Env::Options options = {}) {
  options.mode = lmdb::Mode::read_only;
  return lmdb::Env::open(dir, tables, options);
}

inline base::Status put_word(lmdb::Env& env, const std::string& key, const std::string& value) {
  return env.update([&](lmdb::WriteTxn& txn) { return txn.put(words, key, value); });
}
// "-" where there is none.
inline std::string word(lmdb::ReadTxn& txn, const std::string& key) { return txn.get(words, key).value().value_or("-"); }
inline std::string word(lmdb::Env& env, const std::string& key) {
  return env.view([&](lmdb::ReadTxn& txn) { return base::Result<std::string>(word(txn, key)); }).value();
}

// The code that a result failed with; nullopt if it did not.
template <class T>
std::optional<base::ErrorCode> code_of(const base::Result<T>& result) {
  if (result) return std::nullopt;
  return result.error().code;
}

}  // namespace cairn::test

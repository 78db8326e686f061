// SPDX-License-Identifier: Apache-2.0
// The second description of all facts (docs/formats/journal.md): what each transaction changed, in the packs, and now and
// then all rows at once.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libcache/blobs/packs.h"

namespace cairn::cache {

struct Store;

struct JournalRow {
  std::uint64_t number = 0;            // of the last transaction
  std::uint64_t bytes = 0;             // of changes since the last checkpoint
  std::uint64_t first_pack = 0;        // of the last checkpoint; 0: there was none
  std::uint64_t checkpoint_bytes = 0;
};

// Facts, and what would have to be derived from them. What only saves work begins empty after a rebuild.
bool is_journaled(const base::lmdb::RawTableSpec& table);
// Of both libraries.
std::vector<const base::lmdb::RawTableSpec*> journaled_tables();

// For Env::set_journal. Keeps the packs.
base::lmdb::ChangeJournal make_journal(std::shared_ptr<Packs> packs);

// One row of a list of changes.
struct RowChange {
  std::string_view table, key;
  std::optional<std::string_view> value;  // none: it was erased
};
std::string encode_put(std::string_view table, std::string_view key, std::string_view value);
// Errors: corrupt, those of visit.
base::Status each_change(std::string_view changes, const std::function<base::Status(const RowChange&)>& visit);

// The payload of the entry that ends a checkpoint.
struct CheckpointEnd {
  std::uint64_t first_pack = 0;
  std::uint64_t entries = 0;  // of rows
};
std::string encode_checkpoint_end(const CheckpointEnd& end);
base::Result<CheckpointEnd> decode_checkpoint_end(std::string_view bytes);

// Whether the changes since the last checkpoint are more than 16 MiB and twice its size; or a store has rows from before
// it had a journal.
base::Result<bool> checkpoint_is_due(base::lmdb::Env& env);
// Writes all rows, and gives the space of older entries of the journal back. Readers and writers go on meanwhile. Stopping
// leaves the last checkpoint in force. Errors: io, no_space, cancelled.
base::Status write_checkpoint(Store& store, std::stop_token stop);

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::JournalRow> {
  static std::string encode(const cache::JournalRow& row);
  static Result<cache::JournalRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<std::string, JournalRow> journal{
    {"cache.journal", base::lmdb::Precious::ephemeral}};

}  // namespace cairn::cache::table

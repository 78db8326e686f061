// SPDX-License-Identifier: Apache-2.0
// Every decoder of a row of libcache's tables, and of root/late. The first byte chooses the decoder. What decodes must
// encode to bytes that decode again.
#include <cstddef>
#include <cstdint>

#include "libcache/account/scrub_totals.h"
#include "libcache/account/totals.h"
#include "libcache/blobs/chunk_rows.h"
#include "libcache/blobs/journal.h"
#include "libcache/blobs/quarantine.h"
#include "libcache/entries/entry_rows.h"
#include "libcache/entries/promotion_rows.h"
#include "libcache/explain/recipe_rows.h"
#include "libcache/gc/tombstones.h"
#include "libcache/keys/key_rows.h"
#include "libcache/keys/operations.h"
#include "libcache/names/tree_name_rows.h"
#include "libcache/pages/page_rows.h"
#include "libcache/history/history_rows.h"
#include "libcache/history/ledger_rows.h"
#include "libcache/records/cache_mount_rows.h"
#include "libcache/records/layer_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/resolved_rows.h"
#include "libcache/records/use_times.h"
#include "libcache/trees/seal_rows.h"
#include "libcache/trees/stat_rows.h"

namespace {

using namespace cairn;

template <class T>
void decode(std::string_view bytes) {
  const auto value = base::Codec<T>::decode(bytes);
  if (value) CHECK(base::Codec<T>::decode(base::Codec<T>::encode(*value)).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 49) {
    case 0: decode<cache::RecordRow>(bytes); break;
    case 1: decode<cache::TreeDigestRow>(bytes); break;
    case 2: decode<cache::KeyResultRow>(bytes); break;
    case 3: decode<cache::KeyLinkRow>(bytes); break;
    case 4: decode<cache::BlobRow>(bytes); break;
    case 5: decode<cache::Present>(bytes); break;
    case 6: decode<std::tuple<cache::RecordId, KeyDigest>>(bytes); break;
    case 7: decode<std::tuple<KeyDigest, cache::LinkWay, KeyDigest>>(bytes); break;
    case 8: (void)cache::decode_late_facts(bytes); break;
    case 9: decode<cache::StatRow>(bytes); break;
    case 10: decode<cache::StatKey>(bytes); break;
    case 11:
      if (const auto page = cache::decode_page(bytes)) CHECK(cache::decode_page(cache::encode(*page)).has_value());
      break;
    case 12: decode<cache::PageCount>(bytes); break;
    case 13: decode<cache::PageRoot>(bytes); break;
    case 14: decode<cache::PackRow>(bytes); break;
    case 15: decode<cache::JournalRow>(bytes); break;
    case 16: decode<cache::QuarantineRow>(bytes); break;
    case 17: decode<cache::ScrubRow>(bytes); break;
    case 18: decode<cache::TotalKey>(bytes); break;
    case 19: decode<cache::Totals>(bytes); break;
    case 20: decode<cache::LeaseRow>(bytes); break;
    case 21: decode<std::tuple<cache::LeaseEnd, cache::LeaseId>>(bytes); break;
    case 22: decode<cache::Counters>(bytes); break;
    case 23: decode<cache::LayerRow>(bytes); break;
    case 24: decode<cache::DiffBlobRow>(bytes); break;
    case 25: decode<cache::TreeOwnerRow>(bytes); break;
    case 26: decode<cache::PlacesRow>(bytes); break;
    case 27: decode<cache::CollectorRow>(bytes); break;
    case 28: decode<cache::Tombstone>(bytes); break;
    case 29: decode<cache::RegretRow>(bytes); break;
    case 30: decode<cache::ResolvedRow>(bytes); break;
    case 31:
      if (const auto list = base::Codec<cache::ChunkList>::decode(bytes)) CHECK(base::Codec<cache::ChunkList>::encode(*list) == bytes);
      break;
    case 32: decode<std::tuple<BlobDigest, BlobDigest>>(bytes); break;
    case 33: decode<cache::OperationRow>(bytes); break;
    case 34: decode<cache::SealRow>(bytes); break;
    case 35: decode<cache::TreeScrubRow>(bytes); break;
    case 36: decode<cache::SolveRow>(bytes); break;
    case 37:
      for (const std::string_view row : cache::decode_waiting(bytes)) CHECK(row.size() < bytes.size());
      break;
    case 38: decode<cache::ScrubTotals>(bytes); break;
    case 39: decode<cache::LedgerRow>(bytes); break;
    case 40: decode<cache::LedgerTotals>(bytes); break;
    case 41: decode<cache::RecipeRow>(bytes); break;
    case 42: decode<cache::RecipeTextRow>(bytes); break;
    case 43: decode<cache::RecipeBucket>(bytes); break;
    case 44: decode<cache::KeptTreeRow>(bytes); break;
    case 45: decode<cache::CacheMountRow>(bytes); break;
    case 46: decode<cache::EntryRow>(bytes); break;
    case 47: decode<cache::TreeNameRow>(bytes); break;
    case 48: decode<cache::Promotion>(bytes); break;
  }
  return 0;
}

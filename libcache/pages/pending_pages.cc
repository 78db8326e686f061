// SPDX-License-Identifier: Apache-2.0
#include "libcache/pages/pending_pages.h"

#include <algorithm>
#include <iterator>

namespace cairn::cache {

void PendingPages::add(SetPtr set) { sets_.lock()->push_back(std::move(set)); }

void PendingPages::remove(const SetPtr& set) { std::erase(*sets_.lock(), set); }

std::optional<PageName> PendingPages::root(RecordId record, std::string_view path) {
  auto sets = sets_.lock();
  for (const SetPtr& set : *sets)
    if (set->record == record && set->path == path) return set->root;
  return std::nullopt;
}

std::optional<std::string> PendingPages::bytes(const PageName& page) {
  auto sets = sets_.lock();
  for (const SetPtr& set : *sets)
    if (const auto found = set->pages.find(page); found != set->pages.end()) return found->second;
  return std::nullopt;
}

std::vector<PendingPages::SetPtr> PendingPages::sets_of(RecordId record) {
  std::vector<SetPtr> found;
  auto sets = sets_.lock();
  for (const SetPtr& set : *sets)
    if (set->record == record) found.push_back(set);
  return found;
}

void PendingPages::forget(RecordId record) {
  std::vector<SetPtr> gone;  // destroyed after the lock
  auto sets = sets_.lock();
  const auto first = std::stable_partition(sets->begin(), sets->end(),
                                           [record](const SetPtr& set) { return set->record != record; });
  std::move(first, sets->end(), std::back_inserter(gone));
  sets->erase(first, sets->end());
}

}  // namespace cairn::cache

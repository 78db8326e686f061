// SPDX-License-Identifier: Apache-2.0
// Pages that no transaction has made durable yet, so that the digest of a child finds its parent's at once. A set waits for
// the publication of its record, or for the outcome of its change.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/sync.h"
#include "libcache/pages/page_rows.h"

namespace cairn::cache {

// Thread-safe.
class PendingPages {
 public:
  using SetPtr = std::shared_ptr<const PageSet>;

  void add(SetPtr set);
  void remove(const SetPtr& set);
  std::optional<PageName> root(RecordId record, std::string_view path);
  std::optional<std::string> bytes(const PageName& page);
  std::vector<SetPtr> sets_of(RecordId record);
  void forget(RecordId record);

 private:
  base::Guarded<std::vector<SetPtr>> sets_;
};

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/record_filter.h"

#include <algorithm>

namespace cairn::cachectl {

CLI::Option* add_filters(CLI::App& verb, std::vector<std::string>& filters) {
  return verb.add_option("--filter", filters, "Only what matches (BuildKit's filters, until=AGE); several: one of them")->type_name("FILTER");
}

base::Result<std::vector<cache::RecordFilter>> parse_filters(const std::vector<std::string>& texts) {
  std::vector<cache::RecordFilter> filters;
  for (const std::string& text : texts) filters.push_back(TRY(cache::RecordFilter::parse(text), "--filter"));
  return filters;
}

base::Status each_matching(const GlobalOptions& global, const std::vector<cache::RecordFilter>& filters,
                           const std::function<void(const cache::RecordInfo&)>& visit) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  const base::WallTime now = base::SystemClock().now();
  return cache::each_record(*env, options.engine.root, [&](const cache::RecordInfo& record) -> base::Status {
    const auto fits = [&](const cache::RecordFilter& filter) {
      return filter.matches(record, cache::InUse::no) && (!filter.unused_for() || record.last_used <= now - *filter.unused_for());
    };
    if (filters.empty() || std::any_of(filters.begin(), filters.end(), fits)) visit(record);
    return {};
  });
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
// The store's counters in the text format of Prometheus (version 0.0.4), for whoever shows them.
#pragma once

#include <string>
#include <vector>

#include "libcache/account.h"
#include "libcache/statistics.h"

namespace cairn::cache {

struct StoreMetrics {
  std::vector<ProjectCounters> projects;
  Regret regret;
  ScrubTotals scrubs;
};
std::string prometheus_text(const StoreMetrics& metrics);
std::string prometheus_text(const DiskUsage& usage);  // what it takes, as gauges

}  // namespace cairn::cache

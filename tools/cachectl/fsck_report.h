// SPDX-License-Identifier: Apache-2.0
// What fsck and repair have found and done, or would do, and how it reads.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "libcache/fsck.h"
#include "libcache/repair_plan.h"

namespace cairn::cachectl {

enum class Effect { real, dry_run };

bool is_sound(const cache::ScrubReport& scrubbed);

struct FsckReport {
  cache::MetadataWalk walk;
  std::vector<cache::Finding> findings;
  std::vector<std::string> unknown;  // names under the root that are not ours: left alone
  std::optional<cache::Rebuild> rebuilt;
  std::optional<cache::RepairPlan> repaired;
  Effect effect = Effect::real;  // dry_run: nothing of `rebuilt` and `repaired` has been done

  bool clean() const;
};

std::string report_json(const FsckReport& report);
std::string report_text(const FsckReport& report);
nlohmann::ordered_json scrub_json(const cache::ScrubReport& scrubbed);
std::string scrub_text(const cache::ScrubReport& scrubbed);

}  // namespace cairn::cachectl

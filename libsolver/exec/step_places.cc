// SPDX-License-Identifier: Apache-2.0
#include "libsolver/exec/step_places.h"

#include <utility>

namespace cairn::solver {

base::Result<StepPlace> StepPlaces::take() {
  {
    auto idle = idle_.lock();
    while (!idle->empty()) {
      StepPlace place = std::move(idle->back());
      idle->pop_back();
      if (!place.cgroup.is_there()) continue;
      place.cgroup.begin_step();
      return place;
    }
  }
  StepPlace place{TRY(cgroups_.make(std::to_string(++made_), "", limits_)), nullptr};
  std::vector<int> groups = place.cgroup.thread_joins();
  if (!groups.empty()) place.spawner = TRY(Spawner::open(std::move(groups)));
  return place;
}

void StepPlaces::give_back(StepPlace place) {
  auto idle = idle_.lock();
  if (idle->size() < kept_max) idle->push_back(std::move(place));
}

}  // namespace cairn::solver

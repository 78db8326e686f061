// SPDX-License-Identifier: Apache-2.0
// The stages of a file, for who asks which there are.
#include "libdockerfile/convert/conversion.h"
#include "libdockerfile/subrequests.h"

namespace cairn::dockerfile {

base::Result<std::vector<TargetStage>> list_targets(std::string_view text, Diagnostics& diagnostics) {
  Linter linter;
  const Source source = TRY(parse_source(text, diagnostics.error_lines));
  const Stages parsed = TRY(parse_stages(source, linter, diagnostics.error_lines));
  std::vector<TargetStage> targets;
  for (const Stage& stage : parsed.stages)
    targets.push_back(
        {stage.name, stage.comment, stage.base, stage.platform, &stage == &parsed.stages.back(), stage.lines});
  return targets;
}

}  // namespace cairn::dockerfile

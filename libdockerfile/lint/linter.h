// SPDX-License-Identifier: Apache-2.0
// Build checks: which are on, and what they have found.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libdockerfile/diagnostics.h"

namespace cairn::dockerfile {

class Linter {
 public:
  // "skip=A,B;error=true;experimental=C", as "# check=" has it. Errors: invalid_argument.
  static base::Result<Linter> parse(std::string_view config);

  void warn(std::string_view rule, Lines lines, std::string message);
  // What is found from now on is thrown away, until the matching call.
  void pause() { ++paused_; }
  void resume() { --paused_; }
  // Errors: invalid_argument, if warnings are errors here and there are some.
  base::Status finish() const;
  const std::vector<Warning>& warnings() const { return warnings_; }

 private:
  bool is_on(std::string_view rule) const;

  std::set<std::string, std::less<>> skipped_, experimental_;
  bool skip_all_ = false, experimental_all_ = false, warnings_are_errors_ = false;
  int paused_ = 0;
  std::vector<Warning> warnings_;
};

}  // namespace cairn::dockerfile

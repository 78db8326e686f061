// SPDX-License-Identifier: Apache-2.0
// What can be asked of a Dockerfile beside its images: BuildKit's subrequests. First as structures, then as the JSON
// that its front end answers with (`frontend.targets` and so on), for whose readers names and order of fields matter.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libdockerfile/diagnostics.h"

namespace cairn::dockerfile {

struct TargetStage {
  std::string name;            // "": none
  std::string description;     // what the comment right before it says, if it begins with the name
  std::string base, platform;  // as written
  bool is_default = false;
  Lines lines;
};
// The stages of the file, in order. Errors: those of parsing.
base::Result<std::vector<TargetStage>> list_targets(std::string_view text, Diagnostics& diagnostics);

// What a target takes of whoever builds it: from its own stage and from those that it needs, in the order of the file,
// each name once.
struct Outline {
  struct Argument {
    std::string name, description;
    std::string value;  // that it has in this build; "": none
    Lines lines;
    bool operator==(const Argument&) const = default;
  };
  // A secret, or an agent of ssh.
  struct Secret {
    std::string id;
    bool required = false;  // by one step at least
    Lines lines;            // of the first that mounts it
    bool operator==(const Secret&) const = default;
  };
  struct CacheMount {
    std::string id;  // or its directory, if it has none
    Lines lines;
    bool operator==(const CacheMount&) const = default;
  };
  std::string name, description;  // of the target's stage
  std::vector<Argument> arguments;
  std::vector<Secret> secrets, ssh;
  std::vector<CacheMount> caches;
};

// One kind of request, as `frontend.subrequests.describe` tells of it.
struct Subrequest {
  std::string_view name;  // without "frontend."
  std::string_view version, description;
};
const std::vector<Subrequest>& subrequests();

// JSON. text: the whole Dockerfile, which goes with the answer. What is not UTF-8 in names is replaced.
std::string print_targets(const std::vector<TargetStage>& targets, std::string_view text);
std::string print_outline(const Outline& outline, std::string_view text);
// error: what the conversion has failed with, where it has.
std::string print_lint(const Diagnostics& diagnostics, std::string_view filename,
                       const std::optional<base::Error>& error);
std::string print_subrequests();

}  // namespace cairn::dockerfile

// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/lint/rules.h"

#include <algorithm>
#include <array>

namespace cairn::dockerfile {
namespace {

struct Rule {
  std::string_view name, description;
};

constexpr std::array rules{
    Rule{"ConsistentInstructionCasing", "All instructions of a file are written in one case"},
    Rule{"CopyIgnoredFile", "What .dockerignore leaves out cannot be copied"},
    Rule{"DuplicateStageName", "Each stage has a name of its own"},
    Rule{"ExposeInvalidFormat", "EXPOSE names a port of the container, and no address or port of the host"},
    Rule{"ExposeProtoCasing", "The protocol behind a port is in lower case"},
    Rule{"FromAsCasing", "FROM and its AS are written in one case"},
    Rule{"FromPlatformFlagConstDisallowed", "The platform of a stage is a variable, not a constant"},
    Rule{"InvalidBaseImagePlatform", "The base image is for the platform that the build is for"},
    Rule{"InvalidDefaultArgInFrom", "The defaults of arguments make the name of an image"},
    Rule{"InvalidDefinitionDescription", "A comment right above a stage or an argument begins with its name"},
    Rule{"JSONArgsRecommended", "CMD and ENTRYPOINT as lists hand signals to the program itself"},
    Rule{"LegacyKeyValueFormat", "Names and values are joined by an equals sign"},
    Rule{"MaintainerDeprecated", "A label says who maintains an image; MAINTAINER is deprecated"},
    Rule{"MultipleInstructionsDisallowed", "Of some instructions only the last of a stage counts"},
    Rule{"NoEmptyContinuation", "A continued instruction has no empty lines"},
    Rule{"RedundantTargetPlatform", "A stage is for the target's platform anyway"},
    Rule{"ReservedStageName", "No stage has a name that means something else"},
    Rule{"SecretsUsedInArgOrEnv", "Secrets in ARG or ENV stay in the image"},
    Rule{"StageNameCasing", "Names of stages are in lower case"},
    Rule{"UndefinedArgInFrom", "Arguments that FROM uses are declared before it"},
    Rule{"UndefinedVar", "Variables are declared before they are used"},
    Rule{"WorkdirRelativePath", "A relative directory hangs on what the base image has set"}};

}  // namespace

std::string_view description_of_rule(std::string_view rule) {
  const auto found = std::find_if(rules.begin(), rules.end(), [&](const Rule& each) { return each.name == rule; });
  return found == rules.end() ? std::string_view() : found->description;
}

}  // namespace cairn::dockerfile

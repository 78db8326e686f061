// SPDX-License-Identifier: Apache-2.0
// What the Dockerfile front end asks while it works, answered by an engine: images of registries and layouts, and files
// of trees, which are solved for as everything else is.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "libdockerfile/dockerfile.h"
#include "tools/engine/build_progress.h"
#include "tools/engine/engine.h"

namespace cairn::engine {

// For one thread. What it has solved is held as long as it lives.
class BuildFacts final : public dockerfile::Facts {
 public:
  static constexpr std::size_t file_bytes_max = 64u << 20;

  // A request for another definition of the same build.
  using RequestFor = std::function<base::Result<solver::SolveRequest>(const std::string& definition)>;
  // All of it outlives this. warnings: gets sentences for the user.
  BuildFacts(Engine& engine, const solver::SolveRequest& build, RequestFor request_for, BuildProgress& progress,
             std::vector<std::string>& warnings, std::stop_token stop)
      : engine_(engine),
        build_(build),
        request_for_(std::move(request_for)),
        progress_(progress),
        warnings_(warnings),
        stop_(std::move(stop)) {}

  base::Result<Image> resolve_image(const std::string& reference, const dockerfile::Platform& platform,
                                    const std::string& resolve_mode, const std::string& oci_store) override;
  // Errors: also invalid_argument (a file of more than file_bytes_max bytes).
  base::Result<std::optional<std::string>> read_file(const std::string& definition, const std::string& path,
                                                     Part part) override;

 private:
  base::Result<solver::OptionalRef> solve(const std::string& definition);

  Engine& engine_;
  const solver::SolveRequest& build_;
  const RequestFor request_for_;
  BuildProgress& progress_;
  std::vector<std::string>& warnings_;
  const std::stop_token stop_;
  std::map<std::string, solver::OptionalRef> solved_;  // by definition
};

}  // namespace cairn::engine

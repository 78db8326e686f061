// SPDX-License-Identifier: Apache-2.0
// Addresses of git repositories as ADD and build contexts take them: "<url>[?query][#ref[:subdir]]".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "libdockerfile/diagnostics.h"
#include "libsolver/llb.h"

namespace cairn::dockerfile {

struct GitRef {
  std::string remote;
  solver::llb::GitOptions options;
  std::optional<bool> keep_git_dir;
  bool without_scheme = false;  // "github.com/…": only a context may be said so
};

// nullopt: this is no git address. Errors: invalid_argument (one that says what cannot be).
base::Result<std::optional<GitRef>> parse_git_ref(std::string_view text);
bool is_http(std::string_view text);

}  // namespace cairn::dockerfile

// SPDX-License-Identifier: Apache-2.0
// The value of RUN --mount=….
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::dockerfile {

enum class MountKind { bind, cache, tmpfs, secret, ssh };

struct RunMount {
  MountKind kind = MountKind::bind;
  std::string from, source, target, id;
  std::string sharing;  // "", "shared", "private", "locked"
  bool read_only = false, required = false;
  std::int64_t size = 0;
  std::optional<std::uint32_t> mode, uid, gid;
  std::optional<std::string> env;
};

// The stage or image that a mount is taken from, which is known before variables are. Errors: invalid_argument.
base::Result<std::string> mount_from(std::string_view text);

// `expand` is called with each value. Errors: invalid_argument, and those of expand.
using Expand = std::function<base::Result<std::string>(const std::string&)>;
base::Result<RunMount> parse_mount(std::string_view text, const Expand& expand);

// "64m", "1.5GB", "1048576": bytes, units by powers of 1024. Errors: invalid_argument.
base::Result<std::int64_t> parse_bytes(std::string_view text);

}  // namespace cairn::dockerfile

// SPDX-License-Identifier: Apache-2.0
// The config of an image, as BuildKit's front end reads and writes it: fields that it does not know are lost.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libdockerfile/convert/shared_list.h"
#include "libdockerfile/dockerfile.h"
#include "libdockerfile/instructions/command.h"

namespace cairn::dockerfile {

struct History {
  std::string created, created_by, author, comment;
  bool empty_layer = false;
};

struct ImageConfig {
  std::string created, author;
  Platform platform;
  std::string rootfs_type;
  std::optional<std::vector<std::string>> diff_ids;
  SharedList<History> history;
  // Of the container.
  std::string user, working_dir, stop_signal;
  std::set<std::string> exposed_ports, volumes;
  std::vector<std::string> env, entrypoint, cmd, on_build, shell;
  std::map<std::string, std::string> labels;
  bool args_escaped = false;
  std::optional<HealthCheck> health_check;
};

// Errors: invalid_argument.
base::Result<ImageConfig> parse_image_config(std::string_view json);
std::string print_image_config(const ImageConfig& config);
ImageConfig empty_image(const Platform& platform);
// What PATH is where nothing says so.
std::string default_path(std::string_view os);
// "2023-11-14T22:13:20Z".
std::string print_time(std::int64_t seconds);

}  // namespace cairn::dockerfile

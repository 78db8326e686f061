// SPDX-License-Identifier: Apache-2.0
// Configs of images of others, as hostile bytes: none may crash, and what is written of one is JSON with as many layers
// in its history as it has, and reads back to itself. The first line is the base image's config, the rest the front
// end's.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nlohmann/json.hpp>

#include "libbase/hash/sha256.h"
#include "libsolver/images/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::solver;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = std::min(text.find('\n'), text.size());
  const std::string_view base = text.substr(0, line), config = text.substr(std::min(line + 1, text.size()));
  ConfigFacts facts;
  facts.platform.os = "linux";
  facts.layers.resize(1 + size % 3);
  if (size % 2 == 0) facts.epoch = 1'000'000'000;
  const auto written = write_image_config(config, base, facts);
  if (!written) return 0;
  const auto json = nlohmann::json::parse(*written, nullptr, false);
  CHECK(json.is_object(), "{}", *written);
  std::size_t layers = 0;
  for (const auto& entry : json.at("history")) layers += entry.value("empty_layer", false) ? 0 : 1;
  CHECK(layers == facts.layers.size() && json.at("rootfs").at("diff_ids").size() == layers, "{}", *written);
  const auto again = write_image_config(*written, base, facts);
  CHECK(again && *again == *written, "{}", *written);
  return 0;
}

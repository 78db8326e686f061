// SPDX-License-Identifier: Apache-2.0
// Which of the platforms that an image offers serves a wanted one best: as containerd's platforms.Only, where an older
// variant and the 32-bit sibling serve too, in that order.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "libsolver/wire/ops.h"

namespace cairn::solver {

// "linux/arm/v7", for messages.
std::string platform_text(const wire::Platform& platform);

// 0 for the platform itself, more for a worse substitute, nullopt if `offered` cannot serve `wanted`. Neither needs to
// be normalised. Cost: constant.
std::optional<std::size_t> platform_rank(const wire::Platform& wanted, const wire::Platform& offered);

}  // namespace cairn::solver

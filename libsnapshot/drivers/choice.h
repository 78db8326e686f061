// SPDX-License-Identifier: Apache-2.0
// Which driver a store gets.
#pragma once

#include <memory>
#include <string>

#include "libbase/path.h"
#include "libsnapshot/drivers/driver.h"

namespace cairn::snapshot {

struct Choice {
  std::unique_ptr<Driver> driver;
  std::string why;  // "it was asked for"
};

// wanted: a name, or "" for the first of overlay, btrfs, reflink and native that works in root. What has been found out
// there before is not tried again, except a driver that is asked for and did not work. Errors: unavailable.
base::Result<Choice> choose_driver(const base::HostPath& root, const std::string& wanted);

}  // namespace cairn::snapshot

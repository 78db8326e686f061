// SPDX-License-Identifier: Apache-2.0
// Where the drivers that ship can run: each on a file system that is made here, in memory: ext4 for overlay and native,
// btrfs, and XFS for reflink. A driver that cannot run is named on standard error; that it was left out is a failure if
// CAIRN_REQUIRE_DRIVERS (names with commas between) has it. For programs with a main() of their own: tests are
// instantiated after it has called find().
#pragma once

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/conformance/snapshotter_fixture.h"
#include "tests/support/loop_fs.h"

namespace cairn::snapshot {

struct LeftOut {
  std::string driver, why;
};
inline std::vector<std::string> runnable_drivers;
inline std::vector<LeftOut> left_out_drivers;

inline bool is_required(const std::string& driver) {
  const char* list = ::getenv("CAIRN_REQUIRE_DRIVERS");
  std::istringstream names(list == nullptr ? "" : list);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == driver) return true;
  }
  return false;
}

// Opens a store with the driver where the suite would.
inline base::Status try_driver(const std::string& driver) {
  const auto root = make_root(driver);
  const auto env = TRY(base::lmdb::Env::open(root / "meta", tables(), {}));
  (void)TRY(open(root.path(), *env, {.driver = driver, .chain_max = 400}));
  return {};
}

class DriverPlaces {
 public:
  void find() {
    make(test::FileSystem::ext4, "", {"overlay", "native"});
    make(test::FileSystem::btrfs, "max_inline=0", {"btrfs"});
    make(test::FileSystem::xfs, "", {"reflink"});
    for (const std::string driver : {"overlay", "btrfs", "reflink", "native"}) {
      if (std::any_of(left_out_drivers.begin(), left_out_drivers.end(), [&](const auto& out) { return out.driver == driver; })) continue;
      const auto works = try_driver(driver);
      if (works) runnable_drivers.push_back(driver);
      if (!works) left_out_drivers.push_back({driver, works.error().message});
    }
    for (const auto& [driver, why] : left_out_drivers) std::cerr << "LEFT OUT: driver " << driver << ": " << why << "\n";
  }

 private:
  void make(test::FileSystem kind, const std::string& options, const std::vector<std::string>& drivers) {
    auto made = test::LoopFs::make(kind, std::uint64_t{8} << 30, options);
    for (const auto& driver : drivers) {
      if (made) store_places().emplace(driver, (*made)->path());
      if (!made) left_out_drivers.push_back({driver, made.error().message});
    }
    if (made) file_systems_.push_back(std::move(*made));
  }

  std::vector<std::unique_ptr<test::LoopFs>> file_systems_;
};

}  // namespace cairn::snapshot

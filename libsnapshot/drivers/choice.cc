// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/drivers/choice.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <array>
#include <cerrno>

#include "libbase/log/log.h"
#include "libsnapshot/drivers/known_drivers.h"
#include "libsnapshot/drivers/probe.h"
#include "libsnapshot/mounts/user_namespace.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;

std::unique_ptr<Driver> make_overlay() {
  return make_overlay_driver(in_user_namespace() ? OverlayMarksIn::user : OverlayMarksIn::trusted);
}

struct Candidate {
  const char* name;
  std::unique_ptr<Driver> (*make)();
  Status (*probe)(const base::HostPath& scratch);  // null: it always works
};
constexpr std::array<Candidate, 4> candidates = {{{"overlay", make_overlay, probe_overlay},
                                                  {"btrfs", make_btrfs_driver, probe_btrfs},
                                                  {"reflink", make_reflink_driver, probe_reflink},
                                                  {"native", make_native_driver, nullptr}}};

// Tries, and remembers what will not change until the place does.
Status try_out(const Candidate& candidate, const base::HostPath& root, KnownDrivers& known) {
  const auto scratch = root / "tmp";
  if (::mkdir(scratch.c_str(), 0700) != 0 && errno != EEXIST) return base::fail_errno(errno, "make {}", scratch.str());
  const auto outcome = candidate.probe(scratch);
  if (outcome) {
    known.remember(candidate.name, "");
  } else if (outcome.error().code == ErrorCode::unavailable || outcome.error().code == ErrorCode::invalid_argument) {
    known.remember(candidate.name, outcome.error().message);
  }
  return outcome;
}

base::Result<Choice> take_wanted(const std::string& wanted, const base::HostPath& root, KnownDrivers& known) {
  for (const auto& candidate : candidates) {
    if (wanted != candidate.name) continue;
    if (candidate.probe != nullptr && known.find(wanted) != "") {
      if (const auto works = try_out(candidate, root, known); !works) {
        return fail(ErrorCode::unavailable, "snapshotter \"{}\" does not work in {}: {}", wanted, root.str(),
                    works.error().message);
      }
    }
    return Choice{candidate.make(), "it was asked for"};
  }
  return fail(ErrorCode::unavailable, "snapshotter \"{}\" is not known: there are overlay, btrfs, reflink and native",
              wanted);
}

base::Result<Choice> take_first(const base::HostPath& root, KnownDrivers& known) {
  std::string reasons;
  const char* how = "as known from an earlier open";
  for (const auto& candidate : candidates) {
    auto why_not = candidate.probe == nullptr ? "" : known.find(candidate.name);
    if (!why_not) {
      how = "as tried now";
      const auto works = try_out(candidate, root, known);
      why_not = works ? "" : works.error().message;
    }
    if (why_not->empty()) {
      if (!reasons.empty()) base::log_warning("snapshots in {} fall back to {}{}", root.str(), candidate.name, reasons);
      return Choice{candidate.make(),
                    fmt::format("the first of overlay, btrfs, reflink and native that works, {}", how)};
    }
    reasons += fmt::format("; {} does not work: {}", candidate.name, *why_not);
  }
  CHECK(false, "native always works");
  return fail(ErrorCode::unavailable, "no driver");
}

}  // namespace

base::Result<Choice> choose_driver(const base::HostPath& root, const std::string& wanted) {
  auto known = KnownDrivers::load(root, TRY(describe_place(root)));
  auto choice = wanted.empty() ? take_first(root, known) : take_wanted(wanted, root, known);
  if (const auto saved = known.save(root); !saved) base::log_debug("{}", saved.error().message);
  return choice;
}

}  // namespace cairn::snapshot

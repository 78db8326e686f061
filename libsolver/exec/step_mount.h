// SPDX-License-Identifier: Apache-2.0
// What is mounted where for a step, in the words of no sandbox in particular.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libsnapshot/snapshotter.h"

namespace cairn::solver {

enum class MountKind : std::uint8_t { tree, file, tmpfs, proc, dev, devpts, shm, mqueue, sysfs };

struct StepMount {
  MountKind kind = MountKind::tree;
  std::string dest;    // absolute in the step's root
  std::string source;  // tree, file: a host path, in the mount namespace of the step's child
  snapshot::Access access = snapshot::Access::read_write;
  std::int64_t tmpfs_size = 0;  // bytes; 0: the kernel's default
};

// A /dev/shm that the step did not ask for has this size.
inline constexpr std::int64_t shm_size = 64 << 20;

// What every step sees before its own mounts: /proc, /dev, /sys and what is in them.
inline std::vector<StepMount> default_mounts() {
  const auto of = [](MountKind kind, const char* dest) { return StepMount{kind, dest, {}, snapshot::Access::read_write, 0}; };
  return {of(MountKind::proc, "/proc"),   of(MountKind::dev, "/dev"),       of(MountKind::devpts, "/dev/pts"),
          of(MountKind::shm, "/dev/shm"), of(MountKind::mqueue, "/dev/mqueue"), of(MountKind::sysfs, "/sys")};
}

// Of /proc and /sys, what a step in a sandbox does not see, and what it only reads (spec/solver 6.2).
inline constexpr const char* masked_paths[] = {
    "/proc/acpi",        "/proc/asound",      "/proc/kcore", "/proc/keys",    "/proc/latency_stats",          "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",  "/sys/firmware", "/sys/devices/virtual/powercap"};
inline constexpr const char* read_only_paths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

// Devices that programs with all power look for, beside those that every step has (spec/solver 6.2).
inline constexpr const char* insecure_devices[] = {
    "/dev/kmsg",  "/dev/cuse",  "/dev/fuse",  "/dev/kvm",   "/dev/net/tun", "/dev/loop-control", "/dev/loop0",
    "/dev/loop1", "/dev/loop2", "/dev/loop3", "/dev/loop4", "/dev/loop5",   "/dev/loop6",        "/dev/loop7"};

}  // namespace cairn::solver

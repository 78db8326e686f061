// SPDX-License-Identifier: Apache-2.0
// Turns entries into tar headers, byte for byte those of Go's archive/tar, which is what containerd and BuildKit write
// layers with: a layer's diffID is a hash of these bytes, so every choice here is part of its name (docs/formats/layer.md).
#pragma once

#include <cstdint>
#include <string>

#include "libbase/result.h"
#include "libsnapshot/tar/tar_entry.h"

namespace cairn::snapshot {

// Appends the header of `entry`, and the extended header before it if one is needed. The time is cut to whole seconds
// towards the past. The name is taken as it is: directories end with a slash, and nothing else may.
// xattrs become SCHILY.xattr records. The caller appends entry.size bytes of data and padding_after() of them.
// Errors: invalid_argument (a name that no tar holds, a number that no field and no record holds).
base::Status append_header(const TarEntry& entry, std::string& out);

// Zero bytes that fill the last block of a file's data.
constexpr std::size_t padding_after(std::uint64_t size_bytes) { return static_cast<std::size_t>(-size_bytes % 512); }

// Zero bytes at the end of an archive. No more: blocking to 10 KiB is for tapes.
inline constexpr std::size_t trailer_bytes = 1024;

}  // namespace cairn::snapshot

// SPDX-License-Identifier: Apache-2.0
// Paths of images, which are not those of this machine. Windows ones come in with backslashes and a drive, and are kept
// with slashes.
#pragma once

#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::dockerfile {

std::string clean_path(std::string_view path);                          // Go's path.Clean
std::string join_path(std::string_view parent, std::string_view path);  // Go's path.Join of two
std::string base_name(std::string_view path);                           // Go's path.Base

enum class TrailingSlash { dropped, kept };  // kept: "/" and "/." at the end stay
// path, taken from parent if it is relative; with slashes. Errors: invalid_argument (another drive than C:).
base::Result<std::string> normal_path(std::string_view parent, std::string_view path, std::string_view os,
                                      TrailingSlash slash);
bool is_absolute(std::string_view path, std::string_view os);

}  // namespace cairn::dockerfile

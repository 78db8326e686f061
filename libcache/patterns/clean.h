// SPDX-License-Identifier: Apache-2.0
// Lexical path arithmetic with the results of Go's path package, on any bytes. BuildKit's keys are made with it, so a
// different idea of "clean" would be a different digest. (base::TreePath is for paths that will be opened.)
#pragma once

#include <string>
#include <string_view>

namespace cairn::cache {

// path.Clean: "." for nothing, ".." kept only at the front of a relative path.
std::string clean_path(std::string_view path);
// path.Join("/", path), with "" instead of "/": absolute, normal, without "..".
std::string clean_rooted(std::string_view path);
// path.Base: the last component without trailing slashes; "." for "", "/" for slashes only.
std::string_view base_name(std::string_view path);

}  // namespace cairn::cache

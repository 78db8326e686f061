// SPDX-License-Identifier: Apache-2.0
// Two kinds of path that do not mix. A TreePath names something in a tree: relative, normal ("a/b", the root is ""),
// without "." or ".." or NUL; it is opened only beneath a root descriptor (libbase/fs/beneath.h). A HostPath is
// absolute and normal and names something on the machine.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::base {

class TreePath {
 public:
  TreePath() = default;  // the root of a tree

  // Accepts what tar archives and definitions hold: leading slashes and "./" are dropped, doubled slashes and "."
  // folded, a trailing slash dropped. Errors: invalid_argument if a ".." component or a NUL is in it, or a component is
  // longer than 255 bytes.
  static Result<TreePath> parse(std::string_view text);
  // As path.Join("/", text) of Go, clamped at the root: ".." steps up and never out. NUL and components that are too
  // long are still refused.
  static Result<TreePath> clean(std::string_view text);

  const std::string& str() const { return text_; }
  bool is_root() const { return text_.empty(); }
  TreePath parent() const;          // the root's parent is the root
  std::string_view name() const;    // the last component; "" for the root
  TreePath child(std::string_view name) const;  // name must be one valid component (CHECKed)
  auto operator<=>(const TreePath&) const = default;

 private:
  explicit TreePath(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

class HostPath {
 public:
  // Errors: invalid_argument unless absolute and without NUL. Normalised lexically ("/a//b/../c" is "/a/c").
  static Result<HostPath> parse(std::string_view text);
  // Relative texts are taken from the current directory of the process.
  static Result<HostPath> from_user(std::string_view text);

  const std::string& str() const { return text_; }
  const char* c_str() const { return text_.c_str(); }
  HostPath operator/(std::string_view relative) const;  // relative: no leading slash, no "..", no NUL (CHECKed)
  auto operator<=>(const HostPath&) const = default;

 private:
  explicit HostPath(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace cairn::base

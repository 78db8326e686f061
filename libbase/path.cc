// SPDX-License-Identifier: Apache-2.0
#include "libbase/path.h"

#include <climits>
#include <cstdlib>
#include <unistd.h>

#include <vector>

namespace cairn::base {
namespace {

constexpr std::size_t component_max = 255;  // NAME_MAX of every file system we store on

// Calls f for each component that is neither empty nor ".".
template <class F>
Status each_component(std::string_view text, F&& f) {
  if (text.find('\0') != std::string_view::npos) return fail(ErrorCode::invalid_argument, "path with a NUL byte");
  while (!text.empty()) {
    const std::size_t slash = std::min(text.find('/'), text.size());
    const std::string_view component = text.substr(0, slash);
    text.remove_prefix(std::min(slash + 1, text.size()));
    if (component.empty() || component == ".") continue;
    if (component.size() > component_max) {
      return fail(ErrorCode::invalid_argument, "path component of {} bytes (at most {})", component.size(), component_max);
    }
    TRY(f(component));
  }
  return {};
}

void append(std::string& path, std::string_view component) {
  if (!path.empty()) path += '/';
  path += component;
}

}  // namespace

Result<TreePath> TreePath::parse(std::string_view text) {
  std::string path;
  TRY(each_component(text, [&](std::string_view component) -> Status {
    if (component == "..") return fail(ErrorCode::invalid_argument, "path \"{}\" has a \"..\"", text);
    append(path, component);
    return {};
  }));
  return TreePath(std::move(path));
}

Result<TreePath> TreePath::clean(std::string_view text) {
  std::string path;
  TRY(each_component(text, [&](std::string_view component) -> Status {
    if (component == "..") {
      const std::size_t slash = path.rfind('/');
      path.resize(slash == std::string::npos ? 0 : slash);
    } else {
      append(path, component);
    }
    return {};
  }));
  return TreePath(std::move(path));
}

TreePath TreePath::parent() const {
  const std::size_t slash = text_.rfind('/');
  return TreePath(slash == std::string::npos ? std::string() : text_.substr(0, slash));
}

std::string_view TreePath::name() const {
  const std::size_t slash = text_.rfind('/');
  return slash == std::string::npos ? std::string_view(text_) : std::string_view(text_).substr(slash + 1);
}

TreePath TreePath::child(std::string_view name) const {
  CHECK(!name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
            name.find('\0') == std::string_view::npos,
        "\"{}\" is not a name", name);
  std::string path = text_;
  append(path, name);
  return TreePath(std::move(path));
}

Result<HostPath> HostPath::parse(std::string_view text) {
  if (!text.starts_with('/')) return fail(ErrorCode::invalid_argument, "\"{}\" is not an absolute path", text);
  return HostPath("/" + TRY(TreePath::clean(text)).str());
}

Result<HostPath> HostPath::from_user(std::string_view text) {
  if (text.empty()) return fail(ErrorCode::invalid_argument, "empty path");
  if (text.starts_with('/')) return parse(text);
  char* current = ::getcwd(nullptr, 0);
  if (current == nullptr) return fail_errno(errno, "find the current directory");
  std::string path = std::string(current) + "/" + std::string(text);
  std::free(current);
  return parse(path);
}

HostPath HostPath::operator/(std::string_view relative) const {
  CHECK(!relative.starts_with('/'));
  auto path = TreePath::parse(relative);
  CHECK(path, "\"{}\" is not a relative path", relative);
  if (path->is_root()) return *this;
  return HostPath((text_ == "/" ? "" : text_) + "/" + path->str());
}

}  // namespace cairn::base

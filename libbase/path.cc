// SPDX-License-Identifier: Apache-2.0
// Lexical work on paths: nothing here looks at a file system.
#include "libbase/path.h"

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace cairn::base {

namespace {

constexpr std::size_t component_size_max = 255;  // NAME_MAX

enum class DotDot { refuse, step_up };

// Appends the components of `text` to `out` (which is "" or normal, without a trailing slash), each after a slash
// unless it is the first of a relative path.
Status append_components(std::string& out, std::string_view text, DotDot dot_dot) {
  if (text.find('\0') != std::string_view::npos) return fail(ErrorCode::invalid_argument, "a path holds a NUL");
  while (!text.empty()) {
    const std::size_t slash = text.find('/');
    const std::string_view component = text.substr(0, slash);
    text = slash == std::string_view::npos ? std::string_view() : text.substr(slash + 1);
    if (component.empty() || component == ".") continue;
    if (component == "..") {
      if (dot_dot == DotDot::refuse) return fail(ErrorCode::invalid_argument, "a path holds \"..\"");
      const std::size_t cut = out.rfind('/');
      out.resize(cut == std::string::npos ? 0 : cut);
      continue;
    }
    if (!out.empty()) out += '/';
    out += component;
  }
  return {};
}

Status check_component_sizes(std::string_view path) {
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::size_t size = slash == std::string_view::npos ? path.size() : slash;
    if (size > component_size_max) {
      return fail(ErrorCode::invalid_argument, "a path component has {} bytes, more than {}", size, component_size_max);
    }
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return {};
}

Result<std::string> normalise_relative(std::string_view text, DotDot dot_dot) {
  std::string out;
  out.reserve(text.size());
  TRY(append_components(out, text, dot_dot));
  TRY(check_component_sizes(out));
  return out;
}

}  // namespace

Result<TreePath> TreePath::parse(std::string_view text) {
  return TreePath(TRY(normalise_relative(text, DotDot::refuse), "path \"{}\"", text));
}

Result<TreePath> TreePath::clean(std::string_view text) {
  return TreePath(TRY(normalise_relative(text, DotDot::step_up), "path \"{}\"", text));
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
  CHECK(!name.empty() && name != "." && name != ".." && name.size() <= component_size_max &&
            name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos,
        "not one path component: \"{}\"", name);
  std::string text;
  text.reserve(text_.size() + 1 + name.size());
  text += text_;
  if (!text.empty()) text += '/';
  text += name;
  return TreePath(std::move(text));
}

Result<HostPath> HostPath::parse(std::string_view text) {
  if (!text.starts_with('/')) return fail(ErrorCode::invalid_argument, "path \"{}\" is not absolute", text);
  std::string relative;
  relative.reserve(text.size());
  TRY(append_components(relative, text, DotDot::step_up), "path \"{}\"", text);
  return HostPath("/" + relative);
}

Result<HostPath> HostPath::from_user(std::string_view text) {
  if (text.empty()) return fail(ErrorCode::invalid_argument, "a path is empty");
  if (text.starts_with('/')) return parse(text);
  const std::unique_ptr<char, decltype(&::free)> here(::getcwd(nullptr, 0), &::free);
  if (!here) return fail_errno(errno, "find the current directory, for path \"{}\"", text);
  return parse(fmt::format("{}/{}", here.get(), text));
}

HostPath HostPath::operator/(std::string_view relative) const {
  CHECK(!relative.starts_with('/'), "\"{}\" is not relative", relative);
  std::string out = text_ == "/" ? std::string() : text_.substr(1);
  const Status appended = append_components(out, relative, DotDot::refuse);
  CHECK(appended.has_value(), "{}: \"{}\"", appended.error().message, relative);
  return HostPath("/" + out);
}

}  // namespace cairn::base

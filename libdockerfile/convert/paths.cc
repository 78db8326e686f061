// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/convert/paths.h"

#include <algorithm>
#include <vector>

#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

// Without the drive; nullopt would be another one than C:.
base::Result<std::string> with_slashes(std::string_view path, std::string_view os) {
  std::string out(path);
  if (os != "windows") return out;
  std::replace(out.begin(), out.end(), '\\', '/');
  if (out.size() < 2 || out[1] != ':') return out;
  if (out[0] != 'c' && out[0] != 'C') return refuse("The specified path is not on the system drive (C:)");
  out.erase(0, 2);
  return out.empty() ? "/" : out;
}

}  // namespace

std::string clean_path(std::string_view path) {
  const bool rooted = path.starts_with('/');
  std::vector<std::string> parts;
  for (std::string& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    const bool steps_up = part == "..";
    if (steps_up && !parts.empty() && parts.back() != "..")
      parts.pop_back();
    else if (!steps_up || !rooted)
      parts.push_back(std::move(part));
  }
  std::string out = (rooted ? "/" : "") + join(parts, "/");
  return out.empty() ? "." : out;
}

std::string join_path(std::string_view parent, std::string_view path) {
  if (parent.empty() && path.empty()) return {};
  if (parent.empty()) return clean_path(path);
  return clean_path(fmt::format("{}/{}", parent, path));
}

std::string base_name(std::string_view path) {
  if (path.empty()) return ".";
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path == "/") return "/";
  return std::string(path.substr(path.rfind('/') + 1));
}

base::Result<std::string> normal_path(std::string_view parent, std::string_view path, std::string_view os,
                                      TrailingSlash slash) {
  const std::string wanted = TRY(with_slashes(path, os));
  const std::string from = TRY(with_slashes(parent, os));
  std::string out = wanted.starts_with('/') ? clean_path(wanted) : join_path(join_path("/", from), wanted);
  if (slash == TrailingSlash::dropped) return out;
  const bool is_self = wanted.ends_with("/.");
  if ((wanted.ends_with('/') || is_self) && out != "/") out += '/';
  if (is_self) out += '.';
  return out;
}

bool is_absolute(std::string_view path, std::string_view os) {
  if (path.starts_with('/')) return true;
  if (os != "windows") return false;
  return path.starts_with('\\') || (path.size() > 2 && path[1] == ':' && (path[2] == '\\' || path[2] == '/'));
}

}  // namespace cairn::dockerfile

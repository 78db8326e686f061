// SPDX-License-Identifier: Apache-2.0
// Paths from archives and graphs: what is accepted is relative, normal and stays what it is when parsed again; parse()
// and clean() agree wherever both accept.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libbase/path.h"

namespace {

using namespace cairn::base;

void check_normal(const TreePath& path) {
  std::string_view rest = path.str();
  CHECK(rest.find('\0') == std::string_view::npos);
  while (!rest.empty()) {
    const std::size_t slash = rest.find('/');
    const std::string_view component = rest.substr(0, slash);
    CHECK(!component.empty() && component != "." && component != ".." && component.size() <= 255);
    CHECK(slash + 1 != rest.size(), "a slash at the end of \"{}\"", path.str());
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  }
  CHECK(TreePath::parse(path.str()).value() == path);
  CHECK(TreePath::clean(path.str()).value() == path);
  if (path.is_root()) {
    CHECK(path.parent().is_root() && path.name().empty());
  } else {
    CHECK(path.parent().child(path.name()) == path);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<TreePath> parsed = TreePath::parse(text);
  const Result<TreePath> cleaned = TreePath::clean(text);
  if (parsed) check_normal(*parsed);
  if (cleaned) check_normal(*cleaned);
  if (parsed) CHECK(cleaned && *cleaned == *parsed);
  const Result<HostPath> host = HostPath::parse(text);
  CHECK(host.has_value() == (text.starts_with('/') && text.find('\0') == std::string_view::npos));
  if (host) CHECK(HostPath::parse(host->str()).value() == *host);
  if (host && cleaned) CHECK(host->str() == "/" + cleaned->str());
  return 0;
}

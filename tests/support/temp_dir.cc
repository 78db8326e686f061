// SPDX-License-Identifier: Apache-2.0
// Directories of tests, below TMPDIR.
#include "tests/support/temp_dir.h"

#include <cstdlib>

#include "libbase/fs/beneath.h"

namespace cairn::test {
namespace {

base::HostPath top() {
  const char* directory = ::getenv("TMPDIR");
  return base::HostPath::parse(directory != nullptr ? directory : "/tmp").value();
}

base::HostPath make_temp_dir(const base::HostPath& parent) {
  std::string name = parent.str() + "/cairn-test-XXXXXX";
  CHECK(::mkdtemp(name.data()) != nullptr, "make {}", name);
  return base::HostPath::parse(name).value();
}

}  // namespace

TempDir::TempDir() : TempDir(top()) {}

TempDir::TempDir(const base::HostPath& parent) : path_(make_temp_dir(parent)) {}

TempDir::~TempDir() {
  const std::size_t slash = path_.str().rfind('/');
  const auto parent = base::open_host_dir(base::HostPath::parse(path_.str().substr(0, slash)).value());
  if (!parent) return;
  const auto name = base::TreePath::parse(path_.str().substr(slash + 1));
  (void)base::remove_all_beneath(parent->get(), *name);
}

}  // namespace cairn::test

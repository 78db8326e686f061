// SPDX-License-Identifier: Apache-2.0
// A fresh directory that is gone when the test is over.
#pragma once

#include <string>

#include "libbase/path.h"

namespace cairn::test {

class TempDir {
 public:
  TempDir();   // below TMPDIR; aborts if none can be made
  explicit TempDir(const base::HostPath& parent);
  ~TempDir();  // removes everything in it
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const base::HostPath& path() const { return path_; }
  base::HostPath operator/(std::string_view relative) const { return path_ / relative; }

 private:
  base::HostPath path_;
};

}  // namespace cairn::test

// SPDX-License-Identifier: Apache-2.0
// The environments that this process has open. LMDB does not notice a second open of the same one, and closing either
// would drop the file locks of both.
#pragma once

#include <sys/types.h>

#include <optional>
#include <tuple>

#include "libbase/lmdb/env.h"

namespace cairn::base::lmdb {

class OpenPaths {
 public:
  // The process is part of the name: a forked child has opened nothing itself.
  using Name = std::tuple<pid_t, dev_t, ino_t>;

  // Holds the name while it lives.
  class Claim {
   public:
    Claim() = default;
    ~Claim();
    Claim(Claim&& other) noexcept : name_(other.name_) { other.name_.reset(); }
    Claim& operator=(Claim&& other) noexcept {
      std::swap(name_, other.name_);
      return *this;
    }

   private:
    friend class OpenPaths;
    std::optional<Name> name_;
  };

  // Errors: busy (open already), not_found, io.
  static Result<Claim> claim(const HostPath& dir);
};

}  // namespace cairn::base::lmdb

// SPDX-License-Identifier: Apache-2.0
// What earlier opens found out about the drivers, so that later ones need not try again: the file <root>/drivers. It
// counts only on the file system, the kernel and with the privileges that it was written with. Nothing depends on it:
// lost, old or damaged, it is as if it were not there.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::snapshot {

// Where and as whom an answer was found. Compared byte by byte.
base::Result<std::string> describe_place(const base::HostPath& root);

class KnownDrivers {
 public:
  // What the file says of this place.
  static KnownDrivers load(const base::HostPath& root, std::string place);

  // "" if the driver works, else why not; nullopt if it is not known.
  std::optional<std::string> find(const std::string& driver) const;
  void remember(const std::string& driver, const std::string& why_not);
  // Writes the file if there is something new. Not durable.
  base::Status save(const base::HostPath& root) const;

  static std::string encode(const std::string& place, const std::map<std::string, std::string>& answers);
  // Errors: corrupt (damaged, or of another format), unavailable (of another place).
  static base::Result<std::map<std::string, std::string>> decode(std::string_view bytes, const std::string& place);

 private:
  explicit KnownDrivers(std::string place) : place_(std::move(place)) {}

  std::string place_;
  std::map<std::string, std::string> answers_;
  bool changed_ = false;
};

}  // namespace cairn::snapshot

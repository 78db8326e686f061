// SPDX-License-Identifier: Apache-2.0
#include "libsolver/remote_cache/attributes.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

std::string value_of(const Attributes& attributes, const std::string& name, const std::string& otherwise) {
  const auto found = attributes.find(name);
  return found == attributes.end() ? otherwise : found->second;
}

Status expect_known(const Attributes& attributes, const std::set<std::string_view>& known) {
  for (const auto& [name, value] : attributes) {
    if (!known.contains(name))
      return fail(ErrorCode::invalid_argument, "type={}: do not know \"{}\"", value_of(attributes, "type"), name);
  }
  return {};
}

Result<bool> flag_of(const Attributes& attributes, const std::string& name, bool otherwise) {
  const std::string value = value_of(attributes, name, otherwise ? "true" : "false");
  if (value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  return fail(ErrorCode::invalid_argument, "{}={}: want true or false", name, value);
}

Result<base::Compression> parse_compression(const std::string& name) {
  if (name == "gzip") return base::Compression::gzip;
  if (name == "zstd") return base::Compression::zstd;
  if (name == "uncompressed") return base::Compression::none;
  return fail(ErrorCode::invalid_argument, "compression={}: want gzip, zstd or uncompressed", name);
}

}  // namespace cairn::solver

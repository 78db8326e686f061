// SPDX-License-Identifier: Apache-2.0
// JSON as Go's encoding/json writes it, to the byte: CacheMap digests are hashes of such texts (spec/solver 3.1).
// No white space, `<`, `>`, `&` and U+2028/2029 escaped, each byte that is not UTF-8 as \ufffd.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libsolver/wire/ops.h"

namespace cairn::solver::wire {

std::string go_json(std::string_view text);                      // a quoted string
std::string go_json(const std::vector<std::string>& texts);      // an array of them

// A message as its Go struct: proto field names, default values left out, a present empty message as {}.
std::string go_json(const ExecOp& op);
std::string go_json(const MergeOp& op);
std::string go_json(const DiffOp& op);
std::string go_json(const BuildOp& op);
std::string go_json(const PassthroughOp& op);
std::string go_json(const FileActionCopy& action);
std::string go_json(const FileActionMkFile& action);
std::string go_json(const FileActionMkDir& action);
std::string go_json(const FileActionRm& action);
std::string go_json(const FileActionSymlink& action);

// An object written field by field, in the order of the calls.
class GoJsonObject {
 public:
  GoJsonObject& raw(std::string_view key, std::string_view json);
  GoJsonObject& text(std::string_view key, std::string_view value) { return raw(key, go_json(value)); }
  GoJsonObject& number(std::string_view key, std::int64_t value) { return raw(key, std::to_string(value)); }
  GoJsonObject& texts(std::string_view key, const std::vector<std::string>& values) { return raw(key, go_json(values)); }
  std::string take() { return out_ + '}'; }

 private:
  std::string out_ = "{";
};

}  // namespace cairn::solver::wire

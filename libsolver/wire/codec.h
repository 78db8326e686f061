// SPDX-License-Identifier: Apache-2.0
// Messages to bytes and back. Writing is canonical: the same struct always gives the bytes that protobuf-go gives with
// Deterministic set, on which vertex digests rest (spec/solver 1.3, docs/decisions/0002-own-protobuf-codec.md).
// Reading is for untrusted bytes: it never reads past the end, allocates at most its budget and nests at most 32 deep.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "libbase/result.h"
#include "libsolver/wire/ops.h"

namespace cairn::solver::wire {

// Bounds the memory of what one reading (or several that share it) makes, since two bytes of input can ask for
// a struct of hundreds.
struct DecodeBudget {
  std::size_t bytes_left = std::size_t{512} << 20;
};

std::string encode(const Op& op);
void append(std::string& out, const Op& op);  // the same bytes, behind what is there
std::string encode(const OpMetadata& metadata);
std::string encode(const DefinitionMessage& definition);

// Errors: invalid_argument: cut off, bad varint or tag, a string that is not UTF-8, too deep, over budget; the message
// has the path of fields and the offset in the innermost message.
base::Result<Op> decode_op(std::string_view bytes, DecodeBudget& budget);
base::Result<OpMetadata> decode_op_metadata(std::string_view bytes, DecodeBudget& budget);
base::Result<DefinitionMessage> decode_definition(std::string_view bytes, DecodeBudget& budget);

}  // namespace cairn::solver::wire

// SPDX-License-Identifier: Apache-2.0
// Looking at what a store holds without copying it out: files in pieces, and trees that stay mounted for as long as somebody looks.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <variant>

#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/record.h"
#include "tools/engine/engine.h"

namespace cairn::engine {

struct FileOrder {
  // A record, a cache mount (its newest version), or a blob.
  std::variant<cache::RecordId, KeyDigest, BlobDigest> of;
  std::string path;  // not of a blob: a regular file in the tree; links in it are followed inside the tree
  std::uint64_t offset = 0;
};
struct FilePiece {
  std::string bytes;            // some MiB; none at the end
  std::uint64_t file_size = 0;  // when it was read
};
// The bytes of a blob are verified before any of them is given out.
// Errors: not_found (what it is of, or the file), invalid_argument (no regular file), corrupt (a damaged blob), io, and those of
// Engine::fetch.
base::Result<FilePiece> run_order(Engine& engine, const FileOrder& order, std::stop_token stop);

struct MountOrder {
  std::uint64_t record = 0;
};
// `tree` is the root of a read-only detached mount, without set-user-id programs and devices, that is whoever's who gets it to attach.
using UseTree = std::function<base::Status(int tree, std::stop_token stop)>;
// The record is held until `use` returns. Errors: not_found, those of Engine::fetch and of `use`, io.
base::Status with_tree(Engine& engine, const MountOrder& order, const UseTree& use, std::stop_token stop);

void wait_until_stopped(const std::stop_token& stop);

}  // namespace cairn::engine

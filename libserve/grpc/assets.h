// SPDX-License-Identifier: Apache-2.0
// What is kept of an asset: its name and what was found there, without the messages that ask for it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "libbase/clock.h"
#include "libserve/grpc/context.h"

namespace cairn::serve {

struct AssetName {
  enum class Kind : std::uint8_t { blob, directory } kind = Kind::blob;
  std::string instance{};
  std::string uri{};
  std::vector<std::pair<std::string, std::string>> qualifiers{};  // in any order
};
struct Asset {
  SizedDigest content;  // of a directory: its Directory message
  base::WallTime kept{};
  std::optional<base::WallTime> expires{};
};

// The entry that it is: the order of qualifiers says nothing.
cache::EntryName entry_of(const AssetName& name, cache::Trust trust);

// nullopt: none, or it has expired, or it is older than it may be.
base::Result<std::optional<Asset>> find_asset(const Admitted& store, const AssetName& name, base::WallTime oldest);
// closure: what goes with it. Durable with the number. Errors: not_found (one of them is not there).
base::Result<base::lmdb::SequenceNumber> keep_asset(const Admitted& store, const AssetName& name, const Asset& asset,
                                                    std::vector<BlobDigest> closure);

// All directories and files below a Directory. Errors: not_found (one is not there), invalid_argument (one is no
// Directory).
base::Result<std::vector<BlobDigest>> closure_of_directory(cache::BlobStore& blobs, const SizedDigest& root);

// `checksum.sri`: "sha256-" and base 64. nullopt: there is none. Errors: invalid_argument.
base::Result<std::optional<BlobDigest>> checksum_of(const std::vector<std::pair<std::string, std::string>>& qualifiers);

}  // namespace cairn::serve

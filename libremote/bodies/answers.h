// SPDX-License-Identifier: Apache-2.0
// What tiers, those over HTTP above all, make of calls and of answers: the errors that libcache/remote_tier.h names.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/fetcher.h"
#include "libcache/remote_tier.h"

namespace cairn::remote {

// One request within the call; redirects are answers. Errors: io (also for what a server sends beyond limits),
// cancelled, corrupt and others of the body that is sent.
base::Result<cache::FetchAnswer> ask(cache::Fetcher& fetcher, cache::FetchRequest request, const cache::TierCall& call,
                                     std::string_view tier);
// Reads a small body to its end, so that the connection can be used again. What cannot be read is left out: the status
// has been said already.
std::string read_small(cache::FetchAnswer& answer);
// A status that is neither yes nor no. `said` is what the server says of it in its own words; `request` what was asked.
base::Error status_error(const cache::FetchAnswer& answer, std::string_view tier, std::string_view request,
                         std::string_view said);
// The body of 200 as that of a blob. Errors: corrupt (it is announced with another size).
base::Result<std::unique_ptr<base::ByteSource>> blob_body(cache::FetchAnswer answer, const cache::SizedBlob& blob,
                                                          std::string_view tier);

// The rest of a body that is small enough to be in memory. Errors: corrupt (more bytes), and those of reading it.
base::Result<std::string> bounded_body(cache::FetchAnswer& answer, std::size_t bytes_max, std::string_view tier);

// invalid_argument: it is beyond what the tier is able to keep.
base::Status check_fits(const cache::RemoteTier& tier, const cache::SizedBlob& blob);
base::Status check_fits(const cache::RemoteTier& tier, const cache::TierEntry& entry);

// Asks of each, several at once; the first error ends it.
base::Result<std::vector<bool>> ask_of_each(std::span<const cache::SizedBlob> blobs, std::size_t at_once,
                                            const std::function<base::Result<bool>(const cache::SizedBlob&)>& has);

}  // namespace cairn::remote

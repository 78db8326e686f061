// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/bucket_origin.h"

#include <algorithm>
#include <vector>

namespace cairn::solver {
namespace {

constexpr std::string_view scheme = "s3://";
constexpr std::string_view in_path = "path";

}  // namespace

cache::RepositoryName bucket_origin(const cache::BucketAddress& bucket, const std::string& blobs) {
  const bool is_in_path = bucket.names == cache::BucketAddress::Names::in_path;
  return {fmt::format("{}{}|{}|{}|{}", scheme, bucket.bucket, bucket.region, bucket.endpoint,
                      is_in_path ? in_path : std::string_view("host")),
          blobs};
}

std::optional<cache::BucketAddress> bucket_of_origin(const cache::RepositoryName& origin) {
  if (!origin.host.starts_with(scheme)) return std::nullopt;
  std::vector<std::string> parts(1);
  for (const char c : std::string_view(origin.host).substr(scheme.size())) {
    if (c == '|') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  if (parts.size() != 4) return std::nullopt;
  using Names = cache::BucketAddress::Names;
  return cache::BucketAddress{.bucket = parts[0],
                              .region = parts[1],
                              .endpoint = parts[2],
                              .names = parts[3] == in_path ? Names::in_path : Names::in_host};
}

}  // namespace cairn::solver

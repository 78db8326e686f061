// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/resource_name.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <vector>

#include "libserve/routes/route.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;

namespace {

using Segments = std::span<const std::string_view>;
constexpr std::size_t name_bytes_max = 4096;
constexpr std::size_t hash_digits = 64;

tl::unexpected<base::Error> bad(std::string_view name, std::string_view why) {
  return base::fail(ErrorCode::invalid_argument, "resource name {}: {}", name.substr(0, 200), why);
}

std::vector<std::string_view> split(std::string_view name) {
  std::vector<std::string_view> segments;
  while (true) {
    const std::size_t slash = name.find('/');
    segments.push_back(name.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    name.remove_prefix(slash + 1);
  }
}

// Words that end an instance name, and so can be none of its segments.
bool is_reserved(std::string_view segment) {
  constexpr std::string_view words[] = {"blobs",      "uploads",      "actions",         "actionResults",
                                        "operations", "capabilities", "compressed-blobs"};
  return std::find(std::begin(words), std::end(words), segment) != std::end(words);
}

Result<std::string> instance_of(Segments segments) {
  std::string instance;
  for (const std::string_view segment : segments) instance += (instance.empty() ? "" : "/") + std::string(segment);
  // A first segment that is empty would be lost in the joining.
  if (!segments.empty() && segments.front().empty())
    return base::fail(ErrorCode::invalid_argument, "an instance name that begins with a slash");
  return parse_instance(instance);
}

// blobs/… or compressed-blobs/…; what is behind the size is for the caller.
Result<Segments> parse_blob(std::string_view name, Segments rest, ResourceName& into) {
  if (rest.empty()) return bad(name, "it names no blob");
  if (rest.front() == "compressed-blobs") {
    if (rest.size() < 2 || rest[1] != "zstd") return bad(name, "of compressors only zstd is known");
    into.compression = base::Compression::zstd;
    rest = rest.subspan(2);
  } else if (rest.front() == "blobs") {
    rest = rest.subspan(1);
  } else {
    return bad(name, "blobs or compressed-blobs is missing");
  }
  if (!rest.empty() && rest.front() == "sha256") rest = rest.subspan(1);
  if (rest.size() < 2) return bad(name, "hash and size are missing");
  if (rest[0].size() != hash_digits) return bad(name, "of digest functions only SHA-256 is known");
  std::int64_t size = -1;
  const std::string_view digits = rest[1];
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), size);
  const bool is_number = !digits.empty() && digits.front() != '-' && parsed.ec == std::errc() &&
                         parsed.ptr == digits.data() + digits.size();
  if (!is_number) return bad(name, "its size is no number");
  into.blob = TRY(parse_digest(rest[0], size), "resource name {}", name.substr(0, 200));
  return rest.subspan(2);
}

}  // namespace

Result<std::string> parse_instance(std::string_view name) {
  TRY(expect_instance(name));
  return std::string(name);
}

base::Status expect_instance(std::string_view name) {
  if (name.empty()) return {};
  if (name.size() > instance_bytes_max)
    return base::fail(ErrorCode::invalid_argument, "an instance name of {} bytes: {} are the most", name.size(),
                      instance_bytes_max);
  for (const std::string_view segment : split(name)) {
    if (segment.empty()) return base::fail(ErrorCode::invalid_argument, "an instance name with an empty segment");
    if (segment == "." || segment == "..")
      return base::fail(ErrorCode::invalid_argument, "an instance name with the segment {}", segment);
    if (is_reserved(segment))
      return base::fail(ErrorCode::invalid_argument, "an instance name with the word {}, which ends one", segment);
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (std::any_of(segment.begin(), segment.end(), is_control))
      return base::fail(ErrorCode::invalid_argument, "an instance name with control characters");
  }
  return {};
}

Result<SizedDigest> parse_digest(std::string_view hash, std::int64_t size) {
  std::array<char, 7 + hash_digits> text{'s', 'h', 'a', '2', '5', '6', ':'};
  if (hash.size() == hash_digits) std::copy(hash.begin(), hash.end(), text.begin() + 7);
  const auto digest = BlobDigest::parse(std::string_view(text.data(), text.size()));
  if (hash.size() != hash_digits || !digest)
    return base::fail(ErrorCode::invalid_argument, "digest {}: it is not 64 small hex digits", hash.substr(0, 80));
  if (size < 0) return base::fail(ErrorCode::invalid_argument, "digest {}: a size of {}", hash, size);
  if ((size == 0) != (hash == empty_hash))
    return base::fail(ErrorCode::invalid_argument, "digest {}: it is not of {} bytes", hash, size);
  return SizedDigest{*digest, static_cast<std::uint64_t>(size)};
}

Result<ResourceName> parse_read_name(std::string_view name) {
  if (name.size() > name_bytes_max) return bad(name, "it is too long");
  const auto segments = split(name);
  const auto marker = std::find_if(segments.begin(), segments.end(), is_reserved);
  const auto at = static_cast<std::size_t>(marker - segments.begin());
  ResourceName parsed;
  parsed.instance = TRY(instance_of(Segments(segments).first(at)), "resource name {}", name.substr(0, 200));
  const Segments behind = TRY(parse_blob(name, Segments(segments).subspan(at), parsed));
  if (!behind.empty()) return bad(name, "there is something behind the size");
  return parsed;
}

Result<ResourceName> parse_write_name(std::string_view name) {
  if (name.size() > name_bytes_max) return bad(name, "it is too long");
  const auto segments = split(name);
  const auto marker = std::find_if(segments.begin(), segments.end(), is_reserved);
  const auto at = static_cast<std::size_t>(marker - segments.begin());
  if (marker == segments.end() || *marker != "uploads" || segments.size() < at + 2 || segments[at + 1].empty())
    return bad(name, "uploads and a UUID are missing");
  ResourceName parsed;
  parsed.instance = TRY(instance_of(Segments(segments).first(at)), "resource name {}", name.substr(0, 200));
  parsed.upload = std::string(segments[at + 1]);
  TRY(parse_blob(name, Segments(segments).subspan(at + 2), parsed));
  return parsed;
}

}  // namespace cairn::serve

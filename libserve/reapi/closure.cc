// SPDX-License-Identifier: Apache-2.0
#include "libserve/reapi/closure.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>

#include "libserve/reapi/fields.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t tree_bytes_max = 256u << 20;

// Digest: hash 1, size_bytes 2.
Result<SizedDigest> read_digest(std::string_view message) {
  FieldReader reader(message);
  SizedDigest digest;
  std::string_view hash;
  while (const auto field = TRY(reader.next())) {
    if (field->number == 1 && field->wire == Field::Wire::bytes) hash = field->bytes;
    if (field->number == 2 && field->wire == Field::Wire::varint) digest.size = field->value;
  }
  auto parsed = BlobDigest::parse("sha256:" + std::string(hash));
  if (!parsed) return base::fail(ErrorCode::corrupt, "a digest whose hash is not 64 hex digits");
  digest.digest = *parsed;
  return digest;
}

// The digest that stands as field `number` of a message.
Status add_digest_of(std::string_view message, std::uint32_t number, std::vector<SizedDigest>& into) {
  FieldReader reader(message);
  while (const auto field = TRY(reader.next()))
    if (field->number == number && field->wire == Field::Wire::bytes) into.push_back(TRY(read_digest(field->bytes)));
  return {};
}

// Directory: files 1 { digest 2 }.
Status add_files_of_directory(std::string_view message, std::vector<SizedDigest>& into) {
  FieldReader reader(message);
  while (const auto field = TRY(reader.next()))
    if (field->number == 1 && field->wire == Field::Wire::bytes) TRY(add_digest_of(field->bytes, 2, into));
  return {};
}

Status expect_there(cache::BlobStore& blobs, const SizedDigest& wanted) {
  const auto found = TRY(blobs.find(wanted.digest));
  if (!found) return base::fail(ErrorCode::not_found, "blob {} is not there", wanted.digest);
  if (found->size != wanted.size)
    return base::fail(ErrorCode::not_found, "blob {} of {} bytes is not there: it has {}", wanted.digest, wanted.size,
                      found->size);
  return {};
}

Status expect_all(cache::BlobStore& blobs, std::span<const SizedDigest> wanted) {
  for (const SizedDigest& each : wanted) TRY(expect_there(blobs, each));
  return {};
}

// Whatever is empty is there.
void add_filled(const std::vector<SizedDigest>& from, std::vector<SizedDigest>& into) {
  std::copy_if(from.begin(), from.end(), std::back_inserter(into),
               [](const SizedDigest& each) { return each.size > 0; });
}

}  // namespace

// ActionResult: output_files 2 { digest 2 }, output_directories 3 { tree_digest 3, root_directory_digest 5 }, exit_code
// 4, stdout_digest 6, stderr_digest 8, symlinks 10 to 12, stdout_raw 5, stderr_raw 7, execution_metadata 9.
Result<NamedBlobs> blobs_of_action_result(std::string_view message) {
  FieldReader reader(message);
  NamedBlobs named;
  while (const auto field = TRY(reader.next())) {
    const bool is_bytes = field->wire == Field::Wire::bytes;
    if (field->number > 12 || field->number == 1 || is_bytes == (field->number == 4))
      return base::fail(ErrorCode::corrupt, "an ActionResult has no such field {}", field->number);
    if (field->number == 2) TRY(add_digest_of(field->bytes, 2, named.files));
    if (field->number == 3) {
      TRY(add_digest_of(field->bytes, 3, named.trees));
      TRY(add_digest_of(field->bytes, 5, named.files));
    }
    if (field->number == 6 || field->number == 8) named.files.push_back(TRY(read_digest(field->bytes)));
  }
  return named;
}

// Tree: root 1, children 2, each a Directory.
Result<std::vector<SizedDigest>> files_of_tree(std::string_view message) {
  FieldReader reader(message);
  std::vector<SizedDigest> files;
  while (const auto field = TRY(reader.next()))
    if ((field->number == 1 || field->number == 2) && field->wire == Field::Wire::bytes)
      TRY(add_files_of_directory(field->bytes, files));
  return files;
}

Result<std::vector<SizedDigest>> needed_by(std::string_view action_result, cache::BlobStore& blobs,
                                           const BringBlobs& bring) {
  const NamedBlobs named = TRY(blobs_of_action_result(action_result));
  std::vector<SizedDigest> needed, trees;
  add_filled(named.files, needed);
  add_filled(named.trees, trees);
  TRY(bring(trees));
  for (const SizedDigest& tree : trees) {
    needed.push_back(tree);
    const std::string bytes = TRY(blobs.read(tree.digest, tree_bytes_max), "tree {}", tree.digest);
    add_filled(TRY(files_of_tree(bytes), "tree {}", tree.digest), needed);
  }
  return needed;
}

Result<std::vector<BlobDigest>> closure_of(std::string_view action_result, cache::BlobStore& blobs) {
  const auto here = [&](std::span<const SizedDigest> trees) { return expect_all(blobs, trees); };
  const auto needed = TRY(needed_by(action_result, blobs, here));
  TRY(expect_all(blobs, needed));
  std::vector<BlobDigest> closure;
  for (const SizedDigest& each : needed) closure.push_back(each.digest);
  return closure;
}

}  // namespace cairn::serve

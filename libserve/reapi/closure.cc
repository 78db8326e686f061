// SPDX-License-Identifier: Apache-2.0
#include "libserve/reapi/closure.h"

#include <initializer_list>

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

Status expect_there(cache::BlobStore& blobs, const SizedDigest& wanted, std::vector<BlobDigest>& closure) {
  if (wanted.size == 0) return {};  // whatever is empty is there
  const auto found = TRY(blobs.find(wanted.digest));
  if (!found) return base::fail(ErrorCode::not_found, "blob {} is not there", wanted.digest);
  if (found->size != wanted.size)
    return base::fail(ErrorCode::not_found, "blob {} of {} bytes is not there: it has {}", wanted.digest, wanted.size, found->size);
  closure.push_back(wanted.digest);
  return {};
}

}  // namespace

// ActionResult: output_files 2 { digest 2 }, output_directories 3 { tree_digest 3, root_directory_digest 5 }, exit_code 4, stdout_digest 6, stderr_digest 8,
// symlinks 10 to 12, stdout_raw 5, stderr_raw 7, execution_metadata 9.
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
    if ((field->number == 1 || field->number == 2) && field->wire == Field::Wire::bytes) TRY(add_files_of_directory(field->bytes, files));
  return files;
}

Result<std::vector<BlobDigest>> closure_of(std::string_view action_result, cache::BlobStore& blobs) {
  const NamedBlobs named = TRY(blobs_of_action_result(action_result));
  std::vector<BlobDigest> closure;
  for (const SizedDigest& file : named.files) TRY(expect_there(blobs, file, closure));
  for (const SizedDigest& tree : named.trees) {
    TRY(expect_there(blobs, tree, closure));
    if (tree.size == 0) continue;
    const std::string bytes = TRY(blobs.read(tree.digest, tree_bytes_max), "tree {}", tree.digest);
    for (const SizedDigest& file : TRY(files_of_tree(bytes), "tree {}", tree.digest)) TRY(expect_there(blobs, file, closure));
  }
  return closure;
}

}  // namespace cairn::serve

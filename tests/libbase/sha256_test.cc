// SPDX-License-Identifier: Apache-2.0
// The vectors are those of FIPS 180-4's examples.
#include "libbase/hash/sha256.h"

#include <string>

#include <gmock/gmock.h>

namespace cairn::base {
namespace {

const std::string empty_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const std::string abc_hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const std::string two_block_text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
const std::string two_block_hash = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
const std::string million_a_hash = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256Test, known_vectors) {
  EXPECT_EQ(to_hex(sha256("")), empty_hash);
  EXPECT_EQ(to_hex(sha256("abc")), abc_hash);
  EXPECT_EQ(to_hex(sha256(two_block_text)), two_block_hash);
  EXPECT_EQ(to_hex(sha256(std::string(1'000'000, 'a'))), million_a_hash);
}

TEST(Sha256Test, pieces_are_one_text) {
  for (std::size_t piece = 1; piece <= two_block_text.size(); ++piece) {
    Sha256 hash;
    for (std::size_t at = 0; at < two_block_text.size(); at += piece) {
      hash.update(std::string_view(two_block_text).substr(at, piece));
    }
    EXPECT_EQ(to_hex(hash.finish()), two_block_hash) << piece;
  }
}

TEST(Sha256Test, bytes_and_text_are_the_same) {
  const std::string text = "abc";
  EXPECT_EQ(to_hex(Sha256().update(std::as_bytes(std::span(text))).finish()), abc_hash);
}

TEST(Sha256Test, finish_starts_anew) {
  Sha256 hash;
  EXPECT_EQ(to_hex(hash.update("abc").finish()), abc_hash);
  EXPECT_EQ(to_hex(hash.finish()), empty_hash);
  EXPECT_EQ(to_hex(hash.update("a").update("bc").finish()), abc_hash);
}

TEST(Sha256Test, a_running_hash_can_be_moved) {
  Sha256 hash;
  hash.update("a");
  Sha256 moved = std::move(hash);
  moved.update("bc");
  hash = Sha256();
  EXPECT_EQ(to_hex(moved.finish()), abc_hash);
  EXPECT_EQ(to_hex(hash.finish()), empty_hash);
}

TEST(Sha256Test, digest_of_gives_the_meaning) {
  EXPECT_EQ((digest_of<Digest<struct Meaning>>("abc").str()), "sha256:" + abc_hash);
}

}  // namespace
}  // namespace cairn::base

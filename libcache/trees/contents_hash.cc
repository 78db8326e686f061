// SPDX-License-Identifier: Apache-2.0
#include "libcache/trees/contents_hash.h"

#include <array>
#include <utility>

namespace cairn::cache {
namespace {

using namespace std::string_view_literals;

// The text of a digest without an allocation: there is one for every name of a tree.
class DigestText {
 public:
  explicit DigestText(const TreeDigest& digest) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::size_t at = 7;
    for (const std::uint8_t byte : digest.bytes()) {
      text_[at++] = digits[byte >> 4];
      text_[at++] = digits[byte & 15];
    }
  }
  std::string_view view() const { return {text_.data(), text_.size()}; }

 private:
  std::array<char, 71> text_{'s', 'h', 'a', '2', '5', '6', ':'};
};

}  // namespace

void ContentsHash::add(std::string name, const TreeDigest& digest) {
  hash_.update(name).update(DigestText(digest).view());
  if (name.starts_with("\0\xff"sv)) again_.push_back({std::move(name), digest});
}

void ContentsHash::add_header(const TreeDigest& digest) { hash_.update("\0"sv).update(DigestText(digest).view()); }

void ContentsHash::add_name(std::string_view name, const TreeDigest& digest) {
  if (name.starts_with('\xff')) return add(std::string(1, '\0').append(name), digest);
  hash_.update("\0"sv).update(name).update(DigestText(digest).view());
}

void ContentsHash::add_directory(std::string_view name, const Contents& contents) {
  add_name(name, contents.digest);
  for (const HashedAgain& again : contents.again) add(std::string(1, '\0').append(name) + again.name, again.digest);
}

Contents ContentsHash::finish() {
  return {TreeDigest(hash_.finish()), std::exchange(again_, {})};
}

}  // namespace cairn::cache

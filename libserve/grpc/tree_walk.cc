// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/tree_walk.h"

#include <charconv>
#include <deque>
#include <set>

#include "libcache/cache.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;

namespace {

constexpr std::size_t page_directories = 1000;
constexpr std::size_t directory_bytes_max = static_cast<std::size_t>(batch_bytes_max);
constexpr std::size_t directories_max = 1'000'000;  // of one tree

class TreeWalk final : public grpc::ServerWriteReactor<reapi::GetTreeResponse> {
 public:
  TreeWalk(const Admitted& store, const reapi::GetTreeRequest& request)
      : store_(store), page_size_(request.page_size()) {
    const base::Status begun = begin(request);
    if (begun)
      next_page();
    else
      Finish(to_status(begun.error()));
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    next_page();
  }
  void OnDone() override { delete this; }

 private:
  base::Status begin(const reapi::GetTreeRequest& request) {
    TRY(expect_names(request));
    if (request.page_size() < 0)
      return base::fail(ErrorCode::invalid_argument, "pages of {} directories", request.page_size());
    const SizedDigest root = TRY(from_message(request.root_digest()));
    const std::string& token = request.page_token();
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), passed_over_);
    if (!token.empty() && (error != std::errc() || end != token.data() + token.size()))
      return base::fail(ErrorCode::invalid_argument, "a page token that nobody here has given");
    const bool there = is_there(store_.blobs, root);
    if (!there)
      return base::fail(ErrorCode::not_found, "directory {} of {} bytes is not there", root.digest, root.size);
    add(root);
    return {};
  }
  void add(const SizedDigest& directory) {
    if (seen_.insert(directory.digest).second) open_.push_back(directory);
  }

  // nullopt: it is not there.
  Result<std::optional<reapi::Directory>> read(const SizedDigest& wanted) {
    reapi::Directory directory;
    if (wanted.size == 0) return std::optional(std::move(directory));
    const auto bytes = store_.blobs.read(wanted.digest, directory_bytes_max);
    if (!bytes && (bytes.error().code == ErrorCode::not_found || bytes.error().code == ErrorCode::corrupt))
      return std::optional<reapi::Directory>();
    if (!bytes) return tl::unexpected(bytes.error());
    if (bytes->size() != wanted.size) return std::optional<reapi::Directory>();
    if (!directory.ParseFromString(*bytes))
      return base::fail(ErrorCode::invalid_argument, "blob {} is no Directory", wanted.digest);
    return std::optional(std::move(directory));
  }

  void next_page() {
    page_.Clear();
    const auto filled = fill_page();
    if (!filled) return Finish(to_status(filled.error()));
    if (open_.empty() && !next_) return StartWriteAndFinish(&page_, grpc::WriteOptions(), grpc::Status::OK);
    page_.set_next_page_token(std::to_string(given_));
    StartWrite(&page_);
  }

  base::Status fill_page() {
    const std::size_t most = page_size_ > 0 ? static_cast<std::size_t>(page_size_) : page_directories;
    std::size_t bytes = 0;
    while (static_cast<std::size_t>(page_.directories_size()) < most) {
      if (!next_) TRY(find_next());
      if (!next_) return {};
      const std::size_t size = next_->ByteSizeLong();
      if (bytes > 0 && bytes + size > directory_bytes_max) return {};
      bytes += size;
      *page_.add_directories() = std::move(*next_);
      next_.reset();
      ++given_;
    }
    return find_next();  // whether there is another page
  }

  // The next one that is there and was not given out before the token.
  base::Status find_next() {
    while (!next_ && !open_.empty()) {
      const SizedDigest at = open_.front();
      open_.pop_front();
      auto directory = TRY(read(at));
      if (!directory) continue;
      for (const reapi::DirectoryNode& child : directory->directories()) add(TRY(from_message(child.digest())));
      if (seen_.size() > directories_max)
        return base::fail(ErrorCode::invalid_argument, "a tree of more than {} directories", directories_max);
      if (passed_over_ > given_) {
        ++given_;
        continue;
      }
      next_ = std::move(directory);
    }
    return {};
  }

  const Admitted store_;
  const std::int32_t page_size_ = 0;
  std::uint64_t passed_over_ = 0, given_ = 0;
  std::deque<SizedDigest> open_;
  std::set<BlobDigest> seen_;
  std::optional<reapi::Directory> next_;
  reapi::GetTreeResponse page_;
};

}  // namespace

grpc::ServerWriteReactor<reapi::GetTreeResponse>* walk_tree(const Admission& admitted,
                                                            const reapi::GetTreeRequest& request) {
  if (!admitted) return refuse_stream<reapi::GetTreeResponse>(admitted.error());
  return new TreeWalk(*admitted, request);
}

}  // namespace cairn::serve

// SPDX-License-Identifier: Apache-2.0
// A repository that may be had from others, too. What a mirror cannot do is done by the next one, and in the end by the
// registry itself, so a sick mirror costs time only, and that once in a while.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "libbase/sync.h"
#include "libremote/registry/http_repository.h"

namespace cairn::remote {

// Until when a mirror is left alone; all repositories that are had from it share one. Thread-safe.
class Rest {
 public:
  bool is_over() const { return std::chrono::steady_clock::now() >= *until_.lock(); }
  void begin(std::chrono::milliseconds length) { *until_.lock() = std::chrono::steady_clock::now() + length; }

 private:
  mutable base::Guarded<std::chrono::steady_clock::time_point> until_;
};

class MirroredRepository final : public cache::Repository {
 public:
  struct Mirror {
    std::unique_ptr<HttpRepository> repository;
    std::shared_ptr<Rest> rest;
  };
  MirroredRepository(std::unique_ptr<HttpRepository> own, std::vector<Mirror> mirrors)
      : own_(std::move(own)), mirrors_(std::move(mirrors)) {}

  base::Result<BlobDigest> resolve(const std::string& tag, std::stop_token stop) override;
  base::Result<std::string> read(Document kind, const BlobDigest& digest, std::size_t size_max,
                                 std::stop_token stop) override;
  base::Result<std::unique_ptr<base::ByteSource>> open_blob(const BlobDigest& digest, std::optional<std::uint64_t> size,
                                                            std::stop_token stop) override;

  base::Result<Tagged> read_tag(const std::string& tag, std::size_t size_max, std::stop_token stop) override {
    return own_->read_tag(tag, size_max, std::move(stop));
  }
  base::Result<std::optional<std::uint64_t>> find_blob(const BlobDigest& digest, std::stop_token stop) override {
    return own_->find_blob(digest, std::move(stop));
  }
  base::Status push_blob(const BlobDigest& digest, std::uint64_t size, const OpenBlob& open,
                         std::stop_token stop) override {
    return own_->push_blob(digest, size, open, std::move(stop));
  }
  base::Result<bool> mount_blob(const BlobDigest& digest, const cache::RepositoryName& from,
                                std::stop_token stop) override {
    return own_->mount_blob(digest, from, std::move(stop));
  }
  base::Result<BlobDigest> push_manifest(const std::string& tag, const std::string& media_type,
                                         const std::string& bytes, std::stop_token stop) override {
    return own_->push_manifest(tag, media_type, bytes, std::move(stop));
  }

 private:
  friend class MirroredBody;
  // What the first gives that gives something, from the given one on; mirrors_.size() is the registry itself.
  template <class Ask>
  auto first_of(std::size_t& which, Ask&& ask);
  HttpRepository& at(std::size_t which) const {
    return which < mirrors_.size() ? *mirrors_[which].repository : *own_;
  }
  void has_failed(std::size_t which, const base::Error& error) const;

  const std::unique_ptr<HttpRepository> own_;
  const std::vector<Mirror> mirrors_;
};

}  // namespace cairn::remote

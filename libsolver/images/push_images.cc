// SPDX-License-Identifier: Apache-2.0
// Images to registries: blobs that are missing there, several at a time; then the documents that name them, and the
// tags last.
#include <algorithm>
#include <set>

#include "libbase/sync.h"
#include "libbase/thread_pool.h"
#include "libsolver/images/built_images.h"
#include "libsolver/remote_cache/registry_blobs.h"
#include "libsolver/sources/text_source.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t blobs_at_a_time = 4;

// Counts what was sent, on several threads.
class Sent {
 public:
  Sent(const std::function<void(std::uint64_t, std::uint64_t)>& progress, std::uint64_t total)
      : progress_(progress), total_(total) {}
  void add_done(std::uint64_t bytes) {
    std::uint64_t done = 0;
    {
      auto counts = counts_.lock();
      done = counts->done += bytes;
    }
    if (progress_) progress_(done, total_);
  }
  void add_sent(std::uint64_t bytes) { counts_.lock()->sent += bytes; }
  std::uint64_t sent() { return counts_.lock()->sent; }

 private:
  struct Counts {
    std::uint64_t done = 0, sent = 0;
  };
  const std::function<void(std::uint64_t, std::uint64_t)>& progress_;
  const std::uint64_t total_;
  base::Guarded<Counts> counts_;
};

class RepositoryPush {
 public:
  RepositoryPush(OpenedRepository into, const BuiltImages& built, const ImageExportContext& context, Sent& sent,
                 const std::stop_token& stop)
      : into_(std::move(into)), built_(built), context_(context), sent_(sent), stop_(stop) {}

  // Everything but the tags.
  Status push() {
    std::vector<std::function<Status()>> blobs;
    for (const auto& [digest, size] : built_.layer_sizes()) {
      blobs.push_back([this, blob = digest, bytes = size] {
        return put(blob, bytes,
                   [&](std::uint64_t offset) { return context_.origins.open_blob(blob, offset, stop_); });
      });
    }
    for (const auto& [digest, config] : built_.configs()) {
      blobs.push_back([this, blob = digest, text = &config->text] { return put(blob, text->size(), open_text(*text)); });
    }
    TRY(run(blobs));
    for (const BuiltImages::Image& image : built_.images) {
      if (built_.index) TRY(name(image.manifest.descriptor.digest.str(), image.manifest));
    }
    return {};
  }
  Status name(const std::string& tag, const Document& document) const {
    TRY(into_.repository->push_manifest(tag, document.descriptor.media_type, document.text, stop_));
    return {};
  }

 private:
  Status put(const BlobDigest& digest, std::uint64_t size, const cache::Repository::OpenBlob& open) {
    if (TRY(put_blob(into_, context_.origins, digest, size, open, stop_), "blob {}", digest)) sent_.add_sent(size);
    // Another repository of this registry can take it over from here.
    if (!context_.origins.find(digest)) context_.origins.add(digest, size, into_.name);
    sent_.add_done(size);
    return {};
  }

  // All, some at a time; the first error.
  static Status run(const std::vector<std::function<Status()>>& tasks) {
    base::Guarded<Status> outcome;
    base::ThreadPool pool({.threads = blobs_at_a_time});
    for (const auto& task : tasks) {
      TRY(pool.submit([&](std::stop_token) {
        if (!*outcome.lock()) return;
        const Status done = task();
        auto first = outcome.lock();
        if (!done && *first) *first = done;
      }));
    }
    pool.wait_idle();
    return *outcome.lock();
  }

  const OpenedRepository into_;
  const BuiltImages& built_;
  const ImageExportContext& context_;
  Sent& sent_;
  const std::stop_token& stop_;
};

std::uint64_t size_of(const BuiltImages& built) {
  std::uint64_t total = 0;
  for (const auto& [digest, size] : built.layer_sizes()) total += size;
  for (const auto& [digest, config] : built.configs()) total += config->text.size();
  return total;
}

}  // namespace

Result<WrittenImages> push_images(const BuiltImages& built, const ImageExport& order,
                                  const ImageExportContext& context, const std::stop_token& stop) {
  std::map<cache::RepositoryName, std::vector<std::string>> tags;
  for (const std::string& name : order.output.names) {
    const ImageReference reference = TRY(parse_image_reference(name));
    tags[reference.repository].push_back(reference.tag);
  }
  Sent sent(order.progress, size_of(built) * tags.size());
  std::vector<std::pair<cache::RepositoryName, RepositoryPush>> pushes;
  for (const auto& [name, unused] : tags) {
    auto repository =
        TRY(context.origins.open(name, order.credentials ? order.credentials(name.host) : std::string()));
    pushes.emplace_back(name, RepositoryPush({name, std::move(repository)}, built, context, sent, stop));
    TRY(pushes.back().second.push(), "push to {}", name.text());
  }
  WrittenImages written;
  const Document& root = built.root();
  for (const auto& [name, push] : pushes) {
    if (order.output.push == ImageOutput::Push::by_digest) {
      TRY(push.name(root.descriptor.digest.str(), root), "push to {}", name.text());
      written.names.push_back(name.text() + "@" + root.descriptor.digest.str());
      continue;
    }
    for (const std::string& tag : tags[name]) {
      TRY(push.name(tag, root), "push {}:{}", name.text(), tag);
      written.names.push_back(name.text() + ":" + tag);
    }
  }
  written.bytes = sent.sent();
  return written;
}

}  // namespace cairn::solver

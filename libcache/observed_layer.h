// SPDX-License-Identifier: Apache-2.0
// What a layer puts into a tree, noted while it is unpacked: bytes are hashed on their way and the metadata looked at as it
// was set, so that the pages of the tree follow from those of its parent and no file of it is opened for its digests.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "libbase/result.h"
#include "libcache/ref.h"
#include "libsnapshot/layer.h"

namespace cairn::cache {

struct PageSet;  // private
struct Store;    // private

// For one apply_layer onto a tree that is committed with it; nothing else has changed that tree. Costs a SHA-256 of all bytes
// on the thread that unpacks. Not thread-safe. Memory: some 500 bytes for each path of the layer.
class ObservedLayer final : public snapshot::LayerObserver {
 public:
  ObservedLayer();
  ObservedLayer(ObservedLayer&&) noexcept;
  ObservedLayer& operator=(ObservedLayer&&) noexcept;
  ~ObservedLayer() override;

  void begin_file(const File& says) override;
  void bytes(std::uint64_t offset, std::span<const char> bytes) override;
  void made_file(const base::TreePath& path, int file) override;
  void made_other(const base::TreePath& path, int directory, const std::string& name) override;
  void made_link(const base::TreePath& path, const base::TreePath& existing, int directory,
                 const std::string& name) override;
  void made_directory(const base::TreePath& path) override;
  void removed(const base::TreePath& path) override;

 private:
  friend class MutableRef;
  friend struct LazyTree;  // private: a tree that a record gets later
  struct State;
  // The pages of the tree at this descriptor, as the record's. Null: they are not known, because those of the parent are
  // not, or because the layer did something that this does not follow (another name of a file of the parent; more holes
  // than are worth hashing). Errors: corrupt (a page), io, unavailable (too deep).
  base::Result<std::shared_ptr<const PageSet>> take_pages(Store& store, const std::optional<ImmutableRef>& parent,
                                                          RecordId record, int tree) &&;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
// What doors to other builders keep: values under names that those builders choose. An entry is a record without a
// tree. The record names the blob that is the value and every blob that the value needs, its *closure*; so while an
// entry is there, all of it is there, and a hit is a hold on all of it (I4). It is accounted, pinned and collected as
// other records are.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/lmdb/group_writer.h"
#include "libbase/result.h"
#include "libcache/blob_namespace.h"
#include "libcache/digests.h"
#include "libcache/record.h"
#include "libcache/ref.h"
#include "libsnapshot/digests.h"

namespace cairn::cache {

class Cache;
struct Store;  // private

// Who has written an entry, and who asks for one. What an untrusted writer has put is shown to untrusted readers only, until
// it is promoted; what a trusted one has put is shown to both, and to an untrusted reader first.
enum class Trust : std::uint8_t { untrusted = 0, trusted = 1 };
std::string_view to_string(Trust trust);

// Two entries are the same one if all of their names are. `door` is the protocol ("bazel", "ccache"), `instance` what
// an installation calls one of several caches behind it (empty: the only one), `trust` that of whoever puts or asks.
struct EntryName {
  std::string door;
  std::string instance{};
  Trust trust = Trust::trusted;
  std::string key{};
};
inline constexpr std::size_t entry_key_bytes_max = 1024;
inline constexpr std::size_t entry_attributes_bytes_max = 2048;

// What it is found under; docs/formats/store.md has the bytes.
KeyDigest key_of(const EntryName& name);
// Whose records its entries are: "ccache", "bazel/team".
Owner owner_of(const EntryName& name);

struct NewEntry {
  EntryName name;
  BlobDigest value;                        // has been put
  std::vector<BlobDigest> closure{};       // so have these
  std::string attributes{};                // what the door wants to know of it again
  std::chrono::nanoseconds build_time{0};  // what making it took, if the client says so
};

struct Entry {
  ImmutableRef hold;  // on all of it
  BlobDigest value;
  std::uint64_t value_bytes = 0;
  std::string attributes;
  bool in_namespace = false;  // put by a store of its namespace
};

// How long what is promised stays at least, and at most half as long again. Zero, as at first: no longer than it is held.
void set_promise_time(Cache& cache, std::chrono::milliseconds time);

// The entries of a cache, which outlives it; any number of these are one. Thread-safe.
class EntryStore {
 public:
  // With a namespace (blob_namespace.h) an entry is put only if that has the value and the closure, and with an entry that is
  // found it has them, too.
  explicit EntryStore(Cache& cache, std::optional<NamespaceId> space = {});

  enum class Existing : std::uint8_t { replace, keep };  // keep: any that the writer would be shown
  enum class Outcome : std::uint8_t {
    made,
    replaced,  // the one that was there leads nowhere any more; whoever holds it keeps it
    same,      // there was one with this value and these attributes: a use of it, and nothing is written
    kept,      // there was another one, and it was to be kept
  };
  struct Put {
    Outcome outcome = Outcome::made;
    base::lmdb::SequenceNumber sequence = 0;  // to wait for; 0: durable
  };
  // Found by others at once, durable with the number. Of several puts of one name the last counts. The value is given
  // over: if it comes to nothing, a prune may take what was put for it. Errors: not_found (the value or a blob of the
  // closure is not there; the message names the first), invalid_argument (too long a name or attributes), no_space, io.
  base::Result<Put> put(NewEntry entry, Existing existing = Existing::replace);
  // An entry that a door does not accept, by what it has kept with it, is none.
  using Accepts = std::function<bool(const Entry& entry)>;
  // Counts as a use, and in the statistics of its owner. O(1), never waits for I/O of others.
  base::Result<std::optional<Entry>> find(const EntryName& name, const Accepts& accepts = {});
  // Whoever was given this entry, or was told that this blob is there, may rely on it for promise_time although nobody holds
  // it: no collection takes it, not for want of room either. In memory: a promise ends with the process. A blob is promised
  // first and looked for then.
  void promise(const Entry& entry);
  void promise(const BlobDigest& blob);
  // An upload that its client has still to name: from now on promised, and no longer kept for as long as the process lives.
  void uploaded(const BlobDigest& blob);

  // Neither use nor statistics.
  base::Result<std::optional<Entry>> peek(const EntryName& name) { return look_for(name); }
  base::Result<bool> contains(const EntryName& name, const Accepts& accepts = {});
  // No lookup that begins later finds it, and that is durable. Whether there was one. Of this trust only: an untrusted
  // writer takes nothing away from others.
  base::Result<bool> erase(const EntryName& name);

  // What an untrusted writer has put under this name is from now on what a trusted one has put, durably; and who did that,
  // when and why is in the list of promotions (promotion.h). Existing::keep: not over another trusted one.
  // Errors: not_found (no untrusted writer has put one), already_exists (a trusted one of another value), no_space, io.
  struct Promoter {
    std::string who;     // for people
    std::string reason;  // at most 1024 bytes
  };
  base::Result<Put> promote(EntryName name, const Promoter& by, Existing existing = Existing::keep);

 private:
  base::Result<Put> put_given(NewEntry entry, Existing existing, const Promoter* promoter = nullptr);
  base::Status give_closure(const Entry& entry);
  base::Result<std::optional<Entry>> look(const KeyDigest& key);
  base::Result<std::optional<Entry>> look_for(const EntryName& name, const Accepts& accepts = {});
  Store& store_;
  const std::optional<NamespaceId> space_;
};

}  // namespace cairn::cache

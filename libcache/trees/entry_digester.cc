// SPDX-License-Identifier: Apache-2.0
#include "libcache/trees/entry_digester.h"

#include <algorithm>

namespace cairn::cache {
namespace {

// spec/storage 3.1: a scan never sees device numbers; a client that streams a tree sends them.
bool has_device(const TreeEntry& entry) { return entry.device_major != 0 || entry.device_minor != 0; }

// spec/storage 3.1: clients do not send the attributes of one system.
bool is_unsent(std::string_view xattr) { return xattr.starts_with("com.apple."); }

}  // namespace

// The header of the entry goes into the hash, or into both where the rules differ.
void EntryDigester::begin(const TreeEntry& entry, Times times) {
  if (is_begun_) {  // by an entry that failed half way
    (void)scan_.finish();
    (void)stream_.finish();
  }
  is_begun_ = true;
  const bool sends_less = std::any_of(entry.xattrs.begin(), entry.xattrs.end(),
                                      [](const auto& xattr) { return is_unsent(xattr.first); });
  differs_ = sends_less || has_device(entry);
  if (!differs_) {
    scan_.update(header_text(entry, times));
    return;
  }
  TreeEntry scanned = entry, streamed = entry;
  scanned.device_major = scanned.device_minor = 0;
  std::erase_if(streamed.xattrs, [](const auto& xattr) { return is_unsent(xattr.first); });
  scan_.update(header_text(scanned, times));
  stream_.update(header_text(streamed, times));
}

void EntryDigester::update(std::span<const std::byte> bytes) {
  scan_.update(bytes);
  if (differs_) stream_.update(bytes);
}

EntryDigests EntryDigester::finish() {
  is_begun_ = false;
  const TreeDigest scan(scan_.finish());
  return {scan, differs_ ? TreeDigest(stream_.finish()) : scan};
}

}  // namespace cairn::cache

// SPDX-License-Identifier: Apache-2.0
// The key graph of this store: queued facts first, then the tables.
#pragma once

#include <functional>

#include "libbase/lmdb/env.h"
#include "libcache/key_store.h"

namespace cairn::cache {

struct Store;

class LocalKeyStore final : public KeyStore {
 public:
  explicit LocalKeyStore(Store& store) : store_(store) {}
  base::Status read(const std::function<base::Status(Reader&)>& f) override;

  // Runs f on the version of the read() that this thread is in, or on a new one.
  template <class F>
  auto in_version(F&& f) -> std::invoke_result_t<F, base::lmdb::ReadTxn&> {
    if (base::lmdb::ReadTxn* current = current_txn()) return f(*current);
    return env().view(std::forward<F>(f));
  }

 private:
  base::lmdb::ReadTxn* current_txn() const;
  base::lmdb::Env& env() const;

  Store& store_;
};

}  // namespace cairn::cache

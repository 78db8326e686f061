// SPDX-License-Identifier: Apache-2.0
// What the calling thread is in the middle of. Transactions are closures, so this is a stack that lives on the stack.
#pragma once

#include "libbase/lmdb/env.h"

namespace cairn::base::lmdb {

struct ViewFrame {
  const Env* env;
  ActiveTxn* txn;
  const ViewFrame* outer;
};

inline thread_local const ViewFrame* innermost_view = nullptr;
inline thread_local const Env* updating_env = nullptr;

inline bool in_transaction() { return innermost_view != nullptr || updating_env != nullptr; }

// The thread's innermost view of this environment, or null.
inline const ViewFrame* find_view(const Env* env) {
  const ViewFrame* frame = innermost_view;
  while (frame != nullptr && frame->env != env) frame = frame->outer;
  return frame;
}

class ViewScope {
 public:
  ViewScope(const Env* env, ActiveTxn* txn) : frame_{env, txn, innermost_view} { innermost_view = &frame_; }
  ~ViewScope() { innermost_view = frame_.outer; }
  ViewScope(const ViewScope&) = delete;
  ViewScope& operator=(const ViewScope&) = delete;

 private:
  ViewFrame frame_;
};

class UpdateScope {
 public:
  explicit UpdateScope(const Env* env) { updating_env = env; }
  ~UpdateScope() { updating_env = nullptr; }
  UpdateScope(const UpdateScope&) = delete;
  UpdateScope& operator=(const UpdateScope&) = delete;
};

}  // namespace cairn::base::lmdb

// SPDX-License-Identifier: Apache-2.0
// The gate is one word; every wait is for a change of that word, so no wake-up can be missed.
#include "libbase/lmdb/reader_gate.h"

namespace cairn::base::lmdb {

void ReaderGate::enter(Entry entry) {
  if (entry == Entry::nested) {
    word_.fetch_add(1);
    return;
  }
  std::uint32_t word = word_.load();
  for (;;) {
    if ((word & closed) != 0) {
      word_.wait(word);
      word = word_.load();
    } else if (word_.compare_exchange_weak(word, word + 1)) {
      return;
    }
  }
}

void ReaderGate::leave() {
  if (word_.fetch_sub(1) == (closed | 1u)) word_.notify_all();
}

void ReaderGate::close() {
  std::uint32_t word = word_.fetch_or(closed) | closed;
  while (word != closed) {
    word_.wait(word);
    word = word_.load();
  }
}

void ReaderGate::open() {
  word_.fetch_and(~closed);
  word_.notify_all();
}

}  // namespace cairn::base::lmdb

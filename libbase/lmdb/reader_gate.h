// SPDX-License-Identifier: Apache-2.0
// LMDB remaps its file under live readers when the map changes its size, without an error. This gate keeps the two
// apart: readers pass it with one atomic operation, and whoever resizes closes it and waits until they have left.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

namespace cairn::base::lmdb {

// Thread-safe.
class ReaderGate {
 public:
  // A nested reader is one whose thread is inside already: it never waits, or it would wait for itself.
  enum class Entry { outermost, nested };

  // Inside while it lives.
  class Pass {
   public:
    Pass(ReaderGate& gate, Entry entry) : gate_(gate) { gate_.enter(entry); }
    ~Pass() { gate_.leave(); }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    ReaderGate& gate_;
  };

  // Nobody is inside while it lives. Its thread must not be inside.
  class Closure {
   public:
    explicit Closure(ReaderGate& gate) : gate_(gate), lock_(gate.closing_) { gate_.close(); }
    ~Closure() { gate_.open(); }
    Closure(const Closure&) = delete;
    Closure& operator=(const Closure&) = delete;

   private:
    ReaderGate& gate_;
    std::lock_guard<std::mutex> lock_;
  };

  bool idle() const { return word_.load() == 0; }

 private:
  void enter(Entry entry);
  void leave();
  void close();
  void open();

  static constexpr std::uint32_t closed = 1u << 31;
  std::atomic<std::uint32_t> word_{0};  // the number of readers inside, and the flag
  std::mutex closing_;
};

}  // namespace cairn::base::lmdb

// SPDX-License-Identifier: Apache-2.0
// Lists that grow from stage to stage.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace cairn::dockerfile {

// What a stage shares with those that begin with it: a copy costs nothing, however long it is.
template <class T>
class SharedList {
 public:
  SharedList() = default;
  SharedList(const SharedList&) = default;
  SharedList(SharedList&&) noexcept = default;
  SharedList& operator=(SharedList other) noexcept {
    std::swap(last_, other.last_);
    return *this;
  }
  ~SharedList() {
    while (last_ && last_.use_count() == 1) last_ = std::exchange(last_->before, nullptr);  // one by one: no depth
  }
  void push_back(T entry) { last_ = std::make_shared<Node>(Node{std::move(entry), last_}); }
  std::vector<T> entries() const {  // in order
    std::vector<T> all;
    for (const Node* node = last_.get(); node != nullptr; node = node->before.get()) all.push_back(node->entry);
    std::reverse(all.begin(), all.end());
    return all;
  }
  template <class Is>
  bool any_of(const Is& is) const {
    for (const Node* node = last_.get(); node != nullptr; node = node->before.get())
      if (is(node->entry)) return true;
    return false;
  }

 private:
  struct Node {
    T entry;
    std::shared_ptr<Node> before;
  };
  std::shared_ptr<Node> last_;
};

}  // namespace cairn::dockerfile

// SPDX-License-Identifier: Apache-2.0
// A source vertex while its attributes are written.
#pragma once

#include "libsolver/llb/node.h"
#include "libsolver/wire/go_json.h"

namespace cairn::solver::llb {

struct NewSource {
  std::shared_ptr<Node> node = std::make_shared<Node>();
  wire::SourceOp op;

  void attr(const char* key, std::string value) { op.attrs[key] = std::move(value); }
  void need(const char* capability) { node->need_capability(capability); }
  // With the capability if there is one; an empty text is none.
  void text(const char* key, const std::string& value, const char* capability = nullptr) {
    if (value.empty()) return;
    attr(key, value);
    if (capability != nullptr) need(capability);
  }
  // An attribute that is there, as "true", or is not.
  void mark(const char* key, const char* capability) { text(key, "true", capability); }
  void number(const char* key, std::int64_t value, const char* capability = nullptr) {
    if (value != 0) text(key, std::to_string(value), capability);
  }
  void list(const char* key, const std::vector<std::string>& values, const char* capability = nullptr) {
    if (!values.empty()) text(key, wire::go_json(values), capability);
  }
  void mode(const char* key, std::int64_t value, const char* capability = nullptr) {
    if (value != 0) text(key, fmt::format("0{:o}", value), capability);
  }
  State finish(std::string identifier, std::string_view name) {
    op.identifier = std::move(identifier);
    node->op.op = std::move(op);
    node->name(name);
    return Node::state(std::move(node));
  }
};

}  // namespace cairn::solver::llb

// SPDX-License-Identifier: Apache-2.0
// Fields of messages: what is asked for is there and of its kind, or the message is corrupt.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "libbase/result.h"
#include "tools/engine/protocol.h"

namespace cairn::engine {

template <class T>
base::Result<T> take(const Message& message, const char* name) {
  const auto found = message.find(name);
  if (found == message.end()) return base::fail(base::ErrorCode::corrupt, "message without \"{}\"", name);
  if constexpr (std::is_same_v<T, std::string>) {
    if (found->is_binary()) {
      const auto& bytes = found->get_binary();
      return std::string(bytes.begin(), bytes.end());
    }
    if (found->is_string()) return found->get<std::string>();
  } else if constexpr (std::is_same_v<T, bool>) {
    if (found->is_boolean()) return found->get<bool>();
  } else {
    if (found->is_number_integer()) return found->get<T>();
  }
  return base::fail(base::ErrorCode::corrupt, "message with a strange \"{}\"", name);
}

// Step names and process output need not be UTF-8, so they cross as bytes.
inline Message bytes_of(std::string_view text) {
  return Message::binary(std::vector<std::uint8_t>(text.begin(), text.end()));
}

inline base::Result<const Message*> take_array(const Message& message, const char* name) {
  const auto found = message.find(name);
  if (found == message.end() || !found->is_array()) return base::fail(base::ErrorCode::corrupt, "message without list \"{}\"", name);
  return &*found;
}

inline Message encode_texts(const std::vector<std::string>& texts) {
  Message list = Message::array();
  for (const std::string& text : texts) list.push_back({{"text", bytes_of(text)}});
  return list;
}

inline base::Result<std::vector<std::string>> decode_texts(const Message& message, const char* name) {
  std::vector<std::string> texts;
  for (const Message& entry : *TRY(take_array(message, name))) texts.push_back(TRY(take<std::string>(entry, "text")));
  return texts;
}

}  // namespace cairn::engine

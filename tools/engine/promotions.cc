// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/promotions.h"

#include "tools/engine/message_fields.h"

namespace cairn::engine {

using base::ErrorCode;
using base::fail;
using base::Result;
using cache::EntryStore;

Result<Promoted> run_order(Engine& engine, const PromoteOrder& order) {
  EntryStore entries(engine.cache());
  cache::EntryName name{.door = order.door, .instance = order.instance, .key = order.key};
  const auto put = TRY(entries.promote(name, {.who = order.who, .reason = order.reason},
                                       order.replace ? EntryStore::Existing::replace : EntryStore::Existing::keep));
  const auto entry = TRY(entries.peek(name));
  if (!entry) return fail(ErrorCode::not_found, "promote entry {}: it has gone meanwhile", order.key);
  return Promoted{entry->value, put.outcome};
}

Message encode(const PromoteOrder& order) {
  return {{"door", bytes_of(order.door)}, {"instance", bytes_of(order.instance)}, {"key", bytes_of(order.key)},
          {"who", bytes_of(order.who)},   {"reason", bytes_of(order.reason)},     {"replace", order.replace}};
}

Result<PromoteOrder> decode_promote_order(const Message& message) {
  PromoteOrder order;
  order.door = TRY(take<std::string>(message, "door"));
  order.instance = TRY(take<std::string>(message, "instance"));
  order.key = TRY(take<std::string>(message, "key"));
  order.who = TRY(take<std::string>(message, "who"));
  order.reason = TRY(take<std::string>(message, "reason"));
  order.replace = TRY(take<bool>(message, "replace"));
  return order;
}

Message encode(const Promoted& promoted) {
  return {{"value", bytes_of(promoted.value.raw())}, {"outcome", static_cast<int>(promoted.outcome)}};
}

Result<Promoted> decode_promoted(const Message& message) {
  const std::string raw = TRY(take<std::string>(message, "value"));
  Promoted promoted{.value = TRY(BlobDigest::from_raw(raw))};
  const auto outcome = TRY(take<std::uint8_t>(message, "outcome"));
  if (outcome > static_cast<std::uint8_t>(EntryStore::Outcome::same)) return fail(ErrorCode::corrupt, "message with a strange \"outcome\"");
  promoted.outcome = static_cast<EntryStore::Outcome>(outcome);
  return promoted;
}

}  // namespace cairn::engine

// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/pins.h"

#include <algorithm>

#include "tools/engine/find_record.h"
#include "tools/engine/message_fields.h"

namespace cairn::engine {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<cache::LeaseId> run_order(Engine& engine, const PinOrder& order) {
  cache::Cache& cache = engine.cache();
  if (order.action == PinOrder::Action::release) {
    const auto leases = TRY(cache.leases());
    const bool is_pin = std::any_of(leases.begin(), leases.end(), [&](const cache::LeaseInfo& lease) {
      return lease.id == order.pin && lease.owner.starts_with(pin_owner);
    });
    if (!is_pin) return fail(ErrorCode::not_found, "pin {}: there is none", order.pin);
    TRY(cache.writer().wait_durable(TRY(cache.release_lease(order.pin))), "release pin {}", order.pin);
    return order.pin;
  }
  cache::LeaseRequest request{.owner = pin_owner + order.note, .expires = order.expires, .records = {}, .blobs = order.blobs};
  for (const std::uint64_t number : order.records) request.records.push_back(TRY(find_record(engine, number)));
  const cache::LeaseMade made = TRY(cache.create_lease(std::move(request)), "pin");
  TRY(cache.writer().wait_durable(made.sequence), "pin");
  return made.id;
}

Message encode(const PinOrder& order) {
  Message records = Message::array(), blobs = Message::array();
  for (const std::uint64_t record : order.records) records.push_back({{"record", record}});
  for (const BlobDigest& blob : order.blobs) blobs.push_back({{"blob", bytes_of(blob.raw())}});
  Message message = {{"action", static_cast<int>(order.action)}, {"records", std::move(records)}, {"blobs", std::move(blobs)},
                     {"note", bytes_of(order.note)}, {"pin", order.pin.value()}};
  if (order.expires) message["expires"] = base::to_unix_ns(*order.expires);
  return message;
}

Result<PinOrder> decode_pin_order(const Message& message) {
  PinOrder order;
  const auto action = TRY(take<std::uint8_t>(message, "action"));
  if (action > static_cast<std::uint8_t>(PinOrder::Action::release)) return fail(ErrorCode::corrupt, "message with a strange \"action\"");
  order.action = static_cast<PinOrder::Action>(action);
  for (const Message& entry : *TRY(take_array(message, "records"))) order.records.push_back(TRY(take<std::uint64_t>(entry, "record")));
  for (const Message& entry : *TRY(take_array(message, "blobs"))) {
    const std::string raw = TRY(take<std::string>(entry, "blob"));
    order.blobs.push_back(TRY(BlobDigest::from_raw(raw)));
  }
  order.note = TRY(take<std::string>(message, "note"));
  order.pin = cache::LeaseId(TRY(take<std::uint64_t>(message, "pin")));
  if (message.contains("expires")) order.expires = base::from_unix_ns(TRY(take<std::int64_t>(message, "expires")));
  return order;
}

Message encode_pin(cache::LeaseId pin) { return {{"pin", pin.value()}}; }
Result<cache::LeaseId> decode_pin(const Message& message) { return cache::LeaseId(TRY(take<std::uint64_t>(message, "pin"))); }

}  // namespace cairn::engine

// SPDX-License-Identifier: Apache-2.0
// pin and unpin: what stays whatever a policy says. A pin is a lease (libcache/lease.h) that somebody sets by hand; looking at them
// reads beside whoever owns the store, and the owner sets and releases them.
#include <algorithm>
#include <charconv>
#include <iostream>
#include <nlohmann/json.hpp>

#include "libcache/policy.h"
#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::fail;
using base::Result;
using nlohmann::ordered_json;

namespace {

using Align = TextTable::Align;

struct PinArguments {
  std::vector<std::string> targets;
  std::string note, expires;
  Output format = Output::text;
};
struct UnpinArguments {
  std::uint64_t pin = 0;
  Output format = Output::text;
};

std::string note_of(const cache::LeaseInfo& pin) { return pin.owner.substr(std::string_view(engine::pin_owner).size()); }

Result<std::vector<cache::LeaseInfo>> read_pins(const GlobalOptions& global) {
  const engine::StoreOptions options = TRY(store_options(global));
  const auto env = TRY(engine::open_read_only(options.engine.root));
  auto leases = TRY(cache::list_leases(*env, base::SystemClock().now()));
  std::erase_if(leases, [](const cache::LeaseInfo& lease) { return !lease.owner.starts_with(engine::pin_owner); });
  return leases;
}

ordered_json pin_json(const cache::LeaseInfo& pin) {
  ordered_json records = ordered_json::array(), blobs = ordered_json::array();
  for (const cache::RecordId record : pin.records) records.push_back(std::to_string(record.value()));
  for (const BlobDigest& blob : pin.blobs) blobs.push_back(blob.str());
  ordered_json json = {{"pin", std::to_string(pin.id.value())}, {"records", std::move(records)}, {"blobs", std::move(blobs)},
                       {"note", note_of(pin)}, {"created", rfc3339(pin.created)}};
  if (pin.expires) json["expires"] = rfc3339(*pin.expires);
  return json;
}

std::string targets_of(const cache::LeaseInfo& pin) {
  std::string text;
  for (const cache::RecordId record : pin.records) text += (text.empty() ? "record " : ", record ") + std::to_string(record.value());
  for (const BlobDigest& blob : pin.blobs) text += (text.empty() ? "blob " : ", blob ") + blob.str();
  return text;
}

ExitCode list_pins(const GlobalOptions& global, const PinArguments& arguments) {
  const auto pins = read_pins(global);
  if (!pins) return report_error(pins.error());
  if (arguments.format == Output::json) {
    ordered_json list = ordered_json::array();
    for (const cache::LeaseInfo& pin : *pins) list.push_back(pin_json(pin));
    std::cout << json_line({{"format", 1}, {"pins", std::move(list)}});
    return ExitCode::done;
  }
  TextTable table({{"PIN", Align::right}, {"CREATED", Align::left}, {"EXPIRES", Align::left}, {"WHAT", Align::left}, {"NOTE", Align::left}});
  for (const cache::LeaseInfo& pin : *pins)
    table.add({std::to_string(pin.id.value()), rfc3339(pin.created), pin.expires ? rfc3339(*pin.expires) : "-", targets_of(pin), printable(note_of(pin))});
  std::cout << table.str();
  return ExitCode::done;
}

// Records by their numbers, blobs by their digests.
Result<engine::PinOrder> order_of(const PinArguments& arguments) {
  engine::PinOrder order;
  order.note = arguments.note;
  for (const std::string& target : arguments.targets) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(target.data(), target.data() + target.size(), number);
    if (error == std::errc() && end == target.data() + target.size()) {
      order.records.push_back(number);
    } else if (target.starts_with("sha256:")) {
      order.blobs.push_back(TRY(BlobDigest::parse(target)));
    } else {
      return fail(ErrorCode::invalid_argument, "\"{}\": neither the number of a record nor sha256:HEX of a blob", target);
    }
  }
  if (!arguments.expires.empty()) order.expires = base::SystemClock().now() + TRY(cache::parse_age(arguments.expires), "--expires");
  return order;
}

ExitCode run_pin(const GlobalOptions& global, const PinArguments& arguments) {
  if (arguments.targets.empty()) return list_pins(global, arguments);
  const auto order = order_of(arguments);
  if (!order) {
    report_error(order.error());
    return ExitCode::usage;
  }
  const auto options = store_options(global);
  if (!options) return report_error(options.error());
  const Interrupt interrupt;
  const auto pin = engine::pin_in_store(*options, *order, interrupt.token());
  if (!pin) return report_error(pin.error());
  if (arguments.format == Output::json) std::cout << json_line({{"format", 1}, {"pin", std::to_string(pin->value())}});
  else std::cout << fmt::format("pin {}\n", pin->value());
  return ExitCode::done;
}

ExitCode run_unpin(const GlobalOptions& global, const UnpinArguments& arguments) {
  const auto options = store_options(global);
  if (!options) return report_error(options.error());
  engine::PinOrder order;
  order.action = engine::PinOrder::Action::release;
  order.pin = cache::LeaseId(arguments.pin);
  const Interrupt interrupt;
  auto released = engine::pin_in_store(*options, order, interrupt.token());
  if (!released) {
    if (released.error().code == ErrorCode::not_found && released.error().hint.empty()) released.error().hint = "pin without arguments lists those that there are";
    return report_error(released.error());
  }
  if (arguments.format == Output::json) std::cout << json_line({{"format", 1}, {"pin", std::to_string(arguments.pin)}});
  else std::cout << fmt::format("released pin {}\n", arguments.pin);
  return ExitCode::done;
}

}  // namespace

void add_pin_verbs(CLI::App& app, Program& program) {
  auto pin = add_verb<PinArguments>(app, program, "pin", R"(Keep records and blobs, whatever a policy says; without arguments: what is kept so.

Examples:
  cachectl --root DIR pin 1027 --note "the image of release 4"
  cachectl --root DIR pin 1027 1031 --expires 60d
  cachectl --root DIR pin
  cachectl --root DIR pin --json)", run_pin);
  pin.app.add_option("RECORD|DIGEST", pin.arguments.targets, "A record by its number, with all it is built on; a blob by its sha256:HEX");
  pin.app.add_option("--note", pin.arguments.note, "Why, for whoever reads the list")->type_name("TEXT");
  pin.app.add_option("--expires", pin.arguments.expires, "It ends by itself after so long")->type_name("AGE");
  auto unpin = add_verb<UnpinArguments>(app, program, "unpin", R"(End a pin: what it kept goes when a policy says so.

Examples:
  cachectl --root DIR unpin 1)", run_unpin);
  unpin.app.add_option("PIN", unpin.arguments.pin, "Its number, as pin says it")->required();
}

}  // namespace cairn::cachectl

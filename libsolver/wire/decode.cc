// SPDX-License-Identifier: Apache-2.0
// The reader: a known number with the expected wire type fills its member, everything else is kept as unknown. As in
// protobuf-go the last scalar wins, a message that comes twice is merged, and a oneof keeps its last member.
#include "libsolver/wire/codec.h"
#include "libsolver/wire/fields.h"
#include "libsolver/wire/scan.h"

namespace cairn::solver::wire {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;

// A definition may hold a definition (SourceInfo, BuildOp), so depth is the input's choice; real ones nest about 10 deep.
constexpr int depth_max = 32;

template <class M>
Status decode_into(M& message, std::string_view bytes, DecodeBudget& budget, int depth);

// One field against one message; visited with all of its fields, takes the one with the right number.
class Decoder {
 public:
  Decoder(const RawField& field, DecodeBudget& budget, int depth) : field_(field), budget_(budget), depth_(depth) {}

  bool taken() const { return taken_; }
  Status& status() { return status_; }

  void operator()(std::uint32_t number, const char* name, std::string& value) {
    if (wants(number, WireType::bytes)) status_ = string(name, value);
  }
  void operator()(std::uint32_t number, const char* name, Bytes& value) {
    if (wants(number, WireType::bytes)) status_ = bytes(name, value);
  }
  template <class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
  void operator()(std::uint32_t number, const char*, T& value) {
    if (wants(number, WireType::varint)) value = narrow<T>(field_.value);
  }
  template <Message T>
  void operator()(std::uint32_t number, const char* name, std::optional<T>& value) {
    if (!wants(number, WireType::bytes)) return;
    if (!value) value.emplace();
    status_ = message(name, *value);
  }
  template <Message T>
  void operator()(std::uint32_t number, const char* name, Box<T>& value) {
    if (!wants(number, WireType::bytes)) return;
    status_ = charge(sizeof(T));
    if (!status_) return;
    if (!value.has_value()) value.emplace();
    status_ = message(name, *value);
  }
  void operator()(std::uint32_t number, const char* name, std::vector<std::string>& values) {
    if (!wants(number, WireType::bytes)) return;
    status_ = charge(sizeof(std::string));
    if (status_) status_ = string(name, values.emplace_back());
  }
  void operator()(std::uint32_t number, const char* name, std::vector<Bytes>& values) {
    if (!wants(number, WireType::bytes)) return;
    status_ = charge(sizeof(Bytes));
    if (status_) status_ = bytes(name, values.emplace_back());
  }
  // Packed or one by one: both spellings are read, packed is written.
  template <class T>
    requires std::is_integral_v<T>
  void operator()(std::uint32_t number, const char* name, std::vector<T>& values) {
    if (wants(number, WireType::varint)) return append(values, field_.value);
    if (!wants(number, WireType::bytes)) return;
    for (Scanner scanner(field_.payload); status_ && !scanner.at_end();) {
      auto value = scanner.varint();
      if (!value) {
        status_ = tl::unexpected(add_context(std::move(value).error(), name));
      } else {
        append(values, *value);
      }
    }
  }
  template <Message T>
  void operator()(std::uint32_t number, const char* name, std::vector<T>& values) {
    if (!wants(number, WireType::bytes)) return;
    status_ = charge(sizeof(T));
    if (status_) status_ = message(name, values.emplace_back());
  }
  template <class T>
  void operator()(std::uint32_t number, const char* name, std::map<std::string, T>& entries) {
    if (wants(number, WireType::bytes)) status_ = entry(name, entries);
  }
  template <class T, class Variant>
  void member(std::uint32_t number, const char* name, Variant& variant) {
    if constexpr (Message<T>) {
      if (!wants(number, WireType::bytes)) return;
      if (!std::holds_alternative<T>(variant)) variant.template emplace<T>();
      status_ = message(name, std::get<T>(variant));
    } else {
      if (wants(number, WireType::varint)) variant.template emplace<T>(narrow<T>(field_.value));
    }
  }

 private:
  template <class T>
  static T narrow(std::uint64_t value) {
    if constexpr (std::is_same_v<T, bool>) {
      return value != 0;
    } else {
      return static_cast<T>(value);  // an int32 is the low half, as protobuf has it
    }
  }
  bool wants(std::uint32_t number, WireType type) {
    if (field_.number != number || field_.type != type) return false;
    taken_ = true;
    return true;
  }
  Status charge(std::size_t size) {
    if (size > budget_.bytes_left) return fail(ErrorCode::invalid_argument, "it would take too much memory to decode");
    budget_.bytes_left -= size;
    return {};
  }
  Status string(const char* name, std::string& value) {
    if (!is_utf8(field_.payload)) return fail(ErrorCode::invalid_argument, "{}: not valid UTF-8", name);
    TRY(charge(field_.payload.size()));
    value = field_.payload;
    return {};
  }
  Status bytes(const char*, Bytes& value) {
    TRY(charge(field_.payload.size()));
    value.value = field_.payload;
    return {};
  }
  template <class T>
  void append(std::vector<T>& values, std::uint64_t value) {
    status_ = charge(sizeof(T));
    if (status_) values.push_back(narrow<T>(value));
  }
  template <class T>
  Status message(const char* name, T& value) {
    TRY(decode_into(value, field_.payload, budget_, depth_ + 1), "{}", name);
    return {};
  }
  template <class T>
  Status entry(const char* name, std::map<std::string, T>& entries) {
    TRY(charge(sizeof(std::string) + sizeof(T) + 48));  // 48: about what a node of the map adds
    std::string key;
    T value{};
    for (Scanner scanner(field_.payload); !scanner.at_end();) {
      const RawField part = TRY(scanner.next(), "{}", name);
      Decoder decoder(part, budget_, depth_);
      decoder(1, "key", key);
      if (decoder.status()) decoder.map_value(value);
      TRY(std::move(decoder.status()), "{}", name);
    }
    entries.insert_or_assign(entries.end(), std::move(key), std::move(value));  // mostly they come in order
    return {};
  }
  void map_value(std::string& value) { (*this)(2, "value", value); }
  void map_value(bool& value) { (*this)(2, "value", value); }
  template <Message T>
  void map_value(T& value) {
    if (wants(2, WireType::bytes)) status_ = message("value", value);
  }

  const RawField& field_;
  DecodeBudget& budget_;
  int depth_;
  bool taken_ = false;
  Status status_;
};

template <class M>
Status decode_into(M& message, std::string_view bytes, DecodeBudget& budget, int depth) {
  if (depth > depth_max) return fail(ErrorCode::invalid_argument, "messages nest more than {} deep", depth_max);
  for (Scanner scanner(bytes); !scanner.at_end();) {
    const RawField field = TRY(scanner.next());
    Decoder decoder(field, budget, depth);
    Fields<M>::visit(message, decoder);
    TRY(std::move(decoder.status()));
    if (!decoder.taken()) message.unknown += field.whole;
  }
  return {};
}

template <class M>
base::Result<M> decoded(std::string_view bytes, DecodeBudget& budget) {
  if (sizeof(M) > budget.bytes_left) return fail(ErrorCode::invalid_argument, "it would take too much memory to decode");
  budget.bytes_left -= sizeof(M);
  M message;
  TRY(decode_into(message, bytes, budget, 1));
  return message;
}

}  // namespace

base::Result<Op> decode_op(std::string_view bytes, DecodeBudget& budget) { return decoded<Op>(bytes, budget); }
base::Result<OpMetadata> decode_op_metadata(std::string_view bytes, DecodeBudget& budget) {
  return decoded<OpMetadata>(bytes, budget);
}
base::Result<DefinitionMessage> decode_definition(std::string_view bytes, DecodeBudget& budget) {
  return decoded<DefinitionMessage>(bytes, budget);
}

}  // namespace cairn::solver::wire

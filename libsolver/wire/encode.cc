// SPDX-License-Identifier: Apache-2.0
// The writer: visits the fields in the order in which fields.h lists them, drops default values, writes every message
// that is present.
#include "libsolver/wire/codec.h"
#include "libsolver/wire/fields.h"
#include "libsolver/wire/scan.h"

namespace cairn::solver::wire {
namespace {

template <class M>
void append_message(std::string& out, const M& message);

class Encoder {
 public:
  explicit Encoder(std::string& out) : out_(out) {}

  void operator()(std::uint32_t number, const char*, const std::string& value) {
    if (!value.empty()) bytes(number, value);
  }
  void operator()(std::uint32_t number, const char*, const Bytes& value) {
    if (!value.value.empty()) bytes(number, value.value);
  }
  template <class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
  void operator()(std::uint32_t number, const char*, const T& value) {
    if (value != T{}) scalar(number, value);
  }
  template <Message T>
  void operator()(std::uint32_t number, const char*, const std::optional<T>& value) {
    if (value) message(number, *value);
  }
  template <Message T>
  void operator()(std::uint32_t number, const char*, const Box<T>& value) {
    if (value.has_value()) message(number, *value);
  }
  void operator()(std::uint32_t number, const char*, const std::vector<std::string>& values) {
    for (const auto& value : values) bytes(number, value);
  }
  void operator()(std::uint32_t number, const char*, const std::vector<Bytes>& values) {
    for (const auto& value : values) bytes(number, value.value);
  }
  template <class T>
    requires std::is_integral_v<T>
  void operator()(std::uint32_t number, const char*, const std::vector<T>& values) {
    if (values.empty()) return;
    nested(number, [&] {
      for (const T value : values) append_varint(out_, widen(value));
    });
  }
  template <Message T>
  void operator()(std::uint32_t number, const char*, const std::vector<T>& values) {
    for (const T& value : values) message(number, value);
  }
  template <class T>
  void operator()(std::uint32_t number, const char*, const std::map<std::string, T>& entries) {
    for (const auto& [key, value] : entries) {
      nested(number, [&] {
        bytes(1, key);
        always(2, value);
      });
    }
  }
  // A member of a oneof has presence: it is written even with its default value.
  template <class T, class Variant>
  void member(std::uint32_t number, const char*, const Variant& variant) {
    if (const T* value = std::get_if<T>(&variant)) always(number, *value);
  }

 private:
  // Negative values are sign-extended to 64 bits, also those of 32.
  template <class T>
  static std::uint64_t widen(T value) {
    if constexpr (std::is_same_v<T, bool> || (std::is_unsigned_v<T> && !std::is_enum_v<T>)) {
      return static_cast<std::uint64_t>(value);
    } else {
      return static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
    }
  }
  void always(std::uint32_t number, const std::string& value) { bytes(number, value); }
  template <class T>
    requires(std::is_integral_v<T>)
  void always(std::uint32_t number, const T& value) {
    scalar(number, value);
  }
  template <Message T>
  void always(std::uint32_t number, const T& value) {
    message(number, value);
  }
  template <class T>
  void scalar(std::uint32_t number, const T& value) {
    append_varint(out_, (std::uint64_t{number} << 3) | static_cast<std::uint64_t>(WireType::varint));
    append_varint(out_, widen(value));
  }
  void bytes(std::uint32_t number, const std::string& value) {
    append_varint(out_, (std::uint64_t{number} << 3) | static_cast<std::uint64_t>(WireType::bytes));
    append_varint(out_, value.size());
    out_ += value;
  }
  template <Message T>
  void message(std::uint32_t number, const T& value) {
    nested(number, [&] { append_message(out_, value); });
  }
  // What has its length before it, written in place: most lengths are one byte, which is moved up if it becomes more.
  template <class Write>
  void nested(std::uint32_t number, const Write& write) {
    append_varint(out_, (std::uint64_t{number} << 3) | static_cast<std::uint64_t>(WireType::bytes));
    out_.push_back('\0');
    const std::size_t begin = out_.size();
    write();
    std::string length;
    append_varint(length, out_.size() - begin);
    out_.replace(begin - 1, 1, length);
  }

  std::string& out_;
};

template <class M>
void append_message(std::string& out, const M& message) {
  Encoder encoder(out);
  Fields<M>::visit(message, encoder);
  out += message.unknown;
}

template <class M>
std::string encoded(const M& message) {
  std::string out;
  append_message(out, message);
  return out;
}

}  // namespace

std::string encode(const Op& op) { return encoded(op); }
void append(std::string& out, const Op& op) { append_message(out, op); }
std::string encode(const OpMetadata& metadata) { return encoded(metadata); }
std::string encode(const DefinitionMessage& definition) { return encoded(definition); }

}  // namespace cairn::solver::wire

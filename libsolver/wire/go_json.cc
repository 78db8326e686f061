// SPDX-License-Identifier: Apache-2.0
#include "libsolver/wire/go_json.h"

#include "libbase/base64.h"
#include "libsolver/wire/fields.h"
#include "libsolver/wire/scan.h"

namespace cairn::solver::wire {
namespace {

template <class M>
std::string object(const M& message);

void append_escaped(std::string& out, std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text.substr(at));
    const auto sequence = text.substr(at, length);
    const auto byte = static_cast<unsigned char>(text[at]);
    at += length == 0 ? 1 : length;
    if (length == 0) {
      out += "\\ufffd";
    } else if (length > 1) {
      if (sequence == "\u2028") out += "\\u2028";
      else if (sequence == "\u2029") out += "\\u2029";
      else out += sequence;
    } else {
      switch (byte) {
        case '"': out += "\\\""; break;
        case '\\': out += "\\\\"; break;
        case '\b': out += "\\b"; break;
        case '\f': out += "\\f"; break;
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        default:
          if (byte < 0x20 || byte == '<' || byte == '>' || byte == '&') out += fmt::format("\\u{:04x}", byte);
          else out += static_cast<char>(byte);
      }
    }
  }
}

// Visits the fields of one message; every field of a protobuf struct is `omitempty`.
class JsonVisitor {
 public:
  explicit JsonVisitor(GoJsonObject& out) : out_(out) {}

  void operator()(std::uint32_t, const char* name, const std::string& value) {
    if (!value.empty()) out_.text(name, value);
  }
  void operator()(std::uint32_t, const char* name, const Bytes& value) {
    if (!value.value.empty()) out_.raw(name, json(value));
  }
  template <class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
  void operator()(std::uint32_t, const char* name, const T& value) {
    if (value != T{}) out_.raw(name, json(value));
  }
  template <Message T>
  void operator()(std::uint32_t, const char* name, const std::optional<T>& value) {
    if (value) out_.raw(name, object(*value));
  }
  template <Message T>
  void operator()(std::uint32_t, const char* name, const Box<T>& value) {
    if (value.has_value()) out_.raw(name, object(*value));
  }
  template <class T>
  void operator()(std::uint32_t, const char* name, const std::vector<T>& values) {
    if (values.empty()) return;
    std::string list = "[";
    for (const T& value : values) {
      if (list.size() > 1) list += ',';
      list += json(value);
    }
    out_.raw(name, list + ']');
  }
  template <class T>
  void operator()(std::uint32_t, const char* name, const std::map<std::string, T>& entries) {
    if (entries.empty()) return;
    GoJsonObject map;
    for (const auto& [key, value] : entries) map.raw(key, json(value));
    out_.raw(name, map.take());
  }
  // Of the messages that take part in CacheMap digests only UserOpt has a oneof, and it has a form of its own.
  template <class T, class Variant>
  void member(std::uint32_t, const char*, const Variant&) {}

 private:
  static std::string json(const std::string& value) { return go_json(value); }
  static std::string json(const Bytes& value) { return '"' + base::base64(value.value) + '"'; }
  template <class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
  static std::string json(const T& value) {
    if constexpr (std::is_same_v<T, bool>) return value ? "true" : "false";
    else if constexpr (std::is_enum_v<T>) return std::to_string(static_cast<std::int32_t>(value));
    else return std::to_string(value);
  }
  template <Message T>
  static std::string json(const T& value) {
    return object(value);
  }

  GoJsonObject& out_;
};

template <class M>
std::string object(const M& message) {
  GoJsonObject out;
  JsonVisitor visitor(out);
  Fields<M>::visit(message, visitor);
  return out.take();
}

// {"User":{"byName":{…}}} or {"User":{"byId":n}}, with byId left out when it is 0 (spec/solver 3.1).
template <>
std::string object(const UserOpt& message) {
  GoJsonObject user;
  if (const auto* named = std::get_if<NamedUserOpt>(&message.user)) user.raw("byName", object(*named));
  if (const auto* id = std::get_if<std::uint32_t>(&message.user); id && *id != 0) user.number("byId", *id);
  return GoJsonObject().raw("User", user.take()).take();
}

}  // namespace

GoJsonObject& GoJsonObject::raw(std::string_view key, std::string_view json) {
  if (out_.size() > 1) out_ += ',';
  out_ += go_json(key);
  out_ += ':';
  out_ += json;
  return *this;
}

std::string go_json(std::string_view text) {
  std::string out = "\"";
  append_escaped(out, text);
  return out + '"';
}

std::string go_json(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const auto& text : texts) {
    if (out.size() > 1) out += ',';
    out += go_json(text);
  }
  return out + ']';
}

std::string go_json(const ExecOp& op) { return object(op); }
std::string go_json(const MergeOp& op) { return object(op); }
std::string go_json(const DiffOp& op) { return object(op); }
std::string go_json(const BuildOp& op) { return object(op); }
std::string go_json(const PassthroughOp& op) { return object(op); }
std::string go_json(const FileActionCopy& action) { return object(action); }
std::string go_json(const FileActionMkFile& action) { return object(action); }
std::string go_json(const FileActionMkDir& action) { return object(action); }
std::string go_json(const FileActionRm& action) { return object(action); }
std::string go_json(const FileActionSymlink& action) { return object(action); }

}  // namespace cairn::solver::wire

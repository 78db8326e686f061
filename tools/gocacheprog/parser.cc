// SPDX-License-Identifier: Apache-2.0
#include "tools/gocacheprog/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "libbase/base64.h"

namespace cairn::gocacheprog {

namespace {

using nlohmann::json;

constexpr std::string_view blanks = " \t\r\n";
constexpr std::size_t text_bytes = 64 * 1024;  // of base64 that are decoded at once: whole groups
static_assert(text_bytes % 4 == 0);

const json* find_member(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

// Negative numbers are none of those that a size may be.
std::optional<std::uint64_t> size_of(const json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (!value.is_number_unsigned() && value.get<std::int64_t>() < 0) return std::nullopt;
  return value.get<std::uint64_t>();
}

std::optional<std::int64_t> id_of(const json& object) {
  const json* id = find_member(object, "ID");
  if (!id || !id->is_number_integer()) return std::nullopt;
  if (id->is_number_unsigned() && id->get<std::uint64_t>() > INT64_MAX) return std::nullopt;
  return id->get<std::int64_t>();
}

Command command_of(const json& object) {
  constexpr std::array<std::pair<std::string_view, Command>, 3> commands = {
      {{"get", Command::get}, {"put", Command::put}, {"close", Command::close}}};
  const json* name = find_member(object, "Command");
  if (!name || !name->is_string()) return Command::unknown;
  const auto* found = std::find_if(commands.begin(), commands.end(),
                                   [&](const auto& each) { return each.first == name->get_ref<const std::string&>(); });
  return found == commands.end() ? Command::unknown : found->second;
}

// What is wrong with it, or nothing.
std::string take_id(const json& object, const char* name, std::string& into) {
  const json* text = find_member(object, name);
  if (!text || !text->is_string()) return fmt::format("there is no {}", name);
  auto bytes = base::from_base64(text->get_ref<const std::string&>());
  if (!bytes) return fmt::format("{} is not base64", name);
  if (bytes->size() != id_bytes) return fmt::format("{} has {} bytes instead of {}", name, bytes->size(), id_bytes);
  into = std::move(*bytes);
  return {};
}

std::string take_body_size(const json& object, const Limits& limits, Request& request) {
  const json* value = find_member(object, "BodySize");
  if (!value) return {};
  const auto size = size_of(*value);
  if (!size) return "BodySize is not a size";
  if (*size > limits.body_bytes_max)
    return fmt::format("BodySize says {} bytes, and {} are the most", *size, limits.body_bytes_max);
  if (*size > 0 && request.command != Command::put) return "only a put has a body";
  request.body_size = *size;
  return {};
}

std::string fill_request(const json& object, const Limits& limits, Request& request) {
  request.command = command_of(object);
  if (request.command == Command::unknown) return "only the commands get, put and close are known";
  std::string fault;
  if (request.command != Command::close) fault = take_id(object, "ActionID", request.action);
  if (fault.empty() && request.command == Command::put) fault = take_id(object, "OutputID", request.output);
  if (fault.empty()) fault = take_body_size(object, limits, request);
  return fault;
}

}  // namespace

Parser::Step Parser::next(std::string_view& bytes) {
  for (;;) {
    if (expects_ == Expects::end) {
      expects_ = after_end_;
      return Step::end;
    }
    if (expects_ == Expects::nothing) return Step::broken;
    if (bytes.empty()) return Step::more;
    Step step = Step::more;
    switch (expects_) {
      case Expects::request: step = take_start(bytes); break;
      case Expects::line: step = take_line(bytes); break;
      case Expects::body: step = take_body_start(bytes); break;
      case Expects::text: step = take_text(bytes); break;
      case Expects::skipped: {
        const std::size_t end = bytes.find('\n');
        if (end != std::string_view::npos) expects_ = Expects::request;
        bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
        break;
      }
      case Expects::end:
      case Expects::nothing: break;
    }
    if (step != Step::more) return step;
  }
}

Parser::Step Parser::take_start(std::string_view& bytes) {
  bytes.remove_prefix(std::min(bytes.find_first_not_of(blanks), bytes.size()));
  if (bytes.empty()) return Step::more;
  const bool is_body = bytes.front() == '"';
  if (is_body && !may_have_body_) return fail("there is a body that no request has announced");
  may_have_body_ = false;
  expects_ = is_body ? Expects::skipped : Expects::line;
  return Step::more;
}

Parser::Step Parser::take_line(std::string_view& bytes) {
  const std::size_t end = bytes.find('\n');
  const std::string_view taken = bytes.substr(0, std::min(end, limits_.line_bytes_max + 1 - line_.size()));
  line_ += taken;
  bytes.remove_prefix(taken.size());
  if (line_.size() > limits_.line_bytes_max)
    return fail(fmt::format("a request has more than {} bytes", limits_.line_bytes_max));
  if (bytes.empty()) return Step::more;
  bytes.remove_prefix(1);
  return read_request();
}

Parser::Step Parser::read_request() {
  const json object = json::parse(std::exchange(line_, {}), nullptr, false);
  if (!object.is_object()) return fail("a request is a JSON object on a line of its own");
  const auto id = id_of(object);
  if (!id) return fail("a request has no ID");
  request_ = {.id = *id};
  fault_ = fill_request(object, limits_, request_);
  body_bytes_ = 0;
  padded_ = false;
  text_.clear();
  if (!fault_.empty()) {
    // Nobody waits for its body: it may never come.
    may_have_body_ = true;
    request_.body_size = 0;
  }
  expects_ = request_.body_size > 0 ? Expects::body : Expects::end;
  after_end_ = Expects::request;
  return Step::request;
}

Parser::Step Parser::take_body_start(std::string_view& bytes) {
  bytes.remove_prefix(std::min(bytes.find_first_not_of(blanks), bytes.size()));
  if (bytes.empty()) return Step::more;
  if (bytes.front() != '"') {
    end_body("its body is missing", Expects::request);
    return Step::more;
  }
  bytes.remove_prefix(1);
  expects_ = Expects::text;
  return Step::more;
}

Parser::Step Parser::take_text(std::string_view& bytes) {
  const std::string_view taken = bytes.substr(0, std::min(bytes.find_first_of("\"\n"), text_bytes - text_.size()));
  text_ += taken;
  bytes.remove_prefix(taken.size());
  if (text_.size() == text_bytes) return decode_text(false);
  if (bytes.empty()) return Step::more;
  const bool is_closed = bytes.front() == '"';
  bytes.remove_prefix(1);
  if (is_closed) return decode_text(true);
  end_body("its body has no closing quote", Expects::request);
  return Step::more;
}

Parser::Step Parser::decode_text(bool is_last) {
  auto decoded = base::from_base64(text_);
  text_.clear();
  const Expects rest = is_last ? Expects::request : Expects::skipped;
  if (!decoded || (padded_ && !decoded->empty())) {
    end_body("its body is not base64", rest);
    return Step::more;
  }
  padded_ = padded_ || decoded->size() % 3 != 0;
  body_bytes_ += decoded->size();
  if (body_bytes_ > request_.body_size || (is_last && body_bytes_ < request_.body_size)) {
    end_body(fmt::format("its body has {} bytes than the {} of its BodySize",
                         body_bytes_ > request_.body_size ? "more" : "fewer", request_.body_size),
             rest);
    return Step::more;
  }
  if (is_last) end_body({}, Expects::request);
  if (decoded->empty()) return Step::more;
  piece_ = std::move(*decoded);
  return Step::piece;
}

void Parser::end_body(std::string fault, Expects then) {
  fault_ = std::move(fault);
  expects_ = Expects::end;
  after_end_ = then;
}

Parser::Step Parser::fail(std::string why) {
  error_ = std::move(why);
  expects_ = Expects::nothing;
  return Step::broken;
}

}  // namespace cairn::gocacheprog

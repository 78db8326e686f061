// SPDX-License-Identifier: Apache-2.0
// Requests out of a stream of Go's GOCACHEPROG protocol: a JSON object on a line each, and behind that of a put its
// body, a JSON string of base64. Pure: bytes in, requests out, wherever the stream is cut. A body is not kept: it is
// given out in the pieces in which it comes. A request that cannot be done ends with a fault, and the next one is found
// all the same; the stream breaks only where nobody could be answered, because there is no ID.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::gocacheprog {

inline constexpr std::size_t id_bytes = 32;  // of an action and of an output

struct Limits {
  std::size_t line_bytes_max = 64 * 1024;                  // of a request without its body
  std::uint64_t body_bytes_max = std::uint64_t{64} << 30;  // what the other doors take
};

enum class Command : std::uint8_t { unknown, get, put, close };

struct Request {
  std::int64_t id = 0;
  Command command = Command::unknown;
  std::string action{}, output{};  // bytes, not base64: id_bytes of them where the command has some
  std::uint64_t body_size = 0;
};

// Not thread-safe.
class Parser {
 public:
  explicit Parser(Limits limits = {}) : limits_(limits) {}

  enum class Step : std::uint8_t {
    more,     // all bytes are taken
    request,  // request() has it; its pieces and its end follow
    piece,    // bytes of its body are in piece(), until the next call
    end,      // the request is over; fault() says why it cannot be done, or nothing
    broken,   // error() says why; where the next request would begin is not known
  };
  // Takes bytes from the front until something has come of them.
  Step next(std::string_view& bytes);

  const Request& request() const { return request_; }
  std::string_view piece() const { return piece_; }
  const std::string& fault() const { return fault_; }
  const std::string& error() const { return error_; }
  // Nothing of a request has come, or all of it.
  bool is_between() const { return expects_ == Expects::request; }

 private:
  enum class Expects : std::uint8_t { request, line, body, text, end, skipped, nothing };
  Step take_start(std::string_view& bytes);
  Step take_line(std::string_view& bytes);
  Step read_request();
  Step take_body_start(std::string_view& bytes);
  Step take_text(std::string_view& bytes);
  Step decode_text(bool is_last);
  void end_body(std::string fault, Expects then);
  Step fail(std::string why);

  const Limits limits_;
  Expects expects_ = Expects::request;
  Expects after_end_ = Expects::request;
  bool may_have_body_ = false;  // of a request that is over, because it had a fault before its body came
  std::string line_, text_;
  Request request_;
  std::uint64_t body_bytes_ = 0;
  bool padded_ = false;  // nothing may follow
  std::string piece_, fault_, error_;
};

}  // namespace cairn::gocacheprog

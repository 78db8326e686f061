// SPDX-License-Identifier: Apache-2.0
// Any stream of Go's cache protocol: cut anywhere it is the same requests, within the limits.
#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/fuzz/cut_stream.h"
#include "tools/gocacheprog/parser.h"

namespace {

using namespace cairn::gocacheprog;
using cairn::fuzz::Goes;

constexpr Limits limits{.line_bytes_max = 512, .body_bytes_max = 1 << 20};

// What comes of it, as text; pieces of a body are put together.
std::string parsed(std::string_view stream, std::size_t piece_bytes) {
  Parser parser(limits);
  std::string out;
  std::uint64_t body_bytes = 0;
  const auto step = [&](std::string_view& piece) {
    switch (parser.next(piece)) {
      case Parser::Step::more: return Goes::wants_more;
      case Parser::Step::request: {
        const Request& request = parser.request();
        CHECK(request.body_size <= limits.body_bytes_max);
        CHECK(request.body_size == 0 || request.command == Command::put);
        body_bytes = 0;
        out += "<" + std::to_string(request.id) + " " + std::to_string(static_cast<int>(request.command)) + " " +
               request.action + " " + request.output + " " + std::to_string(request.body_size) + ">";
        break;
      }
      case Parser::Step::piece:
        CHECK(!parser.piece().empty());
        body_bytes += parser.piece().size();
        CHECK(body_bytes <= parser.request().body_size);
        out += parser.piece();
        break;
      case Parser::Step::end: {
        const Request& request = parser.request();
        if (parser.fault().empty()) {
          CHECK(body_bytes == request.body_size && request.command != Command::unknown);
          CHECK(request.command == Command::close || request.action.size() == id_bytes);
          CHECK(request.command != Command::put || request.output.size() == id_bytes);
        }
        out += "|" + parser.fault() + "\n";
        break;
      }
      case Parser::Step::broken: return Goes::broken;
    }
    return Goes::on;
  };
  if (!cairn::fuzz::feed(stream, piece_bytes, step)) return out + "!" + parser.error();
  return out + (parser.is_between() ? "" : "...");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return cairn::fuzz::expect_same_however_cut(data, size, parsed);
}

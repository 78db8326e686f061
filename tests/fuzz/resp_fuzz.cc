// SPDX-License-Identifier: Apache-2.0
// Any stream of Redis' protocol: cut anywhere it is the same commands, within the limits.
#include <cstddef>
#include <cstdint>
#include <string>

#include "libserve/resp/keys.h"
#include "libserve/resp/parser.h"
#include "tests/fuzz/cut_stream.h"

namespace {

using namespace cairn::serve;
using cairn::fuzz::Goes;

constexpr RespLimits limits{.words_max = 16, .words_bytes_max = 512, .value_bytes_max = 1024};

// What comes of it, as text; pieces of a value are put together.
std::string parsed(std::string_view stream, std::size_t piece_bytes) {
  RespParser parser(limits);
  std::string out;
  const auto step = [&](std::string_view& piece) {
    switch (parser.next(piece)) {
      case RespParser::Step::more: return Goes::wants_more;
      case RespParser::Step::value: out += "<" + std::to_string(parser.value_size()) + ">"; break;
      case RespParser::Step::piece: out += parser.piece(); break;
      case RespParser::Step::command: {
        std::size_t bytes = 0;
        CHECK(!parser.words().empty() && parser.words().size() <= limits.words_max);
        for (const std::string& word : parser.words()) {
          bytes += word.size();
          out += "[" + word + "]";
          if (const auto name = entry_of_key(0, word))
            CHECK(cairn::cache::check_owner(cairn::cache::owner_of(*name)).has_value());
        }
        CHECK(bytes <= limits.words_bytes_max);
        CHECK(parser.is_between());
        break;
      }
      case RespParser::Step::broken: return Goes::broken;
    }
    return Goes::on;
  };
  return cairn::fuzz::feed(stream, piece_bytes, step) ? out : out + "!" + parser.error();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return cairn::fuzz::expect_same_however_cut(data, size, parsed);
}

// SPDX-License-Identifier: Apache-2.0
// Any stream of Redis' protocol: cut anywhere it is the same commands, within the limits.
#include <cstddef>
#include <cstdint>
#include <string>

#include "libserve/resp/keys.h"
#include "libserve/resp/parser.h"

namespace {

using namespace cairn::serve;

constexpr RespLimits limits{.words_max = 16, .words_bytes_max = 512, .value_bytes_max = 1024};

// What comes of it, as text; pieces of a value are put together.
std::string parsed(std::string_view stream, std::size_t piece_bytes) {
  RespParser parser(limits);
  std::string out;
  while (!stream.empty()) {
    std::string_view piece = stream.substr(0, piece_bytes);
    stream.remove_prefix(piece.size());
    for (bool more = false; !more;) {
      switch (parser.next(piece)) {
        case RespParser::Step::more: more = true; break;
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
        case RespParser::Step::broken: return out + "!" + parser.error();
      }
    }
    CHECK(piece.empty());
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  const std::string whole = parsed(stream, stream.size() + 1);
  for (const std::size_t bytes : {1, 2, 7}) CHECK(parsed(stream, bytes) == whole);
  return 0;
}

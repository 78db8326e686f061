// SPDX-License-Identifier: Apache-2.0
// Commands out of a stream of RESP2: an array of bulk strings each. Pure: bytes in, commands out, wherever the stream
// is cut. The value of a command that stores one is not kept: it is given out in the pieces in which it comes. Commands
// on one line, without lengths, are refused: nobody needs them but a web page that makes its browser post some here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::serve {

struct RespLimits {
  std::size_t words_max = 1024;
  std::size_t words_bytes_max = 256 * 1024;                  // of all words of a command, without the value
  std::uint64_t value_bytes_max = std::uint64_t{512} << 20;  // what Redis takes
};

// Not thread-safe.
class RespParser {
 public:
  explicit RespParser(RespLimits limits) : limits_(limits) {}

  enum class Step : std::uint8_t {
    more,     // all bytes are taken
    value,    // a value of value_size() bytes begins; the words before it are there
    piece,    // bytes of it are in piece(), until the next call
    command,  // words() has it; a value is an empty word among them
    broken,   // error() says why; where the next command would begin is not known
  };
  // Takes bytes from the front until something has come of them.
  Step next(std::string_view& bytes);

  const std::vector<std::string>& words() const { return words_; }
  std::uint64_t value_size() const { return value_size_; }
  std::string_view piece() const { return piece_; }
  const std::string& error() const { return error_; }
  // Nothing of a command has come.
  bool is_between() const { return expects_ == Expects::count && line_.empty(); }

 private:
  enum class Expects : std::uint8_t { count, length, word, value, end, nothing };
  bool take_line(std::string_view& bytes);  // true: line_ has all of it, or it is broken
  Step take_count();
  Step take_length();
  Step take_end(std::string_view& bytes);
  bool expects_value() const;
  Step fail(std::string why);

  const RespLimits limits_;
  Expects expects_ = Expects::count;
  std::string line_;
  std::size_t words_left_ = 0, words_bytes_ = 0;
  std::uint64_t left_ = 0;  // of the word or value, then of its end of line
  std::uint64_t value_size_ = 0;
  std::vector<std::string> words_;
  std::string_view piece_;
  std::string error_;
  bool over_ = false;  // words_ is of a command that has been given out
};

}  // namespace cairn::serve

// SPDX-License-Identifier: Apache-2.0
// Commands of Redis' protocol, wherever their stream is cut; and which entry a key is.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "libserve/resp/keys.h"
#include "libserve/resp/parser.h"

namespace cairn::serve {
namespace {

constexpr std::string_view hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

std::string command(const std::vector<std::string>& words) {
  std::string text = fmt::format("*{}\r\n", words.size());
  for (const std::string& word : words) text += fmt::format("${}\r\n{}\r\n", word.size(), word);
  return text;
}

// Every command as one line of its words with their value in brackets, and why it broke.
std::string parsed(std::string_view stream, std::size_t piece_bytes, RespLimits limits = {}) {
  RespParser parser(limits);
  std::string out, value;
  while (!stream.empty()) {
    std::string_view piece = stream.substr(0, piece_bytes);
    stream.remove_prefix(piece.size());
    for (bool more = false; !more;) {
      switch (parser.next(piece)) {
        case RespParser::Step::more: more = true; break;
        case RespParser::Step::value: value = fmt::format("[{}:", parser.value_size()); break;
        case RespParser::Step::piece: value += parser.piece(); break;
        case RespParser::Step::command:
          for (const std::string& word : parser.words()) out += word + " ";
          if (!value.empty()) out += value + "]";
          value.clear();
          out += "\n";
          break;
        case RespParser::Step::broken: return out + "broken: " + parser.error();
      }
    }
    EXPECT_TRUE(piece.empty());
  }
  return out + (parser.is_between() ? "" : "more");
}

TEST(RespParser, FindsTheSameCommandsWhereverTheStreamIsCut) {
  const std::string stream = command({"GET", "ccache:a"}) + command({"set", "b", "value\r\n*1\r\n", "EX", "5"}) +
                             "*0\r\n*-1\r\n" + command({"SETNX", "c", ""}) + command({"SETEX", "d", "10", "xyz"}) +
                             command({""}) + command({"DEL", "a", "b"});
  const std::string expected =
      "GET ccache:a \nset b  EX 5 [11:value\r\n*1\r\n]\nSETNX c  [0:]\nSETEX d 10  [3:xyz]\n \nDEL a b \n";
  for (std::size_t bytes = 1; bytes <= stream.size(); ++bytes) EXPECT_EQ(parsed(stream, bytes), expected) << bytes;
  for (std::size_t cut = 0; cut < stream.size(); ++cut) {
    const std::string got = parsed(std::string_view(stream).substr(0, cut), 7);
    EXPECT_TRUE(expected.starts_with(got.substr(0, got.rfind('\n') + 1))) << cut << got;
    EXPECT_EQ(got.find("broken"), std::string::npos) << cut;
  }
}

TEST(RespParser, WhatIsNoCommandBreaksTheStream) {
  const RespLimits limits{.words_max = 4, .words_bytes_max = 20, .value_bytes_max = 30};
  const std::string array = "broken: a command is an array of bulk strings", many = "broken: invalid multibulk length",
                    length = "broken: invalid bulk length";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"PING\r\n", array},
      {"POST / HTTP/1.1\r\n", array},
      {"\r\n", array},
      {"*5\r\n", many},
      {"*-2\r\n", many},
      {"*1\n", many},
      {"*\r\n", many},
      {"*+1\r\n", many},
      {"*1 \r\n", many},
      {"*99999999999999999999999\r\n", many},
      {"*" + std::string(100, '0'), many},
      {"*1\r\n:1\r\n", "broken: expected '$'"},
      {"*1\r\n$-1\r\n", length},
      {"*1\r\n$21\r\n", length},
      {"*2\r\n$11\r\nabcdefghijk\r\n$10\r\n", length},
      {"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$31\r\n", length},
      {"*1\r\n$1\r\nab\r\n", "broken: a bulk string ends in CRLF"},
      {"*1\r\n$1\r\na\n\n", "broken: a bulk string ends in CRLF"},
  };
  for (const auto& [stream, why] : cases)
    for (const std::size_t bytes : {std::size_t{1}, stream.size()})
      EXPECT_EQ(parsed(stream, bytes, limits), why) << stream;
  EXPECT_EQ(parsed("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$30\r\n", 8, limits), "more") << "a value has a limit of its own";
}

TEST(RespKeys, AreOfTheDoorThatTheirFormSays) {
  const auto entry = [](unsigned database, std::string_view key) {
    const auto name = entry_of_key(database, key);
    return name ? fmt::format("{} {} {}", name->door, name->instance, name->key) : name.error().message;
  };
  const std::string of_sccache = "0/1/2/" + std::string(hash);
  EXPECT_EQ(entry(0, "ccache:93c1jqnrf506k2936210hi9ofeceknu5a"), "ccache  93c1jqnrf506k2936210hi9ofeceknu5a");
  EXPECT_EQ(entry(3, "ccache:a"), "ccache 3 a");
  EXPECT_EQ(entry(0, of_sccache), "sccache  " + of_sccache);
  EXPECT_EQ(entry(0, ".sccache_check"), "sccache  .sccache_check");
  EXPECT_EQ(entry(15, "1/1/2/" + std::string(hash)), "redis 15 1/1/2/" + std::string(hash)) << "no shard of that hash";
  EXPECT_EQ(entry(0, "../x"), "redis  ../x") << "a key is no path";
  for (const std::string& bad :
       {std::string(), std::string("ccache:"), std::string("a b"), std::string("a\nb"), std::string("a\0", 2),
        std::string("\xff"), std::string(cache::entry_key_bytes_max + 1, 'k')})
    EXPECT_EQ(entry_of_key(0, bad).error().code, base::ErrorCode::invalid_argument) << bad;
}

}  // namespace
}  // namespace cairn::serve

// SPDX-License-Identifier: Apache-2.0
// The real cachectl as GOCACHEPROG, driven as a go command drives it, by code that shares nothing with it.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <utility>

#include "tests/e2e/world.h"

namespace cairn::test {
namespace {

using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string base64_of(std::string_view bytes) {
  static constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0, held = 0;
  for (const char c : bytes) {
    held = held << 8 | static_cast<unsigned char>(c);
    for (bits += 8; bits >= 6; bits -= 6) out += letters[held >> (bits - 6) & 63];
  }
  if (bits > 0) out += letters[held << (6 - bits) & 63];
  while (out.size() % 4 != 0) out += '=';
  return out;
}

std::string id_of(const std::string& name) { return base64_of(name + std::string(32 - name.size(), '\xfe')); }
std::string line_of(const Json& json) { return json.dump() + "\n"; }
Json get(int id, const std::string& action) { return {{"ID", id}, {"Command", "get"}, {"ActionID", id_of(action)}}; }
Json miss(int id) { return {{"ID", id}, {"Miss", true}}; }
Json only_id(int id) {
  Json json;
  json["ID"] = id;
  return json;
}
Json close_request(int id) { return {{"ID", id}, {"Command", "close"}}; }
Json put_request(int id, const std::string& action, const std::string& output, std::size_t size) {
  Json json = {{"ID", id}, {"Command", "put"}, {"ActionID", id_of(action)}, {"OutputID", id_of(output)}};
  if (size > 0) json["BodySize"] = size;
  return json;
}
// As Go writes it: an empty line before the body.
std::string put_text(int id, const std::string& action, const std::string& output, std::string_view body) {
  const std::string text = line_of(put_request(id, action, output, body.size()));
  return body.empty() ? text : text + "\n\"" + base64_of(body) + "\"\n";
}

std::string noise(std::size_t bytes) {
  std::string out(bytes, '\0');
  std::uint32_t state = static_cast<std::uint32_t>(bytes) + 1;
  for (char& c : out) c = static_cast<char>((state = state * 1664525u + 1013904223u) >> 24);
  return out;
}

// A go command's side: pipes, and every answer within a minute.
class Helper {
 public:
  Helper(const base::HostPath& dir, Words words) : err_(dir / "helper.err") {
    words.insert(words.begin(), CAIRN_BIN_DIR "/cachectl");
    int in[2], out[2];
    CHECK(::pipe2(in, O_CLOEXEC) == 0 && ::pipe2(out, O_CLOEXEC) == 0);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in[0], 0);
    posix_spawn_file_actions_adddup2(&files, out[1], 1);
    posix_spawn_file_actions_addopen(&files, 2, err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(::posix_spawn(&pid_, arguments[0], &files, nullptr, arguments.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&files);
    ::close(in[0]);
    ::close(out[1]);
    in_ = in[1];
    out_ = out[0];
  }
  ~Helper() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    (void)wait();
  }
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;

  void send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t count = ::write(in_, text.data(), text.size());
      CHECK(count > 0, "the helper reads no more: {}", err());
      text.remove_prefix(static_cast<std::size_t>(count));
    }
  }
  // Null if none comes.
  Json answer() {
    constexpr int patience_ms = 60'000;
    std::size_t end;
    while ((end = read_.find('\n')) == std::string::npos) {
      pollfd ready{.fd = out_, .events = POLLIN, .revents = 0};
      char piece[65536];
      if (::poll(&ready, 1, patience_ms) != 1) return nullptr;
      const ssize_t count = ::read(out_, piece, sizeof piece);
      if (count <= 0) return nullptr;
      read_.append(piece, static_cast<std::size_t>(count));
    }
    const Json json = Json::parse(read_.substr(0, end), nullptr, false);
    read_.erase(0, end + 1);
    return json;
  }
  Json ask(const Json& request) { return ask_text(line_of(request)); }
  Json ask_text(std::string_view text) {
    send(text);
    return answer();
  }
  // Without an end of its input it ends by itself, or not at all.
  int wait() {
    if (pid_ < 0) return -1;
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    end_input();
    ::close(out_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  void end_input() {
    if (in_ >= 0) ::close(std::exchange(in_, -1));
  }
  void signal(int number) const { ::kill(pid_, number); }
  std::string err() const { return read_text(err_.str()); }

 private:
  base::HostPath err_;
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
  std::string read_;
};

const Json greeting = {{"ID", 0}, {"KnownCommands", {"get", "put", "close"}}};

class GoCacheProg : public World {
 protected:
  Words words(Words more = {}) const {
    more.insert(more.begin(), {"gocacheprog", "--root", root_.str()});
    return more;
  }
  // One that has said what it can.
  std::unique_ptr<Helper> start(Words more = {}) {
    auto helper = std::make_unique<Helper>(temp_.path(), words(std::move(more)));
    EXPECT_EQ(helper->answer(), greeting) << helper->err();
    return helper;
  }
  Ended run(const std::string& input) { return cachectl(words(), input); }
  static std::vector<Json> answers_of(const std::string& out) {
    std::vector<Json> answers;
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) answers.push_back(Json::parse(line, nullptr, false));
    return answers;
  }
  void expect_hit(const Json& answer, int id, const std::string& output, std::string_view body) {
    EXPECT_EQ(answer.value("ID", -1), id) << answer;
    EXPECT_EQ(answer.value("OutputID", ""), id_of(output)) << answer;
    EXPECT_EQ(answer.value("Size", std::uint64_t{0}), body.size()) << answer;
    EXPECT_TRUE(std::regex_match(answer.value("Time", ""), std::regex("20[0-9]{2}-[0-9-]+T[0-9:]+(\\.[0-9]+)?Z")))
        << answer;
    expect_file(answer, body);
  }
  void expect_file(const Json& answer, std::string_view body) {
    const std::string path = answer.value("DiskPath", "");
    ASSERT_TRUE(path.starts_with('/')) << answer;
    ASSERT_EQ(::access(path.c_str(), R_OK), 0) << answer;
    EXPECT_TRUE(read_text(path) == body) << answer;  // they are long
  }
};

// Around what is decoded at once (48 KiB), what is packed (64 KiB), and what is read at once.
const std::size_t sizes[] = {0, 1, 2, 3, 100, 49151, 49152, 49153, 65536, 65537, 200000, 24 << 20};

TEST_F(GoCacheProg, WhatOneGoCommandPutsTheNextOneGets) {
  {
    const auto cold = start();
    int id = 0;
    std::string last;
    for (const std::size_t size : sizes) {
      const std::string name = std::to_string(size), body = noise(size);
      ++id;
      EXPECT_EQ(cold->ask(get(id, name)), miss(id));
      ++id;
      const Json put = cold->ask_text(put_text(id, name, "o" + name, body));
      EXPECT_EQ(put.value("ID", -1), id) << put;
      expect_file(put, body);
      last = put.value("DiskPath", "");
    }
    ++id;
    expect_hit(cold->ask(get(id, "100")), id, "o100", noise(100));
    ++id;
    expect_hit(cold->ask(get(id, "100")), id, "o100", noise(100));
    ++id;
    EXPECT_EQ(cold->ask(close_request(id)), only_id(id));
    EXPECT_EQ(cold->wait(), 0) << cold->err();
    EXPECT_THAT(cold->err(), AllOf(HasSubstr("hits 2 (200 bytes), misses 12, puts 12 ("), HasSubstr("errors 0\n")));
    EXPECT_NE(::access(last.c_str(), F_OK), 0) << "files are gone with the helper";
  }
  const auto warm = start();
  int id = 0;
  for (const std::size_t size : sizes) {
    const std::string name = std::to_string(size);
    ++id;
    expect_hit(warm->ask(get(id, name)), id, "o" + name, noise(size));
  }
  ++id;
  EXPECT_EQ(warm->ask(get(id, "another")), miss(id));
  ++id;
  EXPECT_EQ(warm->ask(close_request(id)), only_id(id));
  EXPECT_EQ(warm->wait(), 0) << warm->err();
  EXPECT_THAT(warm->err(), AllOf(HasSubstr("hits 12 ("), HasSubstr("misses 1, puts 0 (0 bytes), errors 0\n")));
}

TEST_F(GoCacheProg, EqualOutputsAreOneBlobAndTheLastPutCounts) {
  const std::string body = noise(1000);
  const Ended put = run(put_text(1, "a", "x", body) + put_text(2, "b", "x", body) + put_text(3, "c", "y", "old") +
                        put_text(4, "c", "z", "new") + line_of(close_request(5)));
  EXPECT_EQ(put.code, 0) << put.err;
  const Json blobs = Json::parse(cachectl({"--root", root_.str(), "blob", "list", "--json"}).out);
  std::size_t equal = 0;
  for (const Json& blob : blobs.at("blobs")) equal += blob.at("size") == body.size() ? 1 : 0;
  EXPECT_EQ(equal, 1u);
  const auto next = start();
  expect_hit(next->ask(get(1, "a")), 1, "x", body);
  expect_hit(next->ask(get(2, "b")), 2, "x", body);
  expect_hit(next->ask(get(3, "c")), 3, "z", "new");
  EXPECT_THAT(cachectl({"--root", root_.str(), "du", "--by", "project"}).out, HasSubstr("go"));  // asks the helper
  next->end_input();
  EXPECT_EQ(next->wait(), 0) << next->err();
}

TEST_F(GoCacheProg, AnswersRequestsThatComeTogetherInTheirOrder) {
  std::string text;
  for (int i = 0; i < 200; ++i)
    text += put_text(2 * i + 1, "a" + std::to_string(i % 50), "o", noise(i)) + line_of(get(2 * i + 2, "none"));
  const Ended ended = run(text + line_of(close_request(401)) + "not read any more");
  EXPECT_EQ(ended.code, 0) << ended.err;
  const auto answers = answers_of(ended.out);
  ASSERT_EQ(answers.size(), 402u);
  EXPECT_EQ(answers[0], greeting);
  for (int id = 1; id <= 401; ++id) EXPECT_EQ(answers[id].value("ID", -1), id);
  EXPECT_THAT(ended.err, HasSubstr("misses 200, puts 200 ("));
}

TEST_F(GoCacheProg, ARequestThatCannotBeDoneIsToldAndTheNextIsAnswered) {
  Json no_action = get(1, "a"), short_action = no_action, odd_action = no_action, no_command = no_action,
       body_of_get = no_action;
  no_action.erase("ActionID");
  short_action["ActionID"] = base64_of("short");
  odd_action["ActionID"] = std::string(43, '*') + "=";
  no_command["Command"] = 7;
  body_of_get["BodySize"] = 3;
  Json no_output = put_request(1, "a", "o", 3), long_output = no_output, text_size = no_output, minus_size = no_output,
       huge = no_output;
  no_output.erase("OutputID");
  long_output["OutputID"] = base64_of(noise(33));
  text_size["BodySize"] = "3";
  minus_size["BodySize"] = -3;
  huge["BodySize"] = std::uint64_t{1} << 62;
  const std::string body = "\"" + base64_of("abc") + "\"\n", put = line_of(put_request(1, "a", "o", 3));
  const std::pair<std::string, std::string> cases[] = {
      {line_of(no_action), "no ActionID"},
      {line_of(short_action), "5 bytes instead of 32"},
      {line_of(odd_action), "ActionID is not base64"},
      {line_of({{"ID", 1}, {"Command", "fly"}}), "only the commands"},
      {line_of(no_command), "only the commands"},
      {line_of(body_of_get) + body, "only a put has a body"},
      {line_of(no_output) + body, "no OutputID"},
      {line_of(long_output) + body, "33 bytes instead of 32"},
      {line_of(text_size) + body, "BodySize is not a size"},
      {line_of(minus_size) + body, "BodySize is not a size"},
      {line_of(minus_size), "BodySize is not a size"},
      {line_of(huge) + body, "are the most"},
      {line_of(huge), "are the most"},
      {put + "\"" + base64_of("ab") + "\"\n", "fewer bytes than the 3"},
      {put + "\"\"\n", "fewer bytes than the 3"},
      {put + "\"" + base64_of("abcd") + "\"\n", "more bytes than the 3"},
      {put + "\"" + base64_of(noise(300000)) + "\"\n", "more bytes than the 3"},
      {put + "\"YW!j\"\n", "not base64"},
      {put + "\"YWJ\"\n", "not base64"},
      {put + "\"YQ==YmM=\"\n", "not base64"},
      {put + "\"" + base64_of("abc") + "\n", "no closing quote"},
      {put, "its body is missing"},
  };
  const auto helper = start();
  for (const auto& [text, why] : cases) {
    SCOPED_TRACE(text.substr(0, 200));
    helper->send(text + line_of(get(2, "a")));
    const Json told = helper->answer();
    EXPECT_EQ(told.value("ID", -1), 1);
    EXPECT_THAT(told.value("Err", ""), HasSubstr(why));
    EXPECT_EQ(helper->answer(), miss(2)) << "nothing of it was kept";
  }
  EXPECT_EQ(helper->ask(close_request(3)), only_id(3));
  EXPECT_EQ(helper->wait(), 0) << helper->err();
  EXPECT_THAT(helper->err(), HasSubstr(fmt::format("errors {}\n", std::size(cases))));
}

TEST_F(GoCacheProg, WhatIsNoRequestEndsItClearlyAndWhatWasPutBeforeStays) {
  const std::pair<std::string, std::string> cases[] = {
      {"rubbish\n", "a JSON object on a line"},
      {"{\"ID\":1,\n", "a JSON object on a line"},
      {"[1]\n", "a JSON object on a line"},
      {std::string(60000, '[') + "\n", "a JSON object on a line"},
      {std::string(70000, ' ') + "{" + std::string(70000, ' '), "more than 65536 bytes"},
      {std::string("\0\xff\n", 3), "a JSON object on a line"},
      {"{\"Command\":\"get\"}\n", "no ID"},
      {"{\"ID\":\"1\",\"Command\":\"get\"}\n", "no ID"},
      {"{\"ID\":1.5,\"Command\":\"get\"}\n", "no ID"},
      {"{\"ID\":18446744073709551615,\"Command\":\"get\"}\n", "no ID"},
      {"\"YWJj\"\n", "a body that no request has announced"},
  };
  int number = 0;
  for (const auto& [text, why] : cases) {
    SCOPED_TRACE(text.substr(0, 100));
    const std::string name = std::to_string(++number);
    const Ended ended = run(put_text(1, name, "o", "kept" + name) + text + line_of(close_request(2)));
    EXPECT_EQ(ended.code, 1);
    EXPECT_THAT(ended.err, AllOf(HasSubstr("puts 1 ("), HasSubstr("cachectl: "), HasSubstr(why)));
    const auto answers = answers_of(ended.out);
    ASSERT_EQ(answers.size(), 2u) << ended.out;
    EXPECT_EQ(answers[1].value("ID", -1), 1);
    expect_clean();
  }
  const auto next = start();
  for (int i = 1; i <= number; ++i)
    expect_hit(next->ask(get(i, std::to_string(i))), i, "o", "kept" + std::to_string(i));
  next->end_input();
  EXPECT_EQ(next->wait(), 0) << next->err();
}

TEST_F(GoCacheProg, AnEndOfInputInTheMiddleLeavesNothingOfThatRequest) {
  const std::string whole = put_text(1, "whole", "o", "whole"), cut = put_text(2, "cut", "o", noise(100));
  const std::size_t head = cut.find('\n') + 1;
  for (const std::size_t bytes :
       {std::size_t{1}, head / 2, head - 1, head, head + 1, head + 2, head + 50, cut.size() - 2}) {
    SCOPED_TRACE(bytes);
    const Ended ended = run(whole + cut.substr(0, bytes));
    EXPECT_EQ(ended.code, 1);
    EXPECT_THAT(ended.err, HasSubstr("standard input ends in the middle of a request"));
    EXPECT_EQ(answers_of(ended.out).size(), 2u) << ended.out;
    expect_clean();
  }
  const Ended looked = run(line_of(get(1, "cut")) + line_of(get(2, "whole")));
  EXPECT_EQ(looked.code, 0) << looked.err;
  const auto answers = answers_of(looked.out);
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[1], miss(1));
  EXPECT_EQ(answers[2].value("Size", 0), 5);
}

TEST_F(GoCacheProg, AKilledOneLeavesAWholeStoreAndTheNextOneTakesItsFilesAway) {
  {
    const auto killed = start();
    expect_file(killed->ask_text(put_text(1, "a", "o", noise(100000))), noise(100000));
    EXPECT_EQ(killed->ask(close_request(2)), only_id(2));
  }
  std::string left;
  {
    const auto killed = start();
    const Json got = killed->ask(get(1, "a"));
    expect_hit(got, 1, "o", noise(100000));
    left = got.value("DiskPath", "");
    killed->send(put_text(2, "b", "o", noise(100000)).substr(0, 70000));
    killed->signal(SIGKILL);
    EXPECT_EQ(killed->wait(), 128 + SIGKILL);
  }
  EXPECT_EQ(::access(left.c_str(), F_OK), 0);
  const auto next = start();
  EXPECT_NE(::access(left.c_str(), F_OK), 0);
  expect_hit(next->ask(get(1, "a")), 1, "o", noise(100000));
  EXPECT_EQ(next->ask(get(2, "b")), miss(2));
  next->end_input();
  EXPECT_EQ(next->wait(), 0) << next->err();
}

TEST_F(GoCacheProg, SignalsOfATerminalAreLeftToGo) {
  const auto helper = start();
  for (const int number : {SIGINT, SIGHUP}) helper->signal(number);
  expect_file(helper->ask_text(put_text(1, "a", "o", "bytes")), "bytes");
  helper->end_input();
  EXPECT_EQ(helper->wait(), 0) << helper->err();
}

TEST_F(GoCacheProg, ADamagedOutputIsAMissUntilItIsPutAgain) {
  const std::string body = noise(200000), hex = base::digest_of<BlobDigest>(body).hex();
  ASSERT_EQ(run(put_text(1, "a", "o", body)).code, 0);
  const base::HostPath file = root_ / "blobs/sha256" / hex.substr(0, 2) / hex;
  std::string damaged = read(file);
  ASSERT_EQ(damaged.size(), body.size());
  damaged[100000] ^= 1;
  write_text(file, damaged);
  const auto helper = start();
  EXPECT_EQ(helper->ask(get(1, "a")), miss(1));
  expect_file(helper->ask_text(put_text(2, "a", "o", body)), body);
  helper->end_input();
  EXPECT_EQ(helper->wait(), 0) << helper->err();
  const auto next = start();
  expect_hit(next->ask(get(1, "a")), 1, "o", body);
  next->end_input();
  EXPECT_EQ(next->wait(), 0) << next->err();
}

TEST_F(GoCacheProg, AStoreThatIsOwnedIsBusyOrWaitedFor) {
  const auto first = start();
  const Ended refused = cachectl(words({"--no-daemon"}));
  EXPECT_EQ(refused.code, 5);
  EXPECT_EQ(refused.out, "");
  EXPECT_THAT(refused.err, AllOf(HasSubstr("cachectl: "), HasSubstr("hint: ")));
  EXPECT_EQ(cachectl(words({"--owner-timeout", "0"})).code, 5);
  const base::HostPath dir = make_dir("second");
  Helper second(dir, words());
  ASSERT_TRUE(eventually([&] { return second.err().find("gocacheprog waits") != std::string::npos; })) << second.err();
  expect_file(first->ask_text(put_text(1, "a", "o", "bytes")), "bytes");
  EXPECT_EQ(first->ask(close_request(2)), only_id(2));
  EXPECT_EQ(first->wait(), 0) << first->err();
  EXPECT_EQ(second.answer(), greeting) << second.err();
  expect_hit(second.ask(get(1, "a")), 1, "o", "bytes");
  second.end_input();
  EXPECT_EQ(second.wait(), 0) << second.err();
}

}  // namespace
}  // namespace cairn::test

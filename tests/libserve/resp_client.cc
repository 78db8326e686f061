// SPDX-License-Identifier: Apache-2.0
#include "tests/libserve/resp_client.h"

#include <fmt/format.h>
#include <sys/socket.h>

namespace cairn::serve {

std::string command_text(const std::vector<std::string>& words) {
  std::string text = fmt::format("*{}\r\n", words.size());
  for (const std::string& word : words) text += fmt::format("${}\r\n{}\r\n", word.size(), word);
  return text;
}

bool RespClient::read_more() {
  char piece[65536];
  const ssize_t count = ::recv(socket(), piece, sizeof piece, 0);
  if (count <= 0) return false;
  buffer_.append(piece, static_cast<std::size_t>(count));
  return true;
}

std::string RespClient::receive() {
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos)
    if (!read_more()) return "";
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  if (line == "$-1") return "nil";
  if (line[0] == '*') {
    std::string all = "*";
    for (int left = std::stoi(line.substr(1)); left > 0; --left) all += " " + receive();
    return all;
  }
  if (line[0] != '$') return line;
  const std::size_t size = std::stoull(line.substr(1));
  while (buffer_.size() < size + 2)
    if (!read_more()) return "";
  const std::string value = buffer_.substr(0, size);
  EXPECT_EQ(buffer_.substr(size, 2), "\r\n");
  buffer_.erase(0, size + 2);
  return "$" + value;
}

std::string RespClient::ask(const std::vector<std::string>& words) {
  send(command_text(words));
  return receive();
}

RespServed::RespServed(RespOptions wanted) {
  if (wanted.address == RespOptions().address) wanted.address = "127.0.0.1:0";
  server = cache::must(RespServer::start(*store.cache, clock, std::move(wanted)));
}

std::vector<std::string> RespServed::findings() {
  server.reset();
  cache::must(store.cache->prune({.dry_run = true}));  // what was begun has its outcome
  return store.findings();
}

}  // namespace cairn::serve

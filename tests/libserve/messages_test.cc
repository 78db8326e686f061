// SPDX-License-Identifier: Apache-2.0
// Messages as they should not be, and those that are only unusual: each has its answer, and the store stays whole.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "tests/libserve/http_client.h"

namespace cairn::serve {
namespace {

using namespace std::chrono_literals;

const std::string key = "/gradle/" + std::string(32, 'a');

TEST(Messages, KeepAliveAndPipelining) {
  Served served;
  Client client(served.server->address());
  EXPECT_EQ(client.ask("PUT", key, "value").status, 200);
  EXPECT_EQ(client.ask("GET", key).body, "value");
  client.send(request_text("GET", key) + request_text("PUT", cas_path("x"), "x") + request_text("HEAD", key) +
              request_text("GET", cas_path("x")));
  EXPECT_EQ(client.receive().body, "value");
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(client.receive(true).header("content-length"), "5");
  EXPECT_EQ(client.receive().body, "x");
  EXPECT_EQ(client.ask("GET", key, {}, "Connection: close\r\n").header("connection"), "close");
  EXPECT_TRUE(client.is_closed());
}

TEST(Messages, OldVersionAndChunks) {
  Served served;
  Client old(served.server->address());
  old.send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.receive().status, 200);
  EXPECT_TRUE(old.is_closed());
  Client chunked(served.server->address());
  chunked.send("PUT " + key +
               " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
               "chunked\r\n\r\n3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n");
  EXPECT_EQ(chunked.receive().status, 200);
  EXPECT_EQ(chunked.ask("GET", key).body, "abc0123456789");
}

TEST(Messages, ExpectContinueIsAnsweredBeforeTheBodyOrInsteadOfIt) {
  Served served;
  Client client(served.server->address());
  client.send("PUT " + key + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.receive().status, 100);
  client.send("value");
  EXPECT_EQ(client.receive().status, 200);
  client.send("PUT /cas/short HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.receive().status, 400);
  EXPECT_TRUE(client.is_closed());
  Client strange(served.server->address());
  strange.send("PUT " + key + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: a miracle\r\n\r\n");
  EXPECT_EQ(strange.receive().status, 417);
}

TEST(Messages, WhatIsNoRequestGetsFourHundredOrNothing) {
  Served served;
  for (const std::string& bytes :
       {std::string("nonsense\r\n\r\n"), std::string("GET /health HTTP/3.7\r\nHost: x\r\n\r\n"),
        std::string("GET  HTTP/1.1\r\n\r\n"), std::string("GET /health HTTP/1.1\r\n\r\n"),
        std::string("PUT " + key + " HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
        std::string("PUT " + key + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"),
        std::string("PUT " + key +
                    " HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        std::string("GET /health HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n"),
        std::string("GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", 28)}) {
    Client client(served.server->address());
    client.send(bytes);
    client.end_of_sending();
    EXPECT_EQ(client.receive().status, 400) << bytes;
    EXPECT_TRUE(client.is_closed());
  }
  Client long_header(served.server->address());
  long_header.send("GET /health HTTP/1.1\r\nHost: x\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n");
  EXPECT_EQ(long_header.receive().status, 431);
  EXPECT_EQ(served.ask("PUT", key, "x", "Transfer-Encoding: gzip\r\n").status, 501);
  Client coded(served.server->address());
  coded.send("PUT " + key + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
  EXPECT_EQ(coded.receive().status, 501);
  Client lengthless(served.server->address());
  lengthless.send("PUT " + key + " HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(lengthless.receive().status, 411);
  EXPECT_EQ(served.ask("GET", "/health").status, 200) << "and it goes on";
}

TEST(Messages, CutAtEveryByteTheyLeaveNothing) {
  Served served;
  const std::string plain = request_text("PUT", key, "0123456789");
  const std::string chunked =
      "PUT " + key + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n";
  const std::string packed = request_text("PUT", cas_path("x"), "(\xb5/\xfd not a frame", "Content-Encoding: zstd\r\n");
  for (const std::string& text : {plain, chunked, packed}) {
    for (std::size_t cut = 0; cut < text.size(); ++cut) {
      Client client(served.server->address());
      client.send(std::string_view(text).substr(0, cut));
      client.end_of_sending();
      const Got got = client.receive();
      EXPECT_TRUE(got.status == 0 || got.status / 100 == 4) << got.status << " of what was cut at " << cut;
    }
  }
  EXPECT_EQ(served.ask("GET", key).status, 404);
  EXPECT_EQ(served.ask("PUT", key, "0123456789").status, 200);
  EXPECT_EQ(served.findings(), std::vector<std::string>());
}

TEST(Messages, SizesThatLie) {
  Served served;
  Client less(served.server->address());  // fewer bytes than it says: it waits for more, until it is given up
  less.send("PUT " + key + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly these");
  less.end_of_sending();
  EXPECT_EQ(less.receive().status, 0);
  Client more(served.server->address());  // more bytes: they are the next request, and none
  more.send("PUT " + key + " HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nthisand more\r\n\r\n");
  EXPECT_EQ(more.receive().status, 200);
  EXPECT_EQ(more.receive().status, 400);
  EXPECT_EQ(served.ask("GET", key).body, "this");
  Client body_of_a_get(served.server->address());
  body_of_a_get.send("GET " + key + " HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" +
                     request_text("GET", "/health"));
  EXPECT_EQ(body_of_a_get.receive().body, "this");
  EXPECT_EQ(body_of_a_get.receive().status, 200);
}

TEST(Messages, WhoDawdlesLosesTheConnection) {
  HttpOptions options;
  options.header_time = options.idle_time = options.piece_time = 300ms;
  Served served(std::move(options));
  const auto is_given_up = [&](const std::string& bytes) {
    Client client(served.server->address());
    const auto begin = std::chrono::steady_clock::now();
    client.send(bytes);
    EXPECT_EQ(client.receive().status, 0) << bytes;
    EXPECT_TRUE(client.is_closed());
    return std::chrono::steady_clock::now() - begin < 30s;
  };
  EXPECT_TRUE(is_given_up(""));
  EXPECT_TRUE(is_given_up("GET /health HTT"));
  EXPECT_TRUE(is_given_up("PUT " + key + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome"));
  // A byte now and then is not enough, either.
  Client drip(served.server->address());
  const std::string text = request_text("GET", "/health", {}, "X: " + std::string(200, 'x') + "\r\n");
  bool given_up = false;
  for (std::size_t i = 0; i < text.size() && !given_up; ++i) {
    drip.send(text.substr(i, 1));
    std::this_thread::sleep_for(20ms);
    char byte;
    const ssize_t count = ::recv(drip.socket(), &byte, 1, MSG_DONTWAIT);
    given_up = count == 0 || (count < 0 && errno != EAGAIN);
  }
  EXPECT_TRUE(given_up);
  EXPECT_EQ(served.ask("GET", "/health").status, 200);
}

TEST(Messages, AUnixSocketIsALikelyPlace) {
  const test::TempDir dir;
  HttpOptions options;
  options.address = (dir / "http.sock").str();
  Served served(std::move(options));
  EXPECT_EQ(served.server->address(), (dir / "http.sock").str());
  EXPECT_EQ(served.ask("PUT", key, "value").status, 200);
  HttpOptions again;
  again.address = served.server->address();
  const auto busy = HttpServer::start(*served.store.cache, again);
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().code, base::ErrorCode::busy);
  served.stop();
  EXPECT_NE(::access((dir / "http.sock").c_str(), F_OK), 0) << "it is taken away";
}

TEST(Messages, AddressesThatAreNoneAreRefused) {
  cache::OpenStore store;
  for (const char* address : {"", "8080", "localhost", ":80", "host:", "127.0.0.1:http", "no such host:80"}) {
    HttpOptions options;
    options.address = address;
    const auto started = HttpServer::start(*store.cache, options);
    ASSERT_FALSE(started) << address;
    EXPECT_EQ(started.error().code, base::ErrorCode::invalid_argument) << address;
  }
}

}  // namespace
}  // namespace cairn::serve

// SPDX-License-Identifier: Apache-2.0
// One request and its response on one curl handle, pulled: the network moves only while somebody waits for its bytes,
// on the thread of whoever waits. A body that is sent is read meanwhile, on that thread.
#pragma once

#include <curl/curl.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/sync.h"
#include "libcache/fetcher.h"
#include "libremote/http_fetcher.h"

namespace cairn::remote {

// Multi handles with their open connections, for requests to come. Thread-safe.
class MultiPool {
 public:
  ~MultiPool();
  CURLM* take();
  void give_back(CURLM* multi);

 private:
  static constexpr std::size_t idle_max = 16;
  base::Guarded<std::vector<CURLM*>> idle_;
};

// Whether a request of this kind sends a body.
bool sends_body(cache::FetchRequest::Method method);

class Transfer {
 public:
  // pool and options outlive it.
  Transfer(MultiPool& pool, const HttpOptions& options, const cache::FetchRequest& request, std::stop_token stop);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Returns when all headers are there.
  base::Status receive_headers();
  int status() const { return status_; }
  const std::map<std::string, std::string>& headers() const { return headers_; }
  std::optional<std::uint64_t> size() const;
  // 0: the end.
  base::Result<std::size_t> read(std::span<std::byte> out);

 private:
  static std::size_t on_header(char* bytes, std::size_t one, std::size_t count, void* self);
  static std::size_t on_body(char* bytes, std::size_t one, std::size_t count, void* self);
  static std::size_t on_send(char* out, std::size_t one, std::size_t count, void* self);
  static int on_rewind(void* self, curl_off_t offset, int origin);
  void send_body(const cache::FetchRequest& request);
  base::Result<std::size_t> read_to_send(std::span<std::byte> out);
  bool take_header(std::string_view line);
  // Works until `ready` or the end.
  base::Status work_until(const std::function<bool()>& ready);
  base::Status check_messages();
  base::Status check_pace();
  base::Status check_deadline(std::chrono::steady_clock::time_point now) const;
  base::Status failure(CURLcode code) const;

  MultiPool& pool_;
  const HttpOptions& options_;
  std::stop_token stop_;
  std::string what_;  // is done, for messages
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  base::ByteSource* to_send_ = nullptr;  // not used after receive_headers()
  std::uint64_t left_to_send_ = 0;       // bytes
  std::string sent_head_;                // what was read of it so far; "" again when it is more than is kept
  std::size_t resent_ = 0;               // of sent_head_, where the next byte is to come from
  std::uint64_t read_to_send_ = 0;       // bytes of the body, without what was sent again
  std::optional<base::Error> unsent_;    // why the body could not be read
  CURLM* multi_;
  CURL* easy_;
  curl_slist* sent_ = nullptr;
  char error_[CURL_ERROR_SIZE] = {};

  int status_ = 0;
  std::map<std::string, std::string> headers_;
  std::size_t header_bytes_ = 0;
  std::string refused_;  // why a header was not taken
  bool headers_done_ = false, ended_ = false, paused_ = false;
  std::string buffer_;  // of the body; what was read is cut off when it is empty
  std::size_t taken_ = 0;
  std::uint64_t moved_ = 0;              // bytes of headers and bodies, both ways
  std::uint64_t had_ = 0;                // of them, when the time began that counts for stalls
  std::chrono::microseconds waited_{0};  // since then
};

}  // namespace cairn::remote

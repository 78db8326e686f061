// SPDX-License-Identifier: Apache-2.0
#include "libremote/http/transfer.h"

#include <algorithm>
#include <cstring>

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t buffer_bytes_max = 256 << 10;
constexpr std::uint64_t unasked_bytes_max = 1 << 20;
constexpr std::size_t sent_head_bytes_max = 256 << 10;
constexpr std::chrono::milliseconds poll_min{1}, poll_max{1'000};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return out;
}

std::string_view trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

bool sends_body(cache::FetchRequest::Method method) {
  using Method = cache::FetchRequest::Method;
  return method == Method::put || method == Method::post || method == Method::patch;
}

MultiPool::~MultiPool() {
  for (CURLM* multi : *idle_.lock()) curl_multi_cleanup(multi);
}

CURLM* MultiPool::take() {
  {
    auto idle = idle_.lock();
    if (!idle->empty()) {
      CURLM* multi = idle->back();
      idle->pop_back();
      return multi;
    }
  }
  CURLM* multi = curl_multi_init();
  CHECK(multi != nullptr, "curl gives no handle");
  return multi;
}

void MultiPool::give_back(CURLM* multi) {
  {
    auto idle = idle_.lock();
    if (idle->size() < idle_max) {
      idle->push_back(multi);
      return;
    }
  }
  curl_multi_cleanup(multi);
}

Transfer::Transfer(MultiPool& pool, const HttpOptions& options, const cache::FetchRequest& request,
                   std::stop_token stop)
    : pool_(pool),
      options_(options),
      stop_(std::move(stop)),
      what_((sends_body(request.method) ? "put " : "fetch ") + cache::url_without_secrets(request.url)),
      deadline_(request.deadline),
      multi_(pool.take()),
      easy_(curl_easy_init()) {
  CHECK(easy_ != nullptr, "curl gives no handle");
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(easy_, option, value); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_ERRORBUFFER, error_);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, this);
  if (request.method == cache::FetchRequest::Method::head) set(CURLOPT_NOBODY, 1L);
  if (sends_body(request.method)) send_body(request);
  if (request.method == cache::FetchRequest::Method::post) set(CURLOPT_CUSTOMREQUEST, "POST");
  if (request.method == cache::FetchRequest::Method::patch) set(CURLOPT_CUSTOMREQUEST, "PATCH");
  if (!options.ca_file.empty()) set(CURLOPT_CAINFO, options.ca_file.c_str());
  bool has_agent = false;
  for (const auto& [name, value] : request.headers) {
    has_agent = has_agent || lower(name) == "user-agent";
    // A header without a value is one that ends in a semicolon, to curl.
    const std::string line = value.empty() ? name + ";" : name + ": " + value;
    sent_ = curl_slist_append(sent_, line.c_str());
  }
  if (!has_agent) set(CURLOPT_USERAGENT, "cairn");
  set(CURLOPT_HTTPHEADER, sent_);
  curl_multi_add_handle(multi_, easy_);
}

Transfer::~Transfer() {
  curl_multi_remove_handle(multi_, easy_);
  curl_easy_cleanup(easy_);
  curl_slist_free_all(sent_);
  pool_.give_back(multi_);
}

// A server is asked before a large body is sent (Expect: 100-continue), so that what is refused is not sent in vain;
// one that does not know it costs a second. For a small body the question would take longer than the body.
void Transfer::send_body(const cache::FetchRequest& request) {
  to_send_ = request.body;
  left_to_send_ = request.body_bytes;
  if (request.body_bytes <= unasked_bytes_max) sent_ = curl_slist_append(sent_, "Expect:");
  curl_easy_setopt(easy_, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(easy_, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body_bytes));
  curl_easy_setopt(easy_, CURLOPT_READFUNCTION, &Transfer::on_send);
  curl_easy_setopt(easy_, CURLOPT_READDATA, this);
  curl_easy_setopt(easy_, CURLOPT_SEEKFUNCTION, &Transfer::on_rewind);
  curl_easy_setopt(easy_, CURLOPT_SEEKDATA, this);
}

// A connection of an earlier request may be closed by the server at the very moment that it is used again. Then curl makes
// a new one and begins anew, with what is kept of the body.
int Transfer::on_rewind(void* self, curl_off_t offset, int origin) {
  auto* transfer = static_cast<Transfer*>(self);
  const bool is_kept = transfer->read_to_send_ == transfer->sent_head_.size();
  if (offset != 0 || origin != SEEK_SET || !is_kept) return CURL_SEEKFUNC_FAIL;
  transfer->resent_ = 0;
  return CURL_SEEKFUNC_OK;
}

std::size_t Transfer::on_send(char* out, std::size_t one, std::size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  auto got = transfer->read_to_send(std::as_writable_bytes(std::span(out, one * count)));
  if (got) return *got;
  transfer->unsent_ = std::move(got).error();
  return CURL_READFUNC_ABORT;
}

Result<std::size_t> Transfer::read_to_send(std::span<std::byte> out) {
  if (resent_ < sent_head_.size()) {
    const std::size_t again = sent_head_.copy(reinterpret_cast<char*>(out.data()), out.size(), resent_);
    resent_ += again;
    return again;
  }
  if (left_to_send_ == 0) return std::size_t{0};
  if (to_send_ == nullptr) return fail(ErrorCode::io, "{}: answered before it had all", what_);
  if (out.size() > left_to_send_) out = out.first(static_cast<std::size_t>(left_to_send_));
  const std::size_t count = TRY(to_send_->read(out), "{}", what_);
  if (count == 0) return fail(ErrorCode::corrupt, "{}: {} bytes are missing of what was to be sent", what_, left_to_send_);
  left_to_send_ -= count;
  moved_ += count;
  const bool was_kept = sent_head_.size() == read_to_send_;
  read_to_send_ += count;
  if (was_kept && read_to_send_ <= sent_head_bytes_max) sent_head_.append(reinterpret_cast<const char*>(out.data()), count);
  else sent_head_.clear();
  resent_ = sent_head_.size();
  return count;
}

std::size_t Transfer::on_header(char* bytes, std::size_t one, std::size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  return transfer->take_header({bytes, one * count}) ? one * count : 0;
}

bool Transfer::take_header(std::string_view line) {
  moved_ += line.size();
  header_bytes_ += line.size();
  if (header_bytes_ > options_.header_bytes_max) {
    refused_ = fmt::format("more than {} bytes of headers", options_.header_bytes_max);
    return false;
  }
  if (headers_done_) return true;  // a trailer
  if (line.starts_with("HTTP/")) {
    headers_.clear();
    return true;
  }
  const std::string_view text = trim(line);
  if (text.empty()) {
    long status = 0;
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    status_ = static_cast<int>(status);
    headers_done_ = status_ >= 200;
    return true;
  }
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return true;
  std::string& value = headers_[lower(trim(text.substr(0, colon)))];
  if (!value.empty()) value += ", ";
  value += trim(text.substr(colon + 1));
  return true;
}

std::size_t Transfer::on_body(char* bytes, std::size_t one, std::size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  if (transfer->buffer_.size() - transfer->taken_ >= buffer_bytes_max) {
    transfer->paused_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  transfer->buffer_.append(bytes, one * count);
  transfer->moved_ += one * count;
  return one * count;
}

std::optional<std::uint64_t> Transfer::size() const {
  curl_off_t size = -1;
  curl_easy_getinfo(easy_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
  if (size < 0) return std::nullopt;
  return static_cast<std::uint64_t>(size);
}

Status Transfer::failure(CURLcode code) const {
  const std::string why = error_[0] != '\0' ? error_ : curl_easy_strerror(code);
  if (unsent_) return tl::unexpected(*unsent_);
  if (!refused_.empty()) return fail(ErrorCode::invalid_argument, "{}: {}", what_, refused_);
  switch (code) {
    case CURLE_URL_MALFORMAT: return fail(ErrorCode::invalid_argument, "{}: {}", what_, why);
    case CURLE_PARTIAL_FILE: return fail(ErrorCode::corrupt, "{}: it ended too early: {}", what_, why);
    case CURLE_OPERATION_TIMEDOUT:
      return fail(ErrorCode::io, "{}: no connection within {} ms", what_, options_.connect_timeout.count());
    default: return fail(ErrorCode::io, "{}: {}", what_, why);
  }
}

Status Transfer::check_messages() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    ended_ = true;
    if (message->data.result != CURLE_OK) return failure(message->data.result);
  }
  return {};
}

Status Transfer::work_until(const std::function<bool()>& ready) {
  using Clock = std::chrono::steady_clock;
  const std::stop_callback wake(stop_, [this] { curl_multi_wakeup(multi_); });
  auto since = Clock::now();
  while (true) {
    if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "{}: cancelled", what_);
    TRY(check_deadline(Clock::now()));
    int running = 0;
    if (const CURLMcode code = curl_multi_perform(multi_, &running); code != CURLM_OK) {
      return fail(ErrorCode::io, "{}: {}", what_, curl_multi_strerror(code));
    }
    TRY(check_messages());
    const auto now = Clock::now();
    waited_ += std::chrono::duration_cast<std::chrono::microseconds>(now - since);
    since = now;
    if (ended_ || ready()) return {};
    TRY(check_pace());
    using std::chrono::milliseconds;
    auto left = std::chrono::duration_cast<milliseconds>(options_.stall_timeout - waited_);
    if (deadline_) left = std::min(left, std::chrono::ceil<milliseconds>(*deadline_ - now));
    curl_multi_poll(multi_, nullptr, 0, static_cast<int>(std::clamp(left, poll_min, poll_max).count()), nullptr);
  }
}

Status Transfer::check_deadline(std::chrono::steady_clock::time_point now) const {
  if (!deadline_ || now < *deadline_) return {};
  return fail(ErrorCode::io, "{}: not done in the time that there was", what_);
}

// Only the time counts that somebody waits, over all reads: a slow reader is no fault of the server, and a byte now and
// then is no progress.
Status Transfer::check_pace() {
  const std::uint64_t count = moved_ - had_;
  if (count >= options_.stall_bytes_min) {
    had_ = moved_;
    waited_ = {};
  }
  if (waited_ < options_.stall_timeout) return {};
  return fail(ErrorCode::io, "{}: stalled: the server {} {} bytes in {} ms", what_, left_to_send_ > 0 ? "took" : "sent",
              count, std::chrono::duration_cast<std::chrono::milliseconds>(waited_).count());
}

Status Transfer::receive_headers() {
  TRY(work_until([this] { return headers_done_; }));
  if (!headers_done_) return fail(ErrorCode::io, "{}: an answer without headers", what_);
  to_send_ = nullptr;
  return {};
}

Result<std::size_t> Transfer::read(std::span<std::byte> out) {
  if (out.empty()) return std::size_t{0};
  const auto has_bytes = [this] { return taken_ < buffer_.size(); };
  if (!has_bytes()) {
    buffer_.clear();
    taken_ = 0;
    if (paused_) {
      paused_ = false;
      curl_easy_pause(easy_, CURLPAUSE_CONT);
    }
    if (!has_bytes() && !ended_) TRY(work_until(has_bytes));
  }
  const std::size_t count = std::min(out.size(), buffer_.size() - taken_);
  std::memcpy(out.data(), buffer_.data() + taken_, count);
  taken_ += count;
  return count;
}

}  // namespace cairn::remote

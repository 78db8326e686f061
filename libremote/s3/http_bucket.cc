// SPDX-License-Identifier: Apache-2.0
// Buckets over S3's protocol. Whether a server heeds conditions is found out before one is relied on: some know no
// If-Match and say so, and some take it and do not look.
#include <algorithm>
#include <atomic>

#include "libbase/hash/sha256.h"
#include "libbase/pause.h"
#include "libremote/bodies/bodies.h"
#include "libremote/buckets.h"
#include "libremote/s3/s3_client.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using cache::FetchAnswer;
using cache::TierCall;

namespace {

constexpr std::uint64_t object_bytes_max = 5ull << 30;  // of one PUT
constexpr std::uint64_t getting_on = 1 << 20;
constexpr const char* no_tag = "\"00000000000000000000000000000000\"";

bool is_passing(const base::Error& error) {
  return error.code == ErrorCode::io || error.code == ErrorCode::busy || error.code == ErrorCode::corrupt;
}

class HttpBucket;

// The bytes of an object. A transfer that breaks off is begun again from where it was, as long as it gets on.
class ObjectBody final : public base::ByteSource {
 public:
  ObjectBody(const HttpBucket& bucket, std::string object, std::uint64_t size, std::stop_token stop)
      : bucket_(bucket), object_(std::move(object)), size_(size), stop_(std::move(stop)) {}

  Status open();  // from where it is
  Result<std::size_t> read(std::span<std::byte> out) override;

 private:
  Result<std::size_t> read_once(std::span<std::byte> out);

  const HttpBucket& bucket_;
  const std::string object_;
  const std::uint64_t size_;
  const std::stop_token stop_;
  std::unique_ptr<base::ByteSource> body_;
  std::uint64_t done_ = 0, done_at_break_ = 0;
  int breaks_ = 0;  // without getting on
};

class HttpBucket final : public cache::Bucket {
 public:
  HttpBucket(S3Client client, const base::Clock& clock, const BucketOptions& options)
      : client_(std::move(client)), clock_(clock), options_(options) {}

  const std::string& name() const override { return client_.name(); }
  const BucketOptions& options() const { return options_; }

  Result<std::optional<Object>> read(const std::string& object, std::size_t size_max, std::stop_token stop) override {
    std::optional<Object> found;
    TRY(try_often(0, stop, [&](const TierCall& call) -> Status {
      FetchAnswer answer = TRY(client_.get(S3Client::Method::get, object, call));
      if (TRY(client_.is_absent(answer, "read " + object))) return {};
      std::string bytes = TRY(bounded_body(answer, size_max, name()));
      found = Object{std::move(bytes), answer.header("etag"), answer.header("last-modified")};
      return {};
    }));
    return found;
  }

  Result<std::optional<Facts>> find(const std::string& object, std::stop_token stop) override {
    std::optional<Facts> found;
    TRY(try_often(0, stop, [&](const TierCall& call) -> Status {
      FetchAnswer answer = TRY(client_.get(S3Client::Method::head, object, call));
      if (TRY(client_.is_absent(answer, "look for " + object))) return {};
      read_small(answer);
      if (!answer.size) return fail(ErrorCode::io, "{}: it does not say how large {} is", name(), object);
      found = Facts{*answer.size, answer.header("last-modified")};
      return {};
    }));
    return found;
  }

  Result<std::unique_ptr<base::ByteSource>> open(const std::string& object, std::uint64_t size,
                                                 std::stop_token stop) override {
    auto body = std::make_unique<ObjectBody>(*this, object, size, std::move(stop));
    TRY(body->open());
    return body;
  }
  // What comes after `offset`, of which there is some.
  Result<std::unique_ptr<base::ByteSource>> open_once(const std::string& object, std::uint64_t offset,
                                                      std::uint64_t size, const std::stop_token& stop) const {
    FetchAnswer answer = TRY(client_.get_range(object, offset, size - offset, call_of(size - offset, stop)));
    if (TRY(client_.is_absent(answer, "read " + object)))
      return fail(ErrorCode::not_found, "{}: there is no {}", name(), object);
    const std::string wanted = fmt::format("bytes {}-{}/{}", offset, size - 1, size);
    const bool is_whole = answer.status == 200 && offset == 0 && answer.size.value_or(size) == size;
    if (!is_whole && answer.header("content-range") != wanted)
      return fail(ErrorCode::corrupt, "{}: {} comes as \"{}\" where \"{}\" was asked for", name(), object,
                  printable(answer.header("content-range")), wanted);
    return std::make_unique<SizedBody>(std::move(answer.body), size - offset, fmt::format("{}: {}", name(), object));
  }

  Status put(const std::string& object, const BlobDigest& digest, std::uint64_t size, const OpenBytes& open,
             std::stop_token stop) override {
    if (size > object_bytes_max)
      return fail(ErrorCode::invalid_argument, "{}: {} has {} bytes, and an object of one request at most {}", name(),
                  object, size, object_bytes_max);
    return try_often(size, stop, [&](const TierCall& call) -> Status {
      const auto bytes = TRY(open());
      FetchAnswer answer = TRY(client_.put(object, {*bytes, size, digest.hex()}, S3Client::Condition::none, call));
      return expect_done(answer, "put " + object);
    });
  }

  Status renew(const std::string& object, std::stop_token stop) override {
    return try_often(0, stop, [&](const TierCall& call) -> Status {
      FetchAnswer answer = TRY(client_.renew(object, call));
      return expect_done(answer, "renew " + object);
    });
  }

  Result<Replaced> replace(const std::string& object, const std::string& bytes,
                           const std::optional<std::string>& old_tag, std::stop_token stop) override {
    if (conditions_ == Conditions::unasked) {
      // No object has this tag, so whoever puts it all the same does not look.
      const Answer tried = TRY(replace_once(object, bytes, no_tag, stop));
      conditions_ = tried == Answer::no ? Conditions::heeded : Conditions::ignored;
      if (tried == Answer::yes) return Replaced::unguarded;
    }
    if (conditions_ == Conditions::heeded) {
      const Answer answer = TRY(replace_once(object, bytes, old_tag, stop));
      if (answer != Answer::knows_no_condition) return answer == Answer::yes ? Replaced::yes : Replaced::no;
      conditions_ = Conditions::ignored;
    }
    const auto source = [&]() -> Result<std::unique_ptr<base::ByteSource>> {
      return std::make_unique<StringBody>(bytes);
    };
    TRY(put(object, base::digest_of<BlobDigest>(bytes), bytes.size(), source, stop));
    return Replaced::unguarded;
  }

  // Until it is done, or fails with what stays as it is, or there is no time left.
  Status try_often(std::uint64_t bytes, const std::stop_token& stop,
                   const std::function<Status(const TierCall&)>& once) const {
    const TierCall call = call_of(bytes, stop);
    for (int tries = 1;; ++tries) {
      auto done = once(call);
      if (done || !is_passing(done.error()) || tries >= options_.tries || clock_.steady_now() >= call.deadline)
        return done;
      TRY(pause(tries, stop));
    }
  }
  Status pause(int tries, const std::stop_token& stop) const {
    if (base::pause_for(options_.pause * (1 << std::min(tries - 1, 6)), stop)) return {};
    return fail(ErrorCode::cancelled, "{}: cancelled", name());
  }

 private:
  enum class Conditions : std::uint8_t { unasked, heeded, ignored };

  TierCall call_of(std::uint64_t bytes, const std::stop_token& stop) const {
    return {.deadline = clock_.steady_now() + options_.request_time +
                        std::chrono::seconds(bytes / options_.bytes_per_second_min),
            .stop = stop};
  }
  Status expect_done(FetchAnswer& answer, std::string_view request) const {
    if (answer.status != 200) return tl::unexpected(client_.refusal(answer, request));
    read_small(answer);
    return {};
  }

  // One that broke off may have been done; then the next try says no, as its bytes are not the old ones.
  enum class Answer : std::uint8_t { yes, no, knows_no_condition };
  Result<Answer> replace_once(const std::string& object, const std::string& bytes,
                              const std::optional<std::string>& old_tag, const std::stop_token& stop) const {
    Answer said = Answer::yes;
    TRY(try_often(bytes.size(), stop, [&](const TierCall& call) -> Status {
      FetchAnswer answer = TRY(old_tag ? client_.replace(object, bytes, *old_tag, call)
                                       : client_.put(object, bytes, S3Client::Condition::if_absent, call));
      const bool is_gone = answer.status == 404 && old_tag && TRY(client_.is_absent(answer, "replace " + object));
      // 409: somebody replaces it at this moment.
      if (is_gone || answer.status == 412 || answer.status == 409) {
        said = Answer::no;
      } else if (answer.status == 501) {
        said = Answer::knows_no_condition;
      } else {
        return expect_done(answer, "replace " + object);
      }
      read_small(answer);
      return {};
    }));
    return said;
  }

  const S3Client client_;
  const base::Clock& clock_;
  const BucketOptions options_;
  std::atomic<Conditions> conditions_{Conditions::unasked};
};

Status ObjectBody::open() {
  body_ = TRY(bucket_.open_once(object_, done_, size_, stop_));
  return {};
}

Result<std::size_t> ObjectBody::read_once(std::span<std::byte> out) {
  if (done_ == size_) return std::size_t{0};
  if (!body_) TRY(open());
  return body_->read(out);
}

Result<std::size_t> ObjectBody::read(std::span<std::byte> out) {
  while (true) {
    auto count = read_once(out);
    if (count) {
      done_ += *count;
      return count;
    }
    if (!is_passing(count.error())) return count;
    if (done_ - done_at_break_ >= getting_on) breaks_ = 0;
    done_at_break_ = done_;
    if (++breaks_ >= bucket_.options().tries) return count;
    body_.reset();
    TRY(bucket_.pause(breaks_, stop_));
  }
}

class HttpBuckets final : public cache::Buckets {
 public:
  HttpBuckets(cache::Fetcher& fetcher, const base::Clock& clock, BucketOptions options)
      : fetcher_(fetcher), clock_(clock), options_(options) {}

  Result<std::shared_ptr<cache::Bucket>> open(const cache::BucketAddress& address,
                                              const cache::BucketCredentials& credentials) override {
    using Names = cache::BucketAddress::Names;
    S3Options options{.bucket = address.bucket,
                      .endpoint = address.endpoint,
                      .region = address.region,
                      .addressing = address.names == Names::in_path ? S3Options::Addressing::path
                                                                    : S3Options::Addressing::virtual_host,
                      .access_key_id = credentials.access_key_id,
                      .secret_access_key = credentials.secret_access_key,
                      .session_token = credentials.session_token};
    S3Client client = TRY(S3Client::make(fetcher_, clock_, with_environment(std::move(options))));
    return std::make_shared<HttpBucket>(std::move(client), clock_, options_);
  }

 private:
  cache::Fetcher& fetcher_;
  const base::Clock& clock_;
  const BucketOptions options_;
};

}  // namespace

std::unique_ptr<cache::Buckets> make_buckets(cache::Fetcher& fetcher, const base::Clock& clock, BucketOptions options) {
  return std::make_unique<HttpBuckets>(fetcher, clock, options);
}

}  // namespace cairn::remote

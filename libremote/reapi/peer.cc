// SPDX-License-Identifier: Apache-2.0
#include "libremote/reapi/peer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <google/rpc/status.pb.h>
#include "libbase/base64.h"
#include "libbase/fs/fd.h"
#include "libremote/bodies/bodies.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using grpc::StatusCode;

namespace {

constexpr std::size_t pem_bytes_max = 4 << 20;
constexpr int message_bytes_max = 16 << 20;                    // of an answer; what is in it has limits of its own
constexpr int first_backoff_ms = 200, backoff_ms_max = 5'000;  // between attempts to connect; breakers wait longer
constexpr const char* machine_authorities = "/etc/ssl/certs/ca-certificates.crt";

std::string_view name_of(StatusCode code) {
  static constexpr std::array<std::string_view, 17> names{
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  const auto at = static_cast<std::size_t>(code);
  return at < names.size() ? names[at] : "a status that there is not";
}

// The server is there and asks for less, in contrast to one that nobody can reach.
bool says_when_to_try_again(const grpc::Status& status) {
  google::rpc::Status details;
  return details.ParseFromString(status.error_details()) &&
         std::any_of(details.details().begin(), details.details().end(),
                     [](const auto& each) { return each.type_url().ends_with("google.rpc.RetryInfo"); });
}

ErrorCode code_of(const grpc::Status& status) {
  switch (status.error_code()) {
    case StatusCode::RESOURCE_EXHAUSTED: return ErrorCode::busy;
    case StatusCode::UNAVAILABLE: return says_when_to_try_again(status) ? ErrorCode::busy : ErrorCode::io;
    case StatusCode::UNAUTHENTICATED:
    case StatusCode::PERMISSION_DENIED:
    case StatusCode::UNIMPLEMENTED:
    case StatusCode::NOT_FOUND: return ErrorCode::unavailable;
    default: return ErrorCode::io;
  }
}

bool is_plain(std::string_view text, std::string_view without) {
  return std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return c > 0x20 && c < 0x7f && without.find(static_cast<char>(c)) == std::string_view::npos;
  });
}

struct Place {
  std::string target;  // as gRPC takes it
  bool has_tls = false;
};

Result<Place> place_of(const std::string& address) {
  const auto wrong = [&] {
    return fail(ErrorCode::invalid_argument,
                "a REAPI server: \"{}\" is not grpc://HOST:PORT, grpcs://HOST:PORT or unix:/PATH",
                is_plain(address, "@") ? address : "…");
  };
  if (address.starts_with("unix:/")) {
    if (!is_plain(address, "")) return wrong();
    return Place{.target = address};
  }
  const bool has_tls = address.starts_with("grpcs://");
  if (!has_tls && !address.starts_with("grpc://")) return wrong();
  std::string_view at = address;
  at.remove_prefix(has_tls ? 8 : 7);
  const std::size_t colon = at.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || !is_plain(at, "/?#@\\,")) return wrong();
  std::uint16_t port = 0;
  const auto [end, failed] = std::from_chars(at.data() + colon + 1, at.data() + at.size(), port);
  if (failed != std::errc() || end != at.data() + at.size() || port == 0) return wrong();
  return Place{.target = std::string(at), .has_tls = has_tls};
}

Status check(const ReapiTierOptions& options, const Place& place) {
  const std::string& instance = options.instance;
  const bool is_instance = is_plain(instance, "\\?#") && !instance.starts_with('/') && !instance.ends_with('/') &&
                           instance.find("//") == std::string::npos;
  const auto wrong = [&](std::string_view what) {
    return fail(ErrorCode::invalid_argument, "{}: {}", options.address, what);
  };
  if (!is_instance) return wrong("an instance that cannot be one");
  if (!options.token.empty() && !options.user.empty()) return wrong("either a user or a token");
  const bool has_files = options.ca || options.client_certificate || options.client_key;
  if (has_files && !place.has_tls) return wrong("certificates are for grpcs://");
  if (options.client_certificate.has_value() != options.client_key.has_value())
    return wrong("a certificate of ours needs its key, and a key its certificate");
  return {};
}

Result<std::string> pem_of(const base::HostPath& path) {
  auto text = TRY(base::read_file(path, pem_bytes_max));
  if (text.find("-----BEGIN ") == std::string::npos)
    return fail(ErrorCode::invalid_argument, "{}: it is no PEM", path.str());
  return text;
}

Result<std::shared_ptr<grpc::ChannelCredentials>> credentials_of(const ReapiTierOptions& options, bool has_tls) {
  if (!has_tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions tls;
  if (options.ca)
    tls.pem_root_certs = TRY(pem_of(*options.ca));
  else if (auto known = pem_of(base::HostPath::parse(machine_authorities).value()))
    tls.pem_root_certs = std::move(*known);
  if (options.client_certificate) {
    tls.pem_cert_chain = TRY(pem_of(*options.client_certificate));
    tls.pem_private_key = TRY(pem_of(*options.client_key));
  }
  return grpc::SslCredentials(tls);
}

// A connection of its own, so that one tier's trouble with a server is not another's; and straight to it.
grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(message_bytes_max);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, first_backoff_ms);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, first_backoff_ms * 10);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, backoff_ms_max);
  return arguments;
}

std::string shown_name(const ReapiTierOptions& options) {
  const bool is_socket = options.address.starts_with("unix:/");
  const std::string place = is_socket ? "unix://" + options.address.substr(5) : options.address;
  return options.instance.empty() ? place : place + "/" + options.instance;
}

// 0 is "no limit", which a message has all the same.
PeerLimits limits_of(const reapi::CacheCapabilities& said) {
  PeerLimits limits;
  const auto batch = static_cast<std::uint64_t>(std::max<std::int64_t>(said.max_batch_total_size_bytes(), 0));
  if (batch > 0) limits.batch_bytes_max = std::min<std::uint64_t>(batch, message_room);
  if (said.max_cas_blob_size_bytes() > 0)
    limits.blob_bytes_max = static_cast<std::uint64_t>(said.max_cas_blob_size_bytes());
  const auto& compressors = said.supported_compressors();
  limits.knows_zstd = std::find(compressors.begin(), compressors.end(), reapi::Compressor::ZSTD) != compressors.end();
  return limits;
}

bool knows_sha256(const reapi::CacheCapabilities& said) {
  const auto& functions = said.digest_functions();
  return functions.empty() ||
         std::find(functions.begin(), functions.end(), reapi::DigestFunction::SHA256) != functions.end();
}

}  // namespace

Status expect_reapi_address(const std::string& address) {
  TRY(place_of(address));
  return {};
}

PeerCall::PeerCall(const cache::TierCall& call, const std::string& authorization)
    : stopped_(call.stop, [this] { context_.TryCancel(); }) {
  context_.set_deadline(std::chrono::system_clock::now() + (call.deadline - std::chrono::steady_clock::now()));
  if (!authorization.empty()) context_.AddMetadata("authorization", authorization);
}

Result<std::unique_ptr<Peer>> Peer::make(const ReapiTierOptions& options) {
  const Place place = TRY(place_of(options.address));
  TRY(check(options, place));
  const auto credentials = TRY(credentials_of(options, place.has_tls), "{}", options.address);
  return std::unique_ptr<Peer>(
      new Peer(options, grpc::CreateCustomChannel(place.target, credentials, channel_arguments())));
}

Peer::Peer(const ReapiTierOptions& options, const std::shared_ptr<grpc::Channel>& channel)
    : name_(shown_name(options)),
      instance_(options.instance),
      blobs_(reapi::ContentAddressableStorage::NewStub(channel)),
      actions_(reapi::ActionCache::NewStub(channel)),
      capabilities_(reapi::Capabilities::NewStub(channel)),
      streams_(bytestream::ByteStream::NewStub(channel)) {
  if (!options.user.empty()) authorization_ = "Basic " + base::base64(options.user + ":" + options.password);
  if (!options.token.empty()) authorization_ = "Bearer " + options.token;
}

std::string Peer::instance_below(const std::string& instance) const {
  return instance_ + (instance_.empty() || instance.empty() ? "" : "/") + instance;
}

Status Peer::expect_time(const cache::TierCall& call) const {
  if (call.stop.stop_requested()) return fail(ErrorCode::cancelled, "{}: nobody waits for it any more", name_);
  if (std::chrono::steady_clock::now() >= call.deadline)
    return fail(ErrorCode::io, "{}: not done in the time that there was", name_);
  return {};
}

Result<PeerLimits> Peer::limits(const cache::TierCall& call) {
  TRY(expect_time(call));
  if (const auto known = *limits_.lock()) return *known;
  reapi::GetCapabilitiesRequest request;
  request.set_instance_name(instance_);
  reapi::ServerCapabilities said;
  const auto status = ask(*capabilities_, &reapi::Capabilities::Stub::GetCapabilities, request, said, call);
  const bool says_nothing = status.error_code() == StatusCode::UNIMPLEMENTED;  // then it is what most are
  if (!status.ok() && !says_nothing) return tl::unexpected(error_of(status, call, "its capabilities"));
  if (status.ok()) {
    const bool is_v2 =
        said.low_api_version().major() <= 2 && (!said.has_high_api_version() || said.high_api_version().major() >= 2);
    if (!is_v2) return fail(ErrorCode::unavailable, "{}: it does not speak version 2 of the protocol", name_);
    if (!said.has_cache_capabilities()) return fail(ErrorCode::unavailable, "{}: it is no cache", name_);
    if (!knows_sha256(said.cache_capabilities()))
      return fail(ErrorCode::unavailable, "{}: it keeps no blobs by SHA-256", name_);
  }
  const PeerLimits limits = says_nothing ? PeerLimits() : limits_of(said.cache_capabilities());
  *limits_.lock() = limits;
  return limits;
}

base::Error Peer::error_of(const grpc::Status& status, const cache::TierCall& call, std::string_view request) {
  if (call.stop.stop_requested())
    return fail(ErrorCode::cancelled, "{}: {}: nobody waits for it any more", name_, request).value();
  if (status.error_code() == StatusCode::DEADLINE_EXCEEDED)
    return fail(ErrorCode::io, "{}: {}: not done in the time that there was", name_, request).value();
  // It may be another one when it is back.
  if (status.error_code() == StatusCode::UNAVAILABLE) limits_.lock()->reset();
  return fail(code_of(status), "{}: {}: {}, \"{}\"", name_, request, name_of(status.error_code()),
              printable(status.error_message()))
      .value();
}

}  // namespace cairn::remote

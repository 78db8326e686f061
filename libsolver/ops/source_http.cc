// SPDX-License-Identifier: Apache-2.0
// http:// and https://: one file. With a checksum nobody is asked what it is. Without one the server is: whether what it
// said last is still so (ETag, Last-Modified); if not, the file is downloaded to learn what it is, and that download is
// the result unless it turns out to be known.
#include <algorithm>

#include "libbase/codec.h"
#include "libbase/hash/sha256.h"
#include "libcache/resolved_source.h"
#include "libsolver/cache_key.h"
#include "libsolver/ops/http_spec.h"
#include "libsolver/ops/ops.h"
#include "libsolver/sources/http_download.h"
#include "libsolver/sources/http_names.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using cache::FetchAnswer;
using cache::FetchRequest;

constexpr std::uint8_t facts_version = 2;  // 1: the checksum in 32 bytes
// A Last-Modified this much older than the answer tells versions apart (RFC 9110, 8.8.2.2).
constexpr std::int64_t strong_after_seconds = 60;

// What a server has said of a URL.
struct HttpFacts {
  std::string etag;
  std::string last_modified;  // as it came
  bool is_strong = false;     // last_modified tells versions apart
  HttpContent content;
};

std::string encode(const HttpFacts& facts) {
  return base::ByteWriter().u8(facts_version).string(facts.etag).string(facts.last_modified).u8(facts.is_strong ? 1 : 0)
      .string(facts.content.checksum).string(facts.content.filename).take();
}

Result<HttpFacts> decode_facts(std::string_view bytes) {
  base::ByteReader reader(bytes);
  if (TRY(reader.u8()) != facts_version) return fail(ErrorCode::corrupt, "facts of an HTTP source: unknown version");
  HttpFacts facts;
  facts.etag = TRY(reader.string());
  facts.last_modified = TRY(reader.string());
  facts.is_strong = TRY(reader.u8()) != 0;
  facts.content.checksum = TRY(reader.string());
  facts.content.filename = TRY(reader.string());
  facts.content.last_modified = parse_http_time(facts.last_modified);
  TRY(reader.expect_end());
  return facts;
}

// Everything that the answer may depend on; of secrets only which one is used.
KeyDigest question_of(const HttpSpec& spec) {
  base::ByteWriter name;
  name.raw("cairn.source.http.resolved.v1:").string(spec.url).string(spec.filename).string(spec.auth_secret);
  name.i64(spec.mode).i64(spec.uid).i64(spec.gid);
  for (const auto& [header, value] : spec.headers) name.string(header).string(value);
  return private_key(name.take());
}

class HttpSource final : public Op {
 public:
  HttpSource(std::shared_ptr<const Vertex> vertex, HttpSpec spec, std::string authorization, RemoteUse remote)
      : vertex_(std::move(vertex)),
        spec_(std::move(spec)),
        authorization_(std::move(authorization)),
        remote_(remote),
        url_(cache::url_without_secrets(spec_.url)) {}

  Cost identify_cost() const override { return spec_.checksum ? Cost::pure : Cost::io; }

  Result<OpIdentity> identify(std::uint32_t, const OpContext& context) override {
    content_ = spec_.checksum ? pinned_content(spec_) : TRY(resolve(context));
    OpIdentity identity;
    identity.map = http_cache_map(spec_, content_);
    hashed_ = identity.map.hashed;
    return identity;
  }

  base::Sha256Bytes work_identity(std::span<const OptionalRef>) const override {
    return base::sha256("http:" + hashed_ + spec_.url);
  }

  Result<OpOutputs> execute(std::span<const OptionalRef>, const OpContext& context,
                            cache::Publication& publication) override {
    if (!tree_) TRY(download(context, TRY(ask(context, {}))));
    OpOutputs outputs;
    // The file may have changed since it was asked for; the key is that of the bytes in the tree.
    if (downloaded_.checksum != content_.checksum || downloaded_.last_modified != content_.last_modified) {
      if (!spec_.checksum) outputs.true_keys = {root_key(http_cache_map(spec_, downloaded_).digest, 0)};
    }
    cache::RecordFacts facts;
    facts.description = "http url " + url_;
    cache::MutableRef tree = std::move(*tree_);
    tree_.reset();
    outputs.refs.emplace_back(TRY(std::move(tree).commit(publication, std::move(facts))));
    return outputs;
  }

  std::uint32_t outputs() const override { return 1; }

 private:
  // What the URL is now, with its bytes in tree_ if they had to be read for that.
  Result<HttpContent> resolve(const OpContext& context) {
    const KeyDigest question = question_of(spec_);
    std::optional<HttpFacts> known;
    if (auto row = TRY(context.cache.find_resolved(question))) {
      if (auto facts = decode_facts(row->facts)) known = std::move(*facts);
      if (known && (remote_.ask == RemoteUse::Ask::never || row->age < remote_.believed_for)) return known->content;
    }
    FetchAnswer answer = TRY(ask(context, known));
    if (known && is_unchanged(answer, *known)) {
      context.cache.remember_resolved(question, url_, encode(*known));  // the age begins anew
      return known->content;
    }
    HttpFacts facts{.etag = answer.header("etag"), .last_modified = answer.header("last-modified"), .content = {}};
    const auto modified = parse_http_time(facts.last_modified);
    const auto answered = parse_http_time(answer.header("date"));
    facts.is_strong = modified && answered && *answered - *modified >= strong_after_seconds;
    TRY(download(context, std::move(answer)));
    facts.content = downloaded_;
    context.cache.remember_resolved(question, url_, encode(facts));
    return facts.content;
  }

  // Some servers answer with the whole file although its ETag is the one that they were asked about.
  static bool is_unchanged(const FetchAnswer& answer, const HttpFacts& known) {
    if (answer.status == 304) return true;
    return !known.etag.empty() && strong_etag(answer.header("etag")) == strong_etag(known.etag);
  }

  Result<FetchAnswer> ask(const OpContext& context, const std::optional<HttpFacts>& known) const {
    if (remote_.ask == RemoteUse::Ask::never) {
      auto error = fail(ErrorCode::unavailable, "fetch {}: it is not known from before, and no remote side may be asked", url_);
      error.value().hint = "leave out --offline, or pin the source and keep its result";
      return error;
    }
    if (context.fetcher == nullptr) return fail(ErrorCode::unavailable, "fetch {}: this engine reaches no network", url_);
    FetchRequest request{.url = spec_.url, .headers = spec_.headers};
    if (!authorization_.empty()) request.headers.emplace_back("Authorization", authorization_);
    if (known && !known->etag.empty()) {
      request.headers.emplace_back("If-None-Match", known->etag);
    } else if (known && known->is_strong) {
      request.headers.emplace_back("If-Modified-Since", known->last_modified);
    }
    FetchAnswer answer = TRY(context.fetcher->fetch(request, context.stop));
    const bool asked_for_change = known && (!known->etag.empty() || known->is_strong);
    if (answer.status == 200 || (answer.status == 304 && asked_for_change)) return answer;
    const bool is_gone = answer.status == 404 || answer.status == 410;
    return fail(is_gone ? ErrorCode::not_found : ErrorCode::io, "fetch {}: the server answers with status {}", url_,
                answer.status);
  }

  base::Status download(const OpContext& context, FetchAnswer answer) {
    DownloadedFile file;
    file.name = http_file_name(spec_.url, spec_.filename, answer.header("content-disposition"));
    file.mode = spec_.mode == 0 ? 0600 : spec_.mode & 0777;
    file.uid = spec_.uid;
    file.gid = spec_.gid;
    downloaded_.last_modified = parse_http_time(answer.header("last-modified"));
    file.mtime = downloaded_.last_modified.value_or(0);
    cache::MutableRef tree = TRY(context.cache.create(std::nullopt));
    {
      const snapshot::MountedTree mounted = TRY(tree.mount(snapshot::Access::read_write));
      const DownloadRules rules{.algorithm = spec_.checksum ? base::parse_sha2(*spec_.checksum)->algorithm : base::Sha2::sha256,
                                .bytes_max = remote_.file_bytes_max};
      downloaded_.checksum = TRY(write_download(mounted, file, answer, rules, context.bytes), "fetch {}", url_);
    }
    if (spec_.checksum && downloaded_.checksum != *spec_.checksum) {
      return fail(ErrorCode::corrupt, "fetch {}: its content is {}, but the source is pinned to {}", url_,
                  downloaded_.checksum, *spec_.checksum);
    }
    downloaded_.filename = std::move(file.name);
    tree_ = std::move(tree);
    return {};
  }

  std::shared_ptr<const Vertex> vertex_;
  HttpSpec spec_;
  std::string authorization_;
  RemoteUse remote_;
  std::string url_;  // for messages
  HttpContent content_, downloaded_;
  std::string hashed_;
  std::optional<cache::MutableRef> tree_;  // what was downloaded to learn what it is
};

// The host alone, as secrets for it are named.
std::string host_of(std::string_view url) {
  const std::string bare = cache::url_without_secrets(url);
  std::string_view host = std::string_view(bare).substr(bare.find("://") + 3);
  host = host.substr(0, host.find_first_of("/?#"));
  if (host.starts_with('[')) return std::string(host.substr(1, host.find(']') - 1));
  return std::string(host.substr(0, host.find(':')));
}

Result<std::string> authorization_for(const HttpSpec& spec, const SolveRequest& request) {
  const auto find = [&](const std::string& id) {
    const auto found = request.secrets.find(id);
    return found == request.secrets.end() ? nullptr : &found->second;
  };
  if (!spec.auth_secret.empty()) {
    if (const std::string* secret = find(spec.auth_secret)) return *secret;
    return fail(ErrorCode::not_found, "no secret \"{}\" is given, which {} wants", spec.auth_secret,
                cache::url_without_secrets(spec.url));
  }
  const std::string host = host_of(spec.url);
  if (const std::string* token = find("HTTP_AUTH_TOKEN_" + host)) return "Bearer " + *token;
  const std::string* header = find("HTTP_AUTH_HEADER_" + host);
  return header == nullptr ? std::string() : *header;
}

}  // namespace

Result<std::unique_ptr<Op>> make_http_source(std::shared_ptr<const Vertex> vertex, const wire::SourceOp& source,
                                             const SolveRequest& request) {
  HttpSpec spec = TRY(parse_http_source(source), "{}", cache::url_without_secrets(source.identifier));
  std::string authorization = TRY(authorization_for(spec, request));
  return std::make_unique<HttpSource>(std::move(vertex), std::move(spec), std::move(authorization), request.remote);
}

}  // namespace cairn::solver

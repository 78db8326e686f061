// SPDX-License-Identifier: Apache-2.0
// http:// and https://: one file. With a checksum nobody is asked what it is. Without one the server is: whether what it
// said last is still so (ETag, Last-Modified); if not, the file is downloaded to learn what it is, and that download is
// the result unless it turns out to be known.
#include <utility>

#include "libbase/codec.h"
#include "libbase/hash/sha256.h"
#include "libcache/resolved_source.h"
#include "libsolver/cache_key.h"
#include "libsolver/ops/http_spec.h"
#include "libsolver/ops/ops.h"
#include "libsolver/sources/http_download.h"
#include "libsolver/sources/http_facts.h"
#include "libsolver/sources/http_names.h"
#include "libsolver/sources/resolver_cache.h"
#include "libsolver/sources/shared_download.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using cache::FetchAnswer;
using cache::FetchRequest;

// Everything that the answer may depend on; of secrets only which one is used.
KeyDigest address_of(const HttpSpec& spec) {
  base::ByteWriter name;
  name.raw("cairn.source.http.address.v1:").string(spec.url).string(spec.auth_secret);
  for (const auto& [header, value] : spec.headers) name.string(header).string(value);
  return private_key(name.take());
}

// What is remembered is for sources of one result: if the server has nothing new, that is what is looked for.
KeyDigest question_of(const HttpSpec& spec) {
  base::ByteWriter name;
  name.raw("cairn.source.http.resolved.v1:").string(spec.url).string(spec.filename).string(spec.auth_secret);
  name.i64(spec.mode).i64(spec.uid).i64(spec.gid);
  for (const auto& [header, value] : spec.headers) name.string(header).string(value);
  return private_key(name.take());
}

bool is_sha256(std::string_view checksum) { return checksum.starts_with("sha256:"); }

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
    if (!made_) TRY(make(context));
    const std::shared_ptr<SharedDownload> made = std::exchange(made_, nullptr);
    const HttpContent content = content_of(spec_, made->facts());
    OpOutputs outputs;
    // The file may have changed since it was asked for; the key is that of the bytes in the tree.
    if (content.checksum != content_.checksum || content.last_modified != content_.last_modified) {
      if (!spec_.checksum) outputs.true_keys = {root_key(http_cache_map(spec_, content).digest, 0)};
    }
    cache::RecordFacts facts;
    facts.description = "http url " + url_;
    outputs.refs.emplace_back(TRY(made->commit(publication, std::move(facts))));
    return outputs;
  }

  std::uint32_t outputs() const override { return 1; }

 private:
  // What the URL is now, with its bytes in made_ if they had to be read for that.
  Result<HttpContent> resolve(const OpContext& context) {
    const KeyDigest question = question_of(spec_);
    std::optional<HttpFacts> known;
    if (auto row = TRY(context.cache.find_resolved(question))) {
      if (auto facts = decode_http_facts(row->facts)) known = std::move(*facts);
      if (known && (remote_.ask == RemoteUse::Ask::never || row->age < remote_.believed_for)) return content_of(spec_, *known);
    }
    const HttpFacts facts = TRY(resolve_together(context, known));
    context.cache.remember_resolved(question, url_, encode(facts));  // if they are the same, their age begins anew
    return content_of(spec_, facts);
  }

  // What another source of this solve was told is not asked for again.
  Result<HttpFacts> resolve_together(const OpContext& context, const std::optional<HttpFacts>& known) {
    CombinedTurn turn = TRY(CombinedTurn::lock(context.resolved, address_of(spec_), context.stop));
    if (const auto there = turn.download()) {
      if (is_sha256(there->facts().checksum)) return there->facts();
      if (TRY(copy(context, *there))) return made_->facts();
    } else if (known && !turn.answers().empty()) {
      // Nothing was downloaded: it is what it was for the other source, so for this one if that was the same.
      HttpFacts told = TRY(decode_http_facts(turn.answers().back()));
      if (told.checksum == known->checksum) return told;
    }
    FetchAnswer answer = TRY(ask(context, known));
    if (known && is_unchanged(answer, *known)) {
      (void)turn.release(encode(*known));  // not remembered, it is asked again
      return *known;
    }
    TRY(download(context, std::move(answer)));
    turn.keep(made_);
    return made_->facts();
  }

  // The bytes that another source of this solve has downloaded, or else the server has.
  base::Status make(const OpContext& context) {
    CombinedTurn turn = TRY(CombinedTurn::lock(context.resolved, address_of(spec_), context.stop));
    if (const auto there = turn.download()) {
      if (TRY(copy(context, *there))) return {};
    }
    TRY(download(context, TRY(ask(context, {}))));
    turn.keep(made_);
    return {};
  }

  // false: the other's bytes are gone.
  Result<bool> copy(const OpContext& context, SharedDownload& other) {
    auto opened = other.open();
    if (!opened && opened.error().code == ErrorCode::not_found) return false;
    SharedDownload::Bytes bytes = TRY(std::move(opened), "fetch {}", url_);
    FetchAnswer as_answered{.status = 200, .url = {}, .headers = {}, .size = bytes.size, .body = std::move(bytes.source)};
    TRY(write(context, std::move(as_answered), other.facts()));
    return true;
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
    HttpFacts facts = http_facts_of(answer);
    return write(context, std::move(answer), std::move(facts));
  }

  base::Status write(const OpContext& context, FetchAnswer answer, HttpFacts facts) {
    const HttpContent content = content_of(spec_, facts);
    DownloadedFile file;
    file.name = content.filename;
    file.mode = spec_.mode == 0 ? 0600 : spec_.mode & 0777;
    file.uid = spec_.uid;
    file.gid = spec_.gid;
    file.mtime = content.last_modified.value_or(0);
    cache::MutableRef tree = TRY(context.cache.create(std::nullopt));
    {
      const snapshot::MountedTree mounted = TRY(tree.mount(snapshot::Access::read_write));
      const DownloadRules rules{.algorithm = spec_.checksum ? base::parse_sha2(*spec_.checksum)->algorithm : base::Sha2::sha256,
                                .bytes_max = remote_.file_bytes_max};
      facts.checksum = TRY(write_download(mounted, file, answer, rules, context.bytes), "fetch {}", url_);
    }
    if (spec_.checksum && facts.checksum != *spec_.checksum) {
      return fail(ErrorCode::corrupt, "fetch {}: its content is {}, but the source is pinned to {}", url_, facts.checksum,
                  *spec_.checksum);
    }
    made_ = std::make_shared<SharedDownload>(std::move(tree), std::move(file.name), std::move(facts));
    return {};
  }

  std::shared_ptr<const Vertex> vertex_;
  HttpSpec spec_;
  std::string authorization_;
  RemoteUse remote_;
  std::string url_;  // for messages
  HttpContent content_;
  std::string hashed_;
  std::shared_ptr<SharedDownload> made_;  // with its bytes, maybe downloaded to learn what it is
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

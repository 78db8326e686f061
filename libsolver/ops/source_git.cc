// SPDX-License-Identifier: Apache-2.0
// git://: the tree of a commit. A source that names its commit is known without asking anybody. Else the remote side says what
// its ref is now, which is remembered as what HTTP servers say is. What is fetched goes into a repository that all sources
// of one remote side share: a record of its own, forked by each fetch, so that no solve waits for another's.
#include "libbase/base64.h"
#include "libbase/codec.h"
#include "libbase/hash/sha256.h"
#include "libcache/resolved_source.h"
#include "libsolver/cache_key.h"
#include "libsolver/ops/git_spec.h"
#include "libsolver/ops/ops.h"
#include "libsolver/ops/source_attrs.h"
#include "libsolver/sources/git_checkout.h"
#include "libsolver/sources/git_program.h"
#include "libsolver/sources/git_refs.h"
#include "libsolver/sources/git_repository.h"
#include "libsolver/sources/resolver_cache.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::uint8_t facts_version = 1;

std::string encode(const GitResolved& facts) {
  return base::ByteWriter().u8(facts_version).string(facts.sha).string(facts.commit).string(facts.ref).take();
}

Result<GitResolved> decode_facts(std::string_view bytes) {
  base::ByteReader reader(bytes);
  if (TRY(reader.u8()) != facts_version) return fail(ErrorCode::corrupt, "facts of a git source: unknown version");
  GitResolved facts;
  facts.sha = TRY(reader.string());
  facts.commit = TRY(reader.string());
  facts.ref = TRY(reader.string());
  TRY(reader.expect_end());
  return facts;
}

// How the remote side is reached, and what the answer may depend on; of secrets only which may be used.
struct GitUse {
  GitRemote remote;
  std::string secrets;
  std::optional<std::string> agent = {};  // over SSH: the id of the agent; that of a solve which does not give it is not in `remote`
};

class GitSource final : public Op {
 public:
  GitSource(GitSpec spec, GitUse use, std::optional<GitResolved> pinned, RemoteUse remote)
      : spec_(std::move(spec)), use_(std::move(use)), pinned_(std::move(pinned)), ask_(remote) {}

  Cost identify_cost() const override { return pinned_ ? Cost::pure : Cost::io; }

  Result<OpIdentity> identify(std::uint32_t, const OpContext& context) override {
    resolved_ = pinned_ ? *pinned_ : TRY(resolve(context));
    OpIdentity identity;
    identity.map = git_cache_map(spec_, resolved_);
    hashed_ = identity.map.hashed;
    return identity;
  }

  base::Sha256Bytes work_identity(std::span<const OptionalRef>) const override {
    return base::sha256("git:" + hashed_ + " " + spec_.remote);
  }

  Result<OpOutputs> execute(std::span<const OptionalRef>, const OpContext& context,
                            cache::Publication& publication) override {
    const auto git = TRY(open_git());
    const cache::ImmutableRef fetched = TRY(repository(*git, context, publication));
    cache::MutableRef tree = TRY(context.cache.create(std::nullopt));
    {
      // Its own, for index and submodules.
      const cache::MutableRef scratch = TRY(context.cache.create(fetched));
      TRY(check_out({.git = *git, .spec = spec_, .resolved = resolved_, .repository = scratch}, tree, context.stop));
    }
    cache::RecordFacts facts;
    facts.type = cache::RecordType::source_git_checkout;
    facts.description = fmt::format("git snapshot for {}#{}", git->name(), spec_.ref.empty() ? resolved_.sha : spec_.ref);
    OpOutputs outputs;
    outputs.refs.emplace_back(TRY(std::move(tree).commit(publication, std::move(facts))));
    return outputs;
  }

  std::uint32_t outputs() const override { return 1; }

 private:
  KeyDigest question() const {
    base::ByteWriter name;
    name.raw("cairn.source.git.resolved.v1:").string(spec_.remote).string(spec_.ref).string(use_.secrets);
    return private_key(name.take());
  }
  KeyDigest repository_key() const { return git_repository_key(spec_.remote, resolved_.sha); }

  Result<std::unique_ptr<GitProgram>> open_git() const {
    if (use_.agent && !use_.remote.ssh) {
      auto error = fail(ErrorCode::not_found, "git source {}: the ssh agent \"{}\" is not given",
                        cache::url_without_secrets(spec_.remote), *use_.agent);
      error.value().hint = fmt::format("add --ssh {}, or --ssh {}=SOCKET", *use_.agent, *use_.agent);
      return error;
    }
    return GitProgram::open(use_.remote);
  }
  void warn_of_unknown_hosts(const OpContext& context) const {
    if (!use_.remote.ssh || !use_.remote.ssh->known_hosts.empty()) return;
    context.output(Stream::err, fmt::format("warning: git source {}: git.knownsshhosts says nothing, so whoever answers is believed\n",
                                            cache::url_without_secrets(spec_.remote)));
  }

  base::Error offline_error() const {
    auto error = fail(ErrorCode::unavailable, "git source {}: {} is not known from before, and no remote side may be asked",
                      cache::url_without_secrets(spec_.remote), spec_.ref.empty() ? "it" : spec_.ref);
    error.value().hint = "leave out --offline";
    return error.value();
  }

  Result<GitResolved> resolve(const OpContext& context) {
    const GitResolved known = TRY(what_ref_is(context));
    if (spec_.fetch_by_commit) return GitResolved{.sha = spec_.checksum, .commit = {}, .ref = known.ref};
    if (!known.sha.starts_with(spec_.checksum) && !known.commit.starts_with(spec_.checksum)) {
      return fail(ErrorCode::corrupt, "git source {}: {} is {}, but the source is pinned to {}",
                  cache::url_without_secrets(spec_.remote), known.ref, known.commit.empty() ? known.sha : known.commit,
                  spec_.checksum);
    }
    return known;
  }

  // By what another source of this solve was told, what is remembered, or the remote side.
  Result<GitResolved> what_ref_is(const OpContext& context) const {
    CombinedTurn turn = TRY(CombinedTurn::lock(context.resolved, question(), context.stop));
    if (!turn.answers().empty()) return decode_facts(turn.answers().front());
    std::optional<GitResolved> known;
    if (auto row = TRY(context.cache.find_resolved(question()))) {
      auto facts = decode_facts(row->facts);
      if (facts && (ask_.ask == RemoteUse::Ask::never || row->age < ask_.believed_for)) known = std::move(*facts);
    }
    if (!known) {
      known = TRY(ask_remote(context));
      context.cache.remember_resolved(question(), cache::url_without_secrets(spec_.remote) + "#" + spec_.ref, encode(*known));
    }
    (void)turn.release(encode(*known));  // not remembered, it is asked again
    return *known;
  }

  Result<GitResolved> ask_remote(const OpContext& context) const {
    if (ask_.ask == RemoteUse::Ask::never) return tl::unexpected(offline_error());
    if (!spec_.ref.empty() && !is_git_ref_name(spec_.ref)) {
      return fail(ErrorCode::invalid_argument, "git source {}: \"{}\" cannot be the name of a ref",
                  cache::url_without_secrets(spec_.remote), spec_.ref);
    }
    const auto git = TRY(open_git());
    warn_of_unknown_hosts(context);
    std::vector<std::string> arguments{"ls-remote", "--quiet", "--symref", "--", git_remote_name};
    for (std::string& pattern : git_ref_patterns(spec_.ref)) arguments.push_back(std::move(pattern));
    const std::string listing = TRY(git->expect(std::move(arguments), {}, GitProgram::Talks::yes, context.stop));
    return TRY(resolve_git_ref(TRY(parse_git_refs(listing), "git source {}", git->name()), spec_.ref), "git source {}", git->name());
  }

  // The shared repository with the commit in it.
  Result<cache::ImmutableRef> repository(const GitProgram& git, const OpContext& context, cache::Publication& publication) const {
    OptionalRef earlier = TRY(find_earlier(context.cache));
    std::optional<cache::MutableRef> fork = TRY(earlier ? context.cache.reopen(*earlier, context.stop) : context.cache.create(std::nullopt));
    if (earlier) {
      const GitRepository there(git, *fork, context.stop);
      if (TRY(there.has(resolved_))) return *earlier;
      if (TRY(there.commits()) >= git_commits_max) earlier.reset();
      if (!earlier) fork = TRY(context.cache.create(std::nullopt));
    }
    if (ask_.ask == RemoteUse::Ask::never) return tl::unexpected(offline_error());
    GitRepository repository(git, *fork, context.stop);
    if (!earlier) TRY(repository.create(resolved_));
    TRY(repository.fetch(resolved_));
    cache::RecordFacts facts;
    facts.type = cache::RecordType::source_git_checkout;
    facts.description = "shared git repo for " + git.name();
    cache::ImmutableRef made = TRY(std::move(*fork).commit(publication, std::move(facts)));
    publication.add_result(repository_key(), made);
    return made;
  }

  Result<OptionalRef> find_earlier(cache::Cache& cache) const {
    std::vector<cache::KeyResult> results;
    TRY(cache.keys().read([&](cache::KeyStore::Reader& reader) -> base::Status {
      results = TRY(reader.results(repository_key()));
      return {};
    }));
    for (const cache::KeyResult& result : results) {
      auto ref = TRY(cache.find(result.record));
      if (ref) return OptionalRef(std::move(*ref));
    }
    return OptionalRef();
  }

  GitSpec spec_;
  GitUse use_;
  std::optional<GitResolved> pinned_;
  RemoteUse ask_;
  GitResolved resolved_;
  std::string hashed_;
};

// Takes user and password out of the URL: git would hand them to its helpers as arguments, which everybody can read.
std::string take_credentials(std::string& url) {
  if (!url.starts_with("http://") && !url.starts_with("https://")) return {};
  const std::size_t begin = url.find("://") + 3;
  const std::size_t at = url.substr(0, url.find_first_of("/?#", begin)).rfind('@');
  if (at == std::string::npos || at < begin) return {};
  std::string user = url.substr(begin, at - begin);
  url.erase(begin, at + 1 - begin);
  if (user.find(':') == std::string::npos) user += ':';
  const std::size_t colon = user.find(':');
  return "Basic " + base::base64(unescape_url(user.substr(0, colon)) + ":" + unescape_url(user.substr(colon + 1)));
}

// The secrets that a source may use, in BuildKit's order: for its host before for all, headers before tokens.
std::string authorization_for(const wire::SourceOp& source, const std::string& url, const SolveRequest& request) {
  const std::size_t begin = url.find("://") + 3;
  const std::string host = url.substr(begin, url.find_first_of("/?#", begin) - begin);
  for (const std::string& suffix : {"." + host, std::string()}) {
    for (const char* attr : {"git.authheadersecret", "git.authtokensecret"}) {
      const std::string name = attr_text(source, attr);
      const auto secret = name.empty() ? request.secrets.end() : request.secrets.find(name + suffix);
      if (secret == request.secrets.end()) continue;
      if (std::string_view(attr) == "git.authheadersecret") return secret->second;
      return "basic " + base::base64("x-access-token:" + secret->second);
    }
  }
  return {};
}

// SSH for a remote side that is reached by it, and for the submodules of one whose source names an agent.
void take_ssh(const wire::SourceOp& source, const GitSpec& spec, const SolveRequest& request, GitUse& use) {
  const std::string id = attr_text(source, "git.mountsshsock");
  if (id.empty() && !is_ssh_address(spec.remote)) return;
  use.agent = id.empty() ? "default" : id;
  const auto agent = request.ssh_agents.find(*use.agent);
  if (agent != request.ssh_agents.end()) use.remote.ssh = {.agent = agent->second, .known_hosts = attr_text(source, "git.knownsshhosts")};
}

base::Status check_supported(const wire::SourceOp& source, const GitSpec& spec) {
  for (const auto& [name, value] : source.attrs) {
    if (name == "git.bundle" || (name == "git.checkoutbundle" && value == "true") || name.starts_with("git.sig.")) {
      return fail(ErrorCode::unavailable, "not supported: {} of a git source", name);
    }
  }
  if (!spec.mtime.empty() && spec.mtime != "commit") {
    return fail(ErrorCode::unavailable, "not supported: git.mtime \"{}\" of a git source", spec.mtime);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Op>> make_git_source(const wire::SourceOp& source, const SolveRequest& request) {
  const std::string name = cache::url_without_secrets(source.identifier);
  GitSpec spec = TRY(parse_git_source(source), "{}", name);
  TRY(check_supported(source, spec), "{}", name);
  std::optional<GitResolved> pinned = TRY(pinned_commit(spec), "{}", name);
  GitUse use;
  use.remote.url = spec.remote;
  use.remote.authorization = take_credentials(use.remote.url);
  if (std::string secret = authorization_for(source, use.remote.url, request); !secret.empty()) use.remote.authorization = std::move(secret);
  take_ssh(source, spec, request, use);
  use.remote.stalled_after = request.remote.stalled_after;
  if (request.remote.ask == RemoteUse::Ask::never) use.remote.network = GitRemote::Network::closed;
  use.secrets = attr_text(source, "git.authheadersecret") + "\n" + attr_text(source, "git.authtokensecret");
  if (use.agent) use.secrets += "\n" + *use.agent;
  return std::make_unique<GitSource>(std::move(spec), std::move(use), std::move(pinned), request.remote);
}

}  // namespace cairn::solver

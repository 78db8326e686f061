// SPDX-License-Identifier: Apache-2.0
#include "libserve/access.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "libbase/base64.h"
#include "libbase/hash/secrets.h"
#include "libbase/hash/sha256.h"
#include "libbase/sync.h"
#include "libserve/access/guesses.h"
#include "libserve/http/words.h"

namespace cairn::serve {

using base::Sha256Bytes;

namespace {

constexpr std::size_t proven_max = 4096;

struct Uniform {  // eight bytes of a hash are a good hash
  std::size_t operator()(const Sha256Bytes& bytes) const {
    std::size_t value = 0;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
};
// Where in the table one looks tells bits of the SHA-256 of what was shown, which say nothing of a token of 256 random
// bits; whether it is that one is not told by the time.
struct Same {
  bool operator()(const Sha256Bytes& a, const Sha256Bytes& b) const { return base::same_secret(a, b); }
};
using ByHash = std::unordered_map<Sha256Bytes, const Principal*, Uniform, Same>;

struct UserAndPassword {
  std::string user, password;
};

// What stands behind the scheme; "" if it is another.
std::string_view behind_scheme(std::string_view authorization, std::string_view scheme) {
  const std::size_t blank = authorization.find(' ');
  if (blank == std::string_view::npos || !same_word(authorization.substr(0, blank), scheme)) return {};
  authorization.remove_prefix(blank);
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return authorization;
}

std::optional<UserAndPassword> basic_of(std::string_view authorization) {
  const auto text = base::from_base64(behind_scheme(authorization, "Basic"));
  const std::size_t colon = text ? text->find(':') : std::string::npos;
  if (colon == std::string::npos) return std::nullopt;
  return UserAndPassword{text->substr(0, colon), text->substr(colon + 1)};
}

bool covers(const Grant& grant, Need need, std::string_view instance) {
  if (grant.rights < (need == Need::write ? Rights::write : Rights::read)) return false;
  return std::any_of(grant.instances.begin(), grant.instances.end(), [&](const InstancePattern& pattern) {
    return need == Need::everything ? pattern.is_all() : pattern.matches(instance);
  });
}

// Of somebody who may read nothing, nothing has to be hidden: he is refused.
bool sees_a_part(const Principal& who) {
  const auto reads = [](const Grant& grant) { return grant.rights != Rights::none && !grant.instances.empty(); };
  const auto all = [](const Grant& grant) { return covers(grant, Need::everything, {}); };
  return std::any_of(who.grants.begin(), who.grants.end(), reads) && std::none_of(who.grants.begin(), who.grants.end(), all);
}

bool someone_sees_a_part(const AccessRules& rules) {
  const auto is_such = [](const auto& rule) { return sees_a_part(rule.who); };
  return sees_a_part(rules.anonymous) || std::any_of(rules.tokens.begin(), rules.tokens.end(), is_such) ||
         std::any_of(rules.peers.begin(), rules.peers.end(), is_such) ||
         std::any_of(rules.certificates.begin(), rules.certificates.end(), is_such);
}

AccessRules for_everybody() {
  AccessRules rules;
  rules.anonymous.grants.push_back({{*InstancePattern::parse("*")}, Rights::write});
  return rules;
}

}  // namespace

base::Result<InstancePattern> InstancePattern::parse(std::string_view text) {
  InstancePattern pattern;
  const auto bad = [&](std::string_view why) {
    return base::fail(base::ErrorCode::invalid_argument, "\"{}\" is no pattern of instances: {}", text, why);
  };
  pattern.below_ = text == "*" || text.ends_with("/*");
  pattern.name_ = std::string(pattern.below_ ? text.substr(0, text.size() - 1) : text);
  std::string_view rest = pattern.name_;
  if (rest.find('*') != std::string_view::npos) return bad("a star is the whole last segment");
  if (pattern.below_ && !rest.empty()) rest.remove_suffix(1);
  if (rest.empty() && (pattern.below_ ? text == "*" : text.empty())) return pattern;
  while (true) {
    const std::string_view segment = rest.substr(0, rest.find('/'));
    if (segment.empty() || segment == "." || segment == "..") return bad("no instance has such a segment");
    if (segment.size() == rest.size()) return pattern;
    rest.remove_prefix(segment.size() + 1);
  }
}

bool InstancePattern::matches(std::string_view instance) const {
  if (!below_) return instance == name_;
  return instance.starts_with(name_) && (instance.size() > name_.size() || name_.empty());
}

struct Access::State {
  explicit State(AccessRules rules_in) : rules(std::move(rules_in)) {
    for (const AccessRules::Token& token : rules.tokens) {
      if (!token.hash.is_of_password()) bearers.emplace(token.hash.bytes(), &token.who);
      if (token.hash.is_of_password()) passwords.emplace(token.who.name, &token);
    }
    for (const AccessRules::Certificate& certificate : rules.certificates)
      for (const std::string& name : certificate.names) certificates.emplace(name, &certificate.who);
    for (const AccessRules::Peer& peer : rules.peers)
      for (const uid_t uid : peer.uids) uids.emplace(uid, &peer.who);
  }

  const Principal* bearer(std::string_view token) const {
    const auto found = bearers.find(base::sha256(token));
    return found == bearers.end() ? nullptr : found->second;
  }
  // One whose password is right. A name that nobody has takes as long.
  const AccessRules::Token* password_of(const UserAndPassword& shown) {
    if (passwords.empty()) return nullptr;
    const auto found = passwords.find(shown.user);
    const AccessRules::Token& token = *(found == passwords.end() ? passwords.begin() : found)->second;
    const std::scoped_lock one(one_scrypt);
    const bool right = token.hash.is_of(shown.password).value_or(false);
    return right && found != passwords.end() ? &token : nullptr;
  }
  Sha256Bytes mark_of(std::string_view authorization) const { return base::hmac_sha256(secret, authorization); }

  const AccessRules rules;
  ByHash bearers;
  std::unordered_map<std::string_view, const AccessRules::Token*> passwords;
  // Whoever shows no secret: by certificate, then by user, else nobody.
  const Principal* silent(const Caller& caller) const {
    for (const std::string& name : caller.certificate)
      if (const auto found = certificates.find(name); found != certificates.end()) return found->second;
    const auto found = caller.uid ? uids.find(*caller.uid) : uids.end();
    return found == uids.end() ? &rules.anonymous : found->second;
  }

  std::unordered_map<uid_t, const Principal*> uids;
  std::unordered_map<std::string_view, const Principal*> certificates;
  // Passwords that were right, so that not every request costs a scrypt: by a hash that nobody can make outside.
  const std::string secret = base::random_bytes(32);
  base::Guarded<ByHash> proven;
  std::mutex one_scrypt;  // at a time: each takes 16 MiB
  Guesses guesses;
};

Access::Access(AccessRules rules, bool asks)
    : state_(std::make_unique<State>(std::move(rules))), asks_(asks), hides_(someone_sees_a_part(state_->rules)) {}
Access::Access() : Access(for_everybody(), false) {}
Access::Access(AccessRules rules) : Access(std::move(rules), true) {}
Access::~Access() = default;

Identity Access::anonymous() const { return {Identity::State::known, &state_->rules.anonymous}; }

Identity Access::recall(const Caller& caller) const {
  const auto known = [](const Principal* who) { return Identity{Identity::State::known, who}; };
  if (caller.authorization.empty()) return known(state_->silent(caller));
  const Identity unproven{Identity::State::unproven, nullptr};
  if (const std::string_view token = behind_scheme(caller.authorization, "Bearer"); !token.empty()) {
    const Principal* const who = state_->bearer(token);
    return who != nullptr ? known(who) : unproven;
  }
  const auto basic = basic_of(caller.authorization);
  if (!basic) return unproven;
  // Clients that know only Basic show a token as the password, with its name as the user's.
  if (const Principal* const who = state_->bearer(basic->password); who != nullptr && who->name == basic->user)
    return known(who);
  const Sha256Bytes mark = state_->mark_of(caller.authorization);
  auto proven = state_->proven.lock();
  const auto found = proven->find(mark);
  return found == proven->end() ? unproven : known(found->second);
}

Identity Access::verify(const Caller& caller, std::string_view address) const {
  Identity identity = recall(caller);
  if (identity.state != Identity::State::unproven) return identity;
  if (!state_->guesses.take(address)) return {Identity::State::limited, nullptr};
  const auto basic = basic_of(caller.authorization);
  const AccessRules::Token* const token = basic ? state_->password_of(*basic) : nullptr;
  if (token == nullptr) return {Identity::State::wrong, nullptr};
  state_->guesses.give_back(address);
  auto proven = state_->proven.lock();
  if (proven->size() >= proven_max) proven->clear();  // each is proven again when it is shown again
  proven->emplace(state_->mark_of(caller.authorization), &token->who);
  return {Identity::State::known, &token->who};
}

Verdict Access::judge(const Identity& identity, Need need, std::string_view instance) const {
  if (need == Need::nothing) return Verdict::granted;
  if (identity.state == Identity::State::limited) return Verdict::too_many_guesses;
  if (identity.state != Identity::State::known) return Verdict::who_are_you;
  if (need == Need::refused) return Verdict::not_allowed;
  const auto& grants = identity.who->grants;
  if (std::any_of(grants.begin(), grants.end(), [&](const Grant& grant) { return covers(grant, need, instance); }))
    return Verdict::granted;
  return identity.who == &state_->rules.anonymous ? Verdict::who_are_you : Verdict::not_allowed;
}

Viewer viewer_of(const Access& access, const Identity& identity, std::string_view instance) {
  return {.trust = identity.who != nullptr ? identity.who->trust : cache::Trust::untrusted,
          .space = access.hides() ? std::optional(cache::namespace_id(instance)) : std::nullopt};
}

}  // namespace cairn::serve

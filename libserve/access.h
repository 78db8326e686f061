// SPDX-License-Identifier: Apache-2.0
// Who may read and write what of a store that is served (docs/guides/access.md). Rules are data; an Access answers for
// all doors. The one fact to know: credentials that are wrong are refused, even where nobody would have to show any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/digest.h"
#include "libbase/result.h"
#include "libcache/entry_store.h"

namespace cairn::serve {

enum class Rights : std::uint8_t { none, read, write };  // whoever may write may read

// Which instances: "*" all of them, "team/*" those below team (and not team), "" the one without a name, else the one
// of that name.
class InstancePattern {
 public:
  // Errors: invalid_argument (a segment that is empty, `.`, `..`; a star that is not the whole last segment).
  static base::Result<InstancePattern> parse(std::string_view text);
  bool matches(std::string_view instance) const;
  bool is_all() const { return below_ && name_.empty(); }

 private:
  std::string name_;  // of one that is below: with its slash
  bool below_ = false;
};

struct Grant {
  std::vector<InstancePattern> instances;
  Rights rights = Rights::none;
};

struct Principal {
  std::string name;
  cache::Trust trust = cache::Trust::trusted;  // of what he writes, and in what he is shown
  std::vector<Grant> grants{};
};

// A secret as it is kept: a token of 256 random bits by its SHA-256 (nobody guesses one, so a slow hash would only
// cost), a password by scrypt with a salt.
class SecretHash {
 public:
  static SecretHash of_token(std::string_view token);
  static base::Result<SecretHash> of_password(std::string_view password);  // a new salt; some 40 ms. Errors: io
  // "sha256:HEX" or "scrypt:COST:SALT:HEX". Errors: invalid_argument.
  static base::Result<SecretHash> parse(std::string_view text);
  std::string str() const;
  bool is_of_password() const { return cost_ != 0; }
  const base::Sha256Bytes& bytes() const { return bytes_; }
  base::Result<bool> is_of(std::string_view secret) const;  // in constant time. Errors: io

 private:
  unsigned cost_ = 0;  // of scrypt
  std::string salt_;
  base::Sha256Bytes bytes_{};
};
std::string new_token();  // 256 random bits, in letters and digits

struct AccessRules {
  Principal anonymous{.name = "anonymous"};  // whoever shows no credentials: nothing, unless the rules say so
  struct Token {
    Principal who;  // a password is shown with this name as the user's; no two have one name
    SecretHash hash;
  };
  std::vector<Token> tokens{};
  struct Peer {
    Principal who;
    std::vector<uid_t> uids;  // of processes at a unix socket
  };
  std::vector<Peer> peers{};
  struct Certificate {
    Principal who;
    std::vector<std::string> names;  // one of them is enough: "CN:ci", "DNS:ci.example.com", "URI:…", "email:…"
  };
  std::vector<Certificate> certificates{};
};

// What a request needs.
enum class Need : std::uint8_t {
  nothing,  // it says nothing of what is stored
  read,     // of its instance
  write,
  everything,  // read, of all instances
  refused,     // nobody has said what it needs, so nobody may
};

// How somebody shows who he is.
struct Caller {
  std::string_view authorization{};  // as HTTP says it: "Bearer TOKEN", "Basic BASE64"; "": nothing
  std::optional<uid_t> uid{};        // of the peer at a unix socket
  std::span<const std::string> certificate{};  // the names in the one that it has shown with TLS
};
std::string basic_authorization(std::string_view user, std::string_view password);

struct Identity {
  enum class State : std::uint8_t {
    known,     // who
    unproven,  // verify() can say
    wrong,
    limited,  // wrong, or not looked at: too many wrong ones came from that address
  };
  State state = State::wrong;
  const Principal* who = nullptr;
};

enum class Verdict : std::uint8_t { granted, who_are_you, not_allowed, too_many_guesses };

// Thread-safe.
class Access {
 public:
  Access();  // everybody may do everything
  explicit Access(AccessRules rules);
  ~Access();
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;

  // O(1), waits for nothing: nobody, who has a token that is right, and who has shown this password before.
  bool hides() const { return hides_; }  // somebody may read some instances and not others: which blobs those have is hidden
  bool asks() const { return asks_; }  // else everybody may do everything, and nobody's credentials are looked at
  Identity anonymous() const;
  Identity recall(const Caller& caller) const;
  // The same for all others; may take 40 ms. A wrong secret is counted against the address, and one that has shown too
  // many is not listened to for a while; what recall() knows is never locked out, nor is any other address.
  Identity verify(const Caller& caller, std::string_view address) const;
  Verdict judge(const Identity& identity, Need need, std::string_view instance) const;

 private:
  struct State;
  Access(AccessRules rules, bool asks);
  const std::unique_ptr<State> state_;
  const bool asks_, hides_;
};

// As whom somebody looks into an instance.
struct Viewer {
  cache::Trust trust = cache::Trust::trusted;
  std::optional<cache::NamespaceId> space{};
};
// Of a request that was granted.
Viewer viewer_of(const Access& access, const Identity& identity, std::string_view instance);

}  // namespace cairn::serve

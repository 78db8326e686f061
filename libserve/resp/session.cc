// SPDX-License-Identifier: Apache-2.0
#include "libserve/resp/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "libcache/cache.h"
#include "libserve/doors/answers.h"
#include "libserve/http/words.h"
#include "libserve/resp/keys.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;
using base::Status;
using cache::EntryStore;

namespace {

constexpr std::size_t text_bytes_max = 64 * 1024;  // a value of at most this is read at once
constexpr std::uint64_t expiry_ms_max = std::uint64_t{100} * 365 * 24 * 3600 * 1000;
const std::string expires_attribute = "X-Cairn-Expires";  // nanoseconds since 1970
constexpr std::string_view nil = "$-1\r\n";

std::string bulk(std::string_view text) { return fmt::format("${}\r\n{}\r\n", text.size(), text); }
RespAnswer number(std::uint64_t value) { return {.text = fmt::format(":{}\r\n", value)}; }
RespAnswer ok() { return {.text = "+OK\r\n"}; }

// In the words of Redis.
RespAnswer refused(Verdict verdict) {
  switch (verdict) {
    case Verdict::granted:
    case Verdict::not_allowed: break;
    case Verdict::who_are_you: return resp_error("NOAUTH Authentication required.");
    case Verdict::too_many_guesses: return resp_error("ERR too many wrong passwords came from your address; wait");
  }
  return resp_error("NOPERM that is not for this user");
}

}  // namespace

std::string_view to_string(RespOutcome outcome) {
  constexpr std::array<std::string_view, 4> names = {"ok", "hit", "miss", "error"};
  return names[static_cast<std::size_t>(outcome)];
}

// One line, whatever a client's words have put into it.
RespAnswer resp_error(std::string_view why) {
  std::string text(why);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return {.text = "-" + text + "\r\n", .outcome = RespOutcome::error};
}

RespAnswer resp_error(const base::Error& error) {
  return resp_error((error.code == ErrorCode::no_space ? "OOM " : "ERR ") + error.message);
}

struct RespSession::Command {
  std::string_view name;
  std::size_t words_min, words_max;
  Need need;  // of the instance that is selected
  RespAnswer (RespSession::*run)(const Words& words);
  bool waits = false;
};

namespace {
constexpr std::size_t any = ~std::size_t{0};
}

constexpr RespSession::Command RespSession::table[] = {
    {"GET", 2, 2, Need::read, &RespSession::get},
    {"SET", 3, 8, Need::write, &RespSession::set, true},
    {"SETNX", 3, 3, Need::write, &RespSession::set, true},
    {"SETEX", 4, 4, Need::write, &RespSession::set, true},
    {"PSETEX", 4, 4, Need::write, &RespSession::set, true},
    {"EXISTS", 2, any, Need::read, &RespSession::exists},
    {"DEL", 2, any, Need::write, &RespSession::erase, true},
    {"UNLINK", 2, any, Need::write, &RespSession::erase, true},
    {"SELECT", 2, 2, Need::nothing, &RespSession::select},
    {"PING", 1, 2, Need::nothing, &RespSession::ping},
    {"ECHO", 2, 2, Need::nothing, &RespSession::ping},
    {"HELLO", 1, any, Need::nothing, &RespSession::hello, true},
    {"AUTH", 2, 3, Need::nothing, &RespSession::authenticate, true},
    {"CLIENT", 2, any, Need::nothing, &RespSession::client},
    {"INFO", 1, any, Need::nothing, &RespSession::info},
    {"QUIT", 1, any, Need::nothing, &RespSession::quit},
};

const RespSession::Command* RespSession::find_command(std::string_view name) {
  const auto* found = std::find_if(std::begin(table), std::end(table),
                                   [&](const Command& command) { return same_word(command.name, name); });
  return found == std::end(table) ? nullptr : found;
}

std::vector<std::string_view> RespSession::commands() {
  std::vector<std::string_view> names;
  for (const Command& command : table) names.push_back(command.name);
  return names;
}

Verdict RespSession::judge(Need need) const { return access_.judge(who_, need, instance_of_database(database_)); }

Viewer RespSession::viewer() const { return viewer_of(access_, who_, instance_of_database(database_)); }

EntryStore RespSession::entries() const { return EntryStore(intake_.cache, viewer().space); }

Result<cache::EntryName> RespSession::name_of(const std::string& key) const {
  cache::EntryName name = TRY(entry_of_key(database_, key));
  name.trust = viewer().trust;
  return name;
}

bool RespSession::waits_for_disks(const Words& words) {
  const Command* command = find_command(words[0]);
  return command && command->waits;
}

RespAnswer RespSession::run(const Words& words) {
  const Command* command = find_command(words[0]);
  RespAnswer answer;
  if (!command)
    answer = resp_error(fmt::format("ERR unknown command '{}'", std::string_view(words[0]).substr(0, 64)));
  else if (words.size() < command->words_min || words.size() > command->words_max)
    answer = resp_error(fmt::format("ERR wrong number of arguments for '{}' command", command->name));
  else if (const Verdict verdict = judge(command->need); verdict != Verdict::granted)
    answer = refused(verdict);
  else
    answer = (this->*command->run)(words);
  receiver_.reset();
  return answer;
}

void RespSession::begin_value(std::uint64_t size) {
  // Which command it is of says the answer; nothing is taken in of whoever may not write.
  received_ = judge(Need::write) == Verdict::granted
                  ? expect_room(intake_, size)
                  : base::fail(ErrorCode::invalid_argument, "a value is not for this user");
  if (!received_) return;
  auto receiver = make_receiver(intake_, viewer().space, base::Compression::none, size, std::nullopt);
  if (receiver)
    receiver_ = std::move(*receiver);
  else
    received_ = tl::unexpected(receiver.error());
}

void RespSession::write_value(std::string_view piece) {
  if (!receiver_) return;
  received_ = receiver_->write(piece);
  if (!received_) receiver_.reset();
}

EntryStore::Accepts RespSession::not_expired() const {
  return [now = base::to_unix_ns(clock_.now())](const cache::Entry& entry) {
    const auto expires = parse_number(find_header(read_attributes(entry.attributes), expires_attribute));
    return !expires || *expires > static_cast<std::uint64_t>(now);
  };
}

// What is not here is looked for in the tiers, once.
RespAnswer RespSession::get(const Words& words) {
  const auto name = name_of(words[1]);
  if (!name) return resp_error(name.error());
  RespAnswer answer = get_here(*name, door_of_key(words[1]));
  if (answer.outcome != RespOutcome::miss || intake_.tiers == nullptr) return answer;
  const auto found = std::make_shared<bool>(false);
  answer.wait = [this, name = *name, found](std::function<void()> done) {
    fetch_entry(intake_, name, [found, done = std::move(done)](cache::TierAnswer said) {
      *found = said == cache::TierAnswer::found;
      done();
    });
  };
  answer.later = [this, name = *name, door = answer.door, found] {
    return *found ? get_here(name, door)
                  : RespAnswer{.text = std::string(nil), .outcome = RespOutcome::miss, .door = door};
  };
  return answer;
}

RespAnswer RespSession::get_here(const cache::EntryName& name, std::string_view door) {
  RespAnswer missed{.text = std::string(nil), .outcome = RespOutcome::miss, .door = door};
  auto entry = entries().find(name, not_expired());
  if (!entry) return resp_error(entry.error());
  if (!*entry) return missed;
  RespAnswer answer{.outcome = RespOutcome::hit, .door = missed.door};
  const auto failed = [&](const base::Error& error) {
    // What is damaged is a miss: the store knows it by now, and the client makes it anew.
    return error.code == ErrorCode::not_found || error.code == ErrorCode::corrupt ? std::move(missed)
                                                                                  : resp_error(error);
  };
  cache::BlobStore& blobs = intake_.cache.blobs();  // what it may be shown has been found
  if ((*entry)->value_bytes <= text_bytes_max) {
    const auto bytes = blobs.read((*entry)->value, text_bytes_max);
    if (!bytes) return failed(bytes.error());
    answer.text = bulk(*bytes);
    return answer;
  }
  auto source = blobs.open_range((*entry)->value, {});
  if (!source) return failed(source.error());
  answer.source = std::move(*source);
  answer.size = (*entry)->value_bytes;
  answer.text = fmt::format("${}\r\n", answer.size);
  answer.hold = std::move((*entry)->hold);
  return answer;
}

struct RespSession::Wanted {
  bool only_new = false, only_replaced = false;
  bool says_number = false;            // and not OK or nothing
  std::uint64_t expires_after_ms = 0;  // 0: never
};

Result<RespSession::Wanted> RespSession::wanted_of(const Words& words) {
  Wanted wanted;
  const auto expires = [&](std::string_view text, std::uint64_t unit_ms) -> Status {
    const auto count = parse_number(text);
    if (wanted.expires_after_ms != 0) return base::fail(ErrorCode::invalid_argument, "syntax error");
    if (!count || *count == 0 || *count > expiry_ms_max / unit_ms)
      return base::fail(ErrorCode::invalid_argument, "invalid expire time");
    wanted.expires_after_ms = *count * unit_ms;
    return {};
  };
  wanted.only_new = wanted.says_number = same_word(words[0], "SETNX");
  if (same_word(words[0], "SETEX")) TRY(expires(words[2], 1000));
  if (same_word(words[0], "PSETEX")) TRY(expires(words[2], 1));
  if (!same_word(words[0], "SET")) return wanted;
  for (std::size_t i = 3; i < words.size(); ++i) {
    const bool has_number = i + 1 < words.size();
    if (same_word(words[i], "NX"))
      wanted.only_new = true;
    else if (same_word(words[i], "XX"))
      wanted.only_replaced = true;
    else if (same_word(words[i], "EX") && has_number)
      TRY(expires(words[++i], 1000));
    else if (same_word(words[i], "PX") && has_number)
      TRY(expires(words[++i], 1));
    else
      return base::fail(ErrorCode::invalid_argument, "syntax error");
  }
  if (wanted.only_new && wanted.only_replaced) return base::fail(ErrorCode::invalid_argument, "syntax error");
  return wanted;
}

RespAnswer RespSession::set(const Words& words) {
  auto answer = keep(words);
  if (!answer) answer = resp_error(answer.error());
  answer->door = door_of_key(words[1]);
  return std::move(*answer);
}

Result<RespAnswer> RespSession::keep(const Words& words) {
  const Wanted wanted = TRY(wanted_of(words));
  const auto refused = [&](base::lmdb::SequenceNumber durable = 0) {
    return RespAnswer{.text = wanted.says_number ? ":0\r\n" : std::string(nil), .durable = durable};
  };
  cache::NewEntry entry{.name = TRY(name_of(words[1])), .value = {}};
  TRY(received_);
  if (wanted.only_replaced && !TRY(entries().contains(entry.name, not_expired()))) return refused();
  if (wanted.only_new && TRY(entries().contains(entry.name))) {
    if (TRY(entries().contains(entry.name, not_expired()))) return refused();
    TRY(entries().erase(entry.name));  // it is over, and would be kept
  }
  if (wanted.expires_after_ms != 0) {
    const auto expires = clock_.now() + std::chrono::milliseconds(wanted.expires_after_ms);
    entry.attributes = fmt::format("{}: {}\n", expires_attribute, base::to_unix_ns(expires));
  }
  const auto put = TRY(receiver_->finish());
  entry.value = put.info.digest;
  const auto kept =
      TRY(keep_entry(intake_, viewer(), std::move(entry), wanted.only_new ? EntryStore::Existing::keep : EntryStore::Existing::replace));
  const auto durable = std::max(kept.sequence, put.sequence);
  if (wanted.only_new && kept.outcome != EntryStore::Outcome::made) return refused(durable);
  RespAnswer answer = wanted.says_number ? number(1) : ok();
  answer.durable = durable;
  return answer;
}

// How many of these keys `visit` says yes to.
template <class Visit>  // base::Result<bool>(const cache::EntryName&)
RespAnswer RespSession::count_keys(const Words& words, Visit visit) {
  std::uint64_t count = 0;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const auto name = name_of(words[i]);
    if (!name) return resp_error(name.error());
    const base::Result<bool> counts = visit(*name);
    if (!counts) return resp_error(counts.error());
    count += *counts ? 1 : 0;
  }
  RespAnswer answer = number(count);
  answer.door = door_of_key(words[1]);
  return answer;
}

RespAnswer RespSession::exists(const Words& words) {
  return count_keys(words, [&](const cache::EntryName& name) { return entries().contains(name, not_expired()); });
}

RespAnswer RespSession::erase(const Words& words) {
  return count_keys(words, [&](const cache::EntryName& name) -> base::Result<bool> {
    const bool there = TRY(entries().contains(name, not_expired()));
    return TRY(entries().erase(name)) && there;
  });
}

RespAnswer RespSession::select(const Words& words) {
  const auto index = parse_number(words[1]);
  if (!index || *index >= databases) return resp_error("ERR DB index is out of range");
  database_ = static_cast<unsigned>(*index);
  return ok();
}

// Version 3 is refused, after which clients speak version 2.
RespAnswer RespSession::hello(const Words& words) {
  if (words.size() > 1 && words[1] != "2") return resp_error("NOPROTO unsupported protocol version");
  for (std::size_t at = 2; at < words.size(); ++at) {
    if (!same_word(words[at], "AUTH")) continue;
    if (at + 2 >= words.size()) return resp_error("ERR syntax error");
    RespAnswer answer = authenticate_as(basic_authorization(words[at + 1], words[at + 2]));
    if (answer.outcome == RespOutcome::error) return answer;
    break;
  }
  return {.text =
              "*6\r\n" + bulk("server") + bulk("cairn") + bulk("proto") + ":2\r\n" + bulk("mode") + bulk("standalone")};
}

RespAnswer RespSession::client(const Words& words) {
  if (same_word(words[1], "SETINFO") || same_word(words[1], "SETNAME")) return ok();
  return resp_error("ERR of CLIENT only SETINFO and SETNAME are known");
}

RespAnswer RespSession::info(const Words&) {
  return {.text = bulk(fmt::format(
              "# Server\r\nredis_mode:standalone\r\nserver_name:cairn\r\n# Keyspace\r\ndatabases:{}\r\n", databases))};
}

RespAnswer RespSession::ping(const Words& words) { return {.text = words.size() > 1 ? bulk(words[1]) : "+PONG\r\n"}; }

// A token alone, or a name and a password. Where nobody is asked who he is, any will do.
RespAnswer RespSession::authenticate(const Words& words) {
  return authenticate_as(words.size() == 3 ? basic_authorization(words[1], words[2]) : "Bearer " + words[1]);
}

RespAnswer RespSession::authenticate_as(const std::string& authorization) {
  if (!access_.asks()) return ok();
  const Identity shown = access_.verify({.authorization = authorization}, peer_.address);
  if (shown.state == Identity::State::limited) return refused(Verdict::too_many_guesses);
  if (shown.state != Identity::State::known)
    return resp_error("WRONGPASS invalid username-password pair or user is disabled.");
  who_ = shown;
  return ok();
}

RespAnswer RespSession::quit(const Words&) { return {.text = "+OK\r\n", .last = true}; }

}  // namespace cairn::serve

// SPDX-License-Identifier: Apache-2.0
// What the commands of one connection do, in whatever pieces they come and their answers go.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/clock.h"
#include "libserve/doors/receiver.h"
#include "libserve/doors/values.h"
#include "libserve/sockets/peer.h"

namespace cairn::serve {

enum class RespOutcome : std::uint8_t { ok, hit, miss, error };
std::string_view to_string(RespOutcome outcome);

struct RespAnswer {
  std::function<void(std::function<void()> done)> wait{};  // first for this, and then `later` gives the answer
  std::function<RespAnswer()> later{};
  std::string text{};                          // all of it, or what goes before the source
  std::unique_ptr<base::ByteSource> source{};  // of a large value; an end of line goes behind it
  std::uint64_t size = 0;                      // of the source
  std::optional<cache::ImmutableRef> hold{};   // on what the source reads
  base::lmdb::SequenceNumber durable = 0;      // it is true when this is durable
  RespOutcome outcome = RespOutcome::ok;
  std::string_view door = "none";  // for the metrics; a literal
  bool last = false;               // the connection ends with it
};
RespAnswer resp_error(const base::Error& error);
RespAnswer resp_error(std::string_view why);  // with the word that Redis begins with

// Not thread-safe.
class RespSession {
 public:
  // peer: of the connection, which outlives it.
  RespSession(Intake& intake, const Access& access, const Peer& peer, const base::Clock& clock)
      : intake_(intake), access_(access), peer_(peer), clock_(clock) {}
  // Before anything else, and when the peer is known: who it is without a password.
  void begin() { who_ = access_.recall({.uid = peer_.uid, .certificate = peer_.certificate}); }

  // The value of the command whose other words come before and behind it. What is refused is still to be written.
  void begin_value(std::uint64_t size);
  void write_value(std::string_view piece);
  RespAnswer run(const std::vector<std::string>& words);
  static std::vector<std::string_view> commands();  // all that are known
  static bool waits_for_disks(const std::vector<std::string>& words);

 private:
  using Words = std::vector<std::string>;
  struct Command;
  static const Command* find_command(std::string_view name);
  static const Command table[];
  struct Wanted;  // of a command that stores a value
  static base::Result<Wanted> wanted_of(const Words& words);

  Verdict judge(Need need) const;
  Viewer viewer() const;
  cache::EntryStore entries() const;
  base::Result<cache::EntryName> name_of(const std::string& key) const;
  RespAnswer get(const Words& words);
  RespAnswer get_here(const cache::EntryName& name, std::string_view door);
  RespAnswer set(const Words& words);
  template <class Visit>
  RespAnswer count_keys(const Words& words, Visit visit);
  RespAnswer exists(const Words& words);
  RespAnswer erase(const Words& words);
  RespAnswer select(const Words& words);
  RespAnswer hello(const Words& words);
  RespAnswer client(const Words& words);
  RespAnswer info(const Words& words);
  RespAnswer ping(const Words& words);
  RespAnswer authenticate(const Words& words);
  RespAnswer authenticate_as(const std::string& authorization);
  RespAnswer quit(const Words& words);
  base::Result<RespAnswer> keep(const Words& words);
  cache::EntryStore::Accepts not_expired() const;

  Intake& intake_;
  const Access& access_;
  const Peer& peer_;
  const base::Clock& clock_;
  Identity who_;
  unsigned database_ = 0;
  std::unique_ptr<Receiver> receiver_;
  base::Status received_;  // why there is no receiver any more
};

}  // namespace cairn::serve

// SPDX-License-Identifier: Apache-2.0
// The LMDB door: one environment per root, typed tables, transactions as closures. A transaction cannot be kept, and a
// byte view dies with its closure. Readers never wait for the writer; there is one writer at a time.
//
// The map is a reservation of address space (max(1 TiB, 4 x file system) by default), not disk. Should it be smaller
// (a limit on address space, or a test) and fill up, update() waits for this process's readers to end, doubles the
// map and runs the closure again, so closures may run more than once and must own what they use.
//
// Every value is stored with a CRC-32C of its table, key and bytes behind it (LMDB's pages have none), which every read
// compares: a row whose value is damaged is `corrupt`, and the others are as good as before.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "libbase/codec.h"
#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::base::lmdb {

// What is lost if a table is: nothing, time, or facts.
enum class Precious { ephemeral, rebuildable, persistent };

struct RawTableSpec {
  const char* name;  // "<library>.<table>"; a literal
  Precious precious;
};

// A table is declared once, as a constant at namespace scope of the library that owns it.
template <class Key, class Value>
struct TableSpec : RawTableSpec {
  using key_type = Key;
  using value_type = Value;
};

enum class Scan { next, stop };

struct ActiveTxn;  // private: LMDB's transaction and what we note beside it

// One version of the environment. Not thread-safe, and used only inside the closure that received it.
class ReadTxn {
 public:
  ReadTxn(const ReadTxn&) = delete;
  ReadTxn& operator=(const ReadTxn&) = delete;

  // A key has 1 to 511 bytes. The view is valid until the transaction ends or writes. Errors: invalid_argument (size of
  // the key), corrupt (also a damaged value), io.
  Result<std::optional<std::string_view>> get_raw(const RawTableSpec& table, std::string_view key) const;
  // Rows with the prefix, in key order, from `from` (which has the prefix, or is empty) on. To resume behind a key, give
  // it with a zero byte appended. Writing in `visit` aborts the process: collect the keys, then erase. Errors: those of
  // `visit`, invalid_argument (`from` lacks the prefix), corrupt (also a damaged value), io.
  using Visit = std::function<Result<Scan>(std::string_view key, std::string_view value)>;
  Status scan_raw(const RawTableSpec& table, std::string_view prefix, std::string_view from, const Visit& visit) const;
  // For whoever looks for damage: goes on behind damaged values and gives their keys to `damaged`.
  Status scan_all(const RawTableSpec& table, std::string_view from, const Visit& visit,
                  const std::function<void(std::string_view key)>& damaged) const;
  Result<std::uint64_t> count(const RawTableSpec& table) const;  // O(1)

  // Absence is nullopt; a row that does not decode is corrupt.
  template <class Key, class Value>
  Result<std::optional<Value>> get(const TableSpec<Key, Value>& table, const std::type_identity_t<Key>& key) const {
    auto raw = TRY(get_raw(table, Codec<Key>::encode(key)));
    if (!raw) return std::optional<Value>();
    return std::optional<Value>(TRY(Codec<Value>::decode(*raw), "{} row", table.name));
  }
  template <class Key, class Value>
  Status scan(const TableSpec<Key, Value>& table, std::string_view prefix,
              const std::type_identity_t<std::function<Result<Scan>(const Key&, const Value&)>>& visit) const {
    return scan_raw(table, prefix, {}, [&](std::string_view key, std::string_view value) -> Result<Scan> {
      return visit(TRY(Codec<Key>::decode(key), "{} key", table.name),
                   TRY(Codec<Value>::decode(value), "{} row", table.name));
    });
  }

 protected:
  friend class Env;
  Status scan_rows(const RawTableSpec& table, std::string_view prefix, std::string_view from, const Visit& visit,
                   const std::function<void(std::string_view)>* damaged) const;
  ReadTxn(class Env& env, ActiveTxn& active) : env_(env), active_(active) {}
  class Env& env_;
  ActiveTxn& active_;
};

class WriteTxn : public ReadTxn {
 public:
  // Inserts or replaces. Errors: invalid_argument (size of the key), corrupt, no_space, io.
  Status put_raw(const RawTableSpec& table, std::string_view key, std::string_view value);
  Status erase_raw(const RawTableSpec& table, std::string_view key);  // absence is success

  // Hands what this transaction has changed so far to the journal (Env::set_journal). Whoever must make that durable before
  // the commit calls this; what is left is handed over when the closure has ended. nullopt: there was nothing.
  Result<std::optional<std::uint64_t>> flush_changes();

  template <class Key, class Value>
  Status put(const TableSpec<Key, Value>& table, const std::type_identity_t<Key>& key,
             const std::type_identity_t<Value>& value) {
    return put_raw(table, Codec<Key>::encode(key), Codec<Value>::encode(value));
  }
  template <class Key, class Value>
  Status erase(const TableSpec<Key, Value>& table, const std::type_identity_t<Key>& key) {
    return erase_raw(table, Codec<Key>::encode(key));
  }

 private:
  friend class Env;
  using ReadTxn::ReadTxn;
};

struct TxnCounts {
  std::uint64_t reads = 0;  // read transactions begun
  // Write transactions committed, the one that creates tables in open() included. Each is one durable sync unless it
  // wrote nothing.
  std::uint64_t commits = 0;
};

enum class Mode { read_write, read_only };

// A second description of what changes: see Env::set_journal. `changes` is a list of: u8 1 put, 2 erase · string table ·
// string key · [string value], as codec.h writes strings. What append() returns says what to sync (a DataToken).
struct ChangeJournal {
  std::function<bool(const RawTableSpec& table)> wants;
  std::function<Result<std::uint64_t>(WriteTxn& txn, std::string_view changes)> append;
};

// Thread-safe.
class Env {
 public:
  struct Options {
    // 0: the default above; at least 1 MiB. Halved until the machine grants it (a limit on address space).
    std::uint64_t map_bytes = 0;
    unsigned readers_max = 1024;  // an environment that was opened with more before keeps them
    Mode mode = Mode::read_write;
    // plain: of an environment of the first format of stores, whose values have no checksums.
    enum class Values { checked, plain } values = Values::checked;
  };

  // Opens dir (created if missing, not its parents, unless read_only) with exactly these tables, creating those that are missing. The
  // same directory must not be open twice in a process: busy. Stale readers of dead processes are cleared. A table that
  // a read-only opener does not find reads as empty. Opening an environment that exists does no durable write.
  // Naming a table later that is not among `tables` aborts the process.
  // Errors: not_found (read_only and nothing there; no parent), busy, corrupt, no_space, io.
  static Result<std::unique_ptr<Env>> open(const HostPath& dir, std::span<const RawTableSpec* const> tables,
                                           Options options);
  ~Env();  // no transaction is running
  Env(const Env&) = delete;
  Env& operator=(const Env&) = delete;

  // Runs f(ReadTxn&) on one version and returns what it returns (a Result). f does no I/O and does not wait. A view
  // inside a view of the same thread is allowed and reads its own version (the outer one, should another process have
  // grown the map since). A view inside an update reads what was committed before. Errors: those of f, busy (more than
  // readers_max readers), corrupt, io.
  template <class F>
  auto view(F&& f) -> std::invoke_result_t<F, ReadTxn&> {
    std::optional<std::invoke_result_t<F, ReadTxn&>> result;
    TRY(view_erased([&](ReadTxn& txn) { result.emplace(f(txn)); }));
    return std::move(*result);
  }
  // Runs f and commits durably if it returns ok, else aborts and returns its error. f may run more than once. An update
  // inside an update or a view of the same thread (of whatever environment) aborts the process with a message: it would
  // wait for itself. After no_space nothing has changed and the next update may work. Errors: those of f,
  // invalid_argument (read_only), no_space (disk full, or the map can grow no more), corrupt, io.
  Status update(const std::function<Status(WriteTxn&)>& f);

  // From now on every transaction that changes tables which the journal wants hands it the changes before it commits; an
  // error of append() undoes the transaction. An empty journal ends this. No update runs meanwhile.
  void set_journal(ChangeJournal journal);

  TxnCounts counts() const;
  std::uint64_t map_bytes() const;
  std::uint64_t allocated_bytes() const;  // blocks of the data and lock files on disk
  // Of these, the blocks behind the end of the data file: what a transaction can write on a disk that is full.
  std::uint64_t tail_bytes() const;

 private:
  friend class ReadTxn;
  friend class WriteTxn;
  Env();
  Status view_erased(const std::function<void(ReadTxn&)>& f);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::base::lmdb

// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/power/cache_scenario.h"

#include <fcntl.h>

#include <map>
#include <random>
#include <set>

#include "libbase/fs/beneath.h"
#include "libbase/hash/sha256.h"
#include "tests/e2e/power/random_changes.h"
#include "tests/support/must.h"
#include "tests/support/tree_state.h"
#include "tools/engine/engine.h"

namespace cairn::test {
namespace {

using base::Result;
using base::Status;
using base::lmdb::SequenceNumber;
using cache::ImmutableRef;
using snapshot::Access;
using Kind = Violation::Kind;
using Order = base::lmdb::GroupWriter::Options::Order;

constexpr std::uint64_t fresh_key = 1'000'000, damaged_key = 2'000'000;
constexpr std::size_t blob_max = 1u << 20;

KeyDigest key(std::uint64_t n) { return base::digest_of<KeyDigest>(fmt::format("key {}", n)); }

cache::KeyLink link_from(std::uint64_t parent) {
  cache::KeyLink link;
  link.from = key(parent);
  link.operation = base::sha256("operation");
  return link;
}

Result<std::unique_ptr<engine::Engine>> open_engine(const base::HostPath& root, Order order) {
  engine::EngineOptions options(root);
  options.snapshotter = "overlay";
  options.chain_max = 3;
  options.writer.order = order;
  return engine::Engine::open(std::move(options));
}

cache::RecordFacts facts_about(std::string description) {
  cache::RecordFacts facts;
  facts.description = std::move(description);
  return facts;
}

// A key's record as text: its parent's key, the blob that it needs, and its tree.
struct Facts {
  std::uint64_t parent = 0;  // 0: none
  std::string blob;          // digest; "": none
  std::string tree;

  std::string str() const { return fmt::format("{} {}\n{}", parent, blob.empty() ? "-" : blob, tree); }
  static Facts parse(const std::string& text) {
    const std::size_t line = text.find('\n'), space = text.find(' ');
    const std::string blob = text.substr(space + 1, line - space - 1);
    return {std::stoull(text), blob == "-" ? "" : blob, text.substr(line + 1)};
  }
};

class Workload {
 public:
  Workload(const base::HostPath& root, const CacheWorkloadOptions& options, Reporter& reporter)
      : reporter_(reporter), random_(options.seed), engine_(must(open_engine(root, options.order))) {
    for (int round = 0; round < options.rounds; ++round) {
      publish_one();
      if (pick(3) > 0) settle();
      if (pick(5) == 0) prune();
      if (round % 8 == 3) damage_and_scrub();
    }
    settle();
    held_.clear();
  }

 private:
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  cache::Cache& cache() { return engine_->cache(); }

  void publish_one() {
    cache::Publication publication;
    // A step with two outputs: both records, or none.
    const std::size_t outputs = 1 + pick(4) / 3;
    std::vector<std::uint64_t> keys;
    for (std::size_t i = 0; i < outputs; ++i) keys.push_back(make(publication));
    queued_.push_back({keys, must(cache().publish(std::move(publication)))});
  }

  std::uint64_t make(cache::Publication& publication) {
    const std::uint64_t n = ++last_key_;
    Facts facts;
    std::optional<ImmutableRef> parent;
    if (!held_.empty() && pick(5) > 0) {
      const auto chosen = pick(2) == 0 ? std::prev(held_.end())
                                       : std::next(held_.begin(), static_cast<std::ptrdiff_t>(pick(held_.size())));
      facts.parent = chosen->first;
      parent = chosen->second;
    }
    auto tree = must(cache().create(parent));
    change_at_random(must(tree.mount(Access::read_write)).fd(), random_(), 12);
    auto ref = must(std::move(tree).commit(publication, facts_about(fmt::format("make {}", n))));
    facts.tree = must(tree_state(must(ref.mount()).fd()));
    if (pick(2) == 0) {
      const auto blob = must(cache().blobs().put(fmt::format("blob {} ", n) + std::string(pick(100'000), 'b')));
      facts.blob = blob.info.digest.str();
      publication.add_blob(ref, blob.info.digest);
    }
    publication.add_result(key(n), ref);
    if (facts.parent != 0) publication.add_link(link_from(facts.parent), key(n));
    records_[ref.id().value()] = n;
    alive_.insert(n);
    reporter_.say(Event::Kind::intent, n, facts.str());
    held_.insert_or_assign(n, std::move(ref));
    return n;
  }

  void settle() {
    if (queued_.empty()) return;
    must(cache().writer().wait_durable(queued_.back().second));
    for (const auto& [keys, number] : queued_) {
      for (const std::uint64_t n : keys) reporter_.say(Event::Kind::committed, n);
    }
    queued_.clear();
  }

  void prune() {
    settle();
    std::erase_if(held_, [&](const auto&) { return pick(3) == 0; });
    std::vector<std::uint64_t> spared;
    for (const std::uint64_t n : alive_) {
      if (!held_.contains(n)) reporter_.say(Event::Kind::retiring, n);
    }
    for (const auto& record : must(cache().prune({.all = true})).records) {
      const std::uint64_t n = records_.at(record.id.value());
      if (n == 0) continue;  // nobody was told of it
      reporter_.say(Event::Kind::retired, n);
      alive_.erase(n);
    }
    // What is below a record that is held has been spared, and is as safe as before.
    for (const std::uint64_t n : alive_) reporter_.say(Event::Kind::committed, n);
  }

  // Trees get seals; of two records that nobody was told of, the lower one is damaged, and both are quarantined. Wherever the
  // power goes, no key leads to one of them while the other is marked (I5), and what was told is what it was.
  void damage_and_scrub() {
    settle();
    cache::Publication publication;
    const ImmutableRef below = must(must(cache().create({})).commit(publication, facts_about("damaged")));
    const ImmutableRef above = must(must(cache().create(below)).commit(publication, facts_about("on a damaged one")));
    for (const ImmutableRef& ref : {below, above}) {
      records_[ref.id().value()] = 0;
      publication.add_result(key(damaged_key + ref.id().value()), ref);
    }
    must(cache().writer().wait_durable(must(cache().publish(std::move(publication)))));
    const cache::ScrubOptions whole = {.from = cache::ScrubOptions::From::beginning};
    must(cache().scrub(whole));
    const base::HostPath tree = engine_->root() / fmt::format("trees/{}/fs", below.snapshot());
    must(base::write_file_atomic(tree / "not of the record", "x", base::Durable::no));
    const cache::ScrubReport report = must(cache().scrub(whole));
    CHECK(report.quarantined_records == 2, "{} records were quarantined", report.quarantined_records);
  }

  Reporter& reporter_;
  std::mt19937_64 random_;
  std::unique_ptr<engine::Engine> engine_;
  std::uint64_t last_key_ = 0;
  std::map<std::uint64_t, ImmutableRef> held_;           // by key
  std::map<std::uint64_t, std::uint64_t> records_;       // record → key
  std::set<std::uint64_t> alive_;                        // keys that were not pruned
  std::vector<std::pair<std::vector<std::uint64_t>, SequenceNumber>> queued_;
};

class Checker {
 public:
  Checker(base::HostPath root, const Expected& expected) : root_(std::move(root)), expected_(expected) {}

  std::vector<Violation> run() {
    if (const auto checked = check(); !checked) say(Kind::unopenable, checked.error().message);
    return std::move(found_);
  }

 private:
  void say(Kind kind, std::string text) { found_.push_back({kind, std::move(text)}); }

  Status check() {
    {
      const auto engine = TRY(open_engine(root_, Order::data_first), "open the store");
      TRY(take_findings(engine->cache()));
      for (const auto& [n, text] : expected_.may_exist) TRY(follow(engine->cache(), n, Facts::parse(text)));
      compare();
      TRY(commit_one(engine->cache()));
    }
    const auto engine = TRY(open_engine(root_, Order::data_first), "open the store again");
    TRY(take_findings(engine->cache()));
    if (!TRY(find(engine->cache(), fresh_key))) say(Kind::lost, "a record committed after the cut is gone");
    return {};
  }

  Status take_findings(cache::Cache& cache) {
    for (const cache::Finding& finding : TRY(cache.check(), "check the store")) {
      say(finding.invariant == 6 ? Kind::stray : Kind::bad_tree, fmt::format("I{}: {}", finding.invariant, finding.text));
    }
    return {};
  }

  // The record that a key leads to. I5: if there is one, it can be had.
  Result<std::optional<ImmutableRef>> find(cache::Cache& cache, std::uint64_t n) {
    std::vector<cache::KeyResult> results;
    TRY(cache.keys().read([&](cache::KeyStore::Reader& reader) -> Status {
      results = TRY(reader.results(key(n)));
      return {};
    }));
    if (results.empty()) return std::optional<ImmutableRef>();
    auto ref = TRY(cache.find(results.front().record));
    if (!ref) say(Kind::bad_tree, fmt::format("I5: key {} leads to record {}, which is gone", n, results.front().record));
    return ref;
  }

  Status follow(cache::Cache& cache, std::uint64_t n, const Facts& facts) {
    const auto ref = TRY(find(cache, n));
    if (!ref) return {};
    there_.insert(n);
    const auto state = [&]() -> Result<std::string> { return tree_state(TRY(ref->mount()).fd()); }();
    if (!state || *state != facts.tree) {
      say(Kind::bad_tree, fmt::format("key {}: {}", n, state ? first_difference(facts.tree, *state) : state.error().message));
    }
    if (!facts.blob.empty()) {
      const auto blob = cache.blobs().read(TRY(BlobDigest::parse(facts.blob)), blob_max);
      if (!blob) say(Kind::bad_tree, fmt::format("key {}: its blob: {}", n, blob.error().message));
    }
    if (facts.parent != 0) {
      bool led = false;
      TRY(cache.keys().read([&](cache::KeyStore::Reader& reader) -> Status {
        for (const auto& target : TRY(reader.follow(link_from(facts.parent)))) led |= target == key(n);
        return {};
      }));
      if (!led) say(Kind::lost, fmt::format("the link from key {} to key {}", facts.parent, n));
    }
    return {};
  }

  void compare() {
    for (const std::uint64_t n : expected_.must_exist) {
      if (!there_.contains(n)) say(Kind::lost, fmt::format("key {} was acknowledged and leads nowhere", n));
    }
    for (const std::uint64_t n : expected_.must_be_gone) {
      if (there_.contains(n)) say(Kind::came_back, fmt::format("key {} was acknowledged as pruned", n));
    }
  }

  Status commit_one(cache::Cache& cache) {
    std::optional<ImmutableRef> parent;
    if (!there_.empty()) parent = TRY(find(cache, *there_.rbegin()));
    cache::Publication publication;
    auto tree = TRY(cache.create(parent), "a new record");
    change_at_random(TRY(tree.mount(Access::read_write)).fd(), fresh_key, 5);
    const auto ref = TRY(std::move(tree).commit(publication, facts_about("after the cut")));
    publication.add_result(key(fresh_key), ref);
    return cache.writer().wait_durable(TRY(cache.publish(std::move(publication))));
  }

  base::HostPath root_;
  const Expected& expected_;
  std::set<std::uint64_t> there_;
  std::vector<Violation> found_;
};

}  // namespace

void run_cache_workload(const base::HostPath& root, const CacheWorkloadOptions& options, Reporter& reporter) {
  Workload(root, options, reporter);
}

std::vector<Violation> check_cache(const base::HostPath& root, const Expected& expected) {
  return Checker(root, expected).run();
}

}  // namespace cairn::test

// SPDX-License-Identifier: Apache-2.0
// digest: of a directory of this machine, or of a record of the store, and what makes two of them differ. A directory needs
// no store; with one (--root), what is learned of its files is kept there.
#include <algorithm>
#include <charconv>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "libbase/fs/fd.h"
#include "libcache/stat_cache.h"
#include "libcache/tree_difference.h"
#include "tools/cachectl/hint.h"
#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/progress_bar.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {
namespace {

using base::ErrorCode;
using base::Result;
using base::Status;
using nlohmann::ordered_json;

struct DigestArguments {
  std::vector<std::string> targets;  // directories, or records by their numbers
  std::string path = "/";
  bool diff = false, follow = false, wildcard = false;
  std::vector<std::string> include, exclude;
  bool ignore_owner = false, count_times = false, no_xattrs = false;
  std::string mode_mask = "7777";  // octal
  std::vector<std::string> xattrs;  // the only ones that count, if there are any
  Output format = Output::text;
};

// Up to 7777.
std::optional<std::uint32_t> octal_mode(const std::string& text) {
  std::uint32_t mode = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, mode, 8);
  if (error != std::errc() || stop != end || mode > 07777) return std::nullopt;
  return mode;
}

// Digits alone name a record; a directory with such a name is written with a slash.
bool names_record(const std::string& target) {
  return !target.empty() && std::all_of(target.begin(), target.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::uint64_t record_number(const std::string& target) {
  std::uint64_t number = 0;  // too large a number is none of a record, like 0
  (void)std::from_chars(target.data(), target.data() + target.size(), number);
  return number;
}

cache::Normalisation policy_of(const DigestArguments& arguments) {
  cache::Normalisation policy;
  if (arguments.ignore_owner) policy.owner = cache::Normalisation::Owner::ignored;
  policy.mode_mask = octal_mode(arguments.mode_mask).value_or(policy.mode_mask);
  if (arguments.count_times) policy.times = cache::Times::counted;
  if (arguments.no_xattrs || !arguments.xattrs.empty()) policy.xattrs = arguments.xattrs;
  return policy;
}

cache::Selection selection_of(const DigestArguments& arguments) {
  return {.path = arguments.path,
          .follow_links = arguments.follow,
          .wildcard = arguments.wildcard,
          .include_patterns = arguments.include,
          .exclude_patterns = arguments.exclude,
          .required_paths = {},
          .normalisation = policy_of(arguments)};
}

// What the targets of one command need open, opened when first needed.
class Targets {
 public:
  explicit Targets(const GlobalOptions& global) : global_(global) {}

  Result<TreeDigest> digest(const std::string& target, const cache::Selection& selection, std::stop_token stop);

 private:
  Result<engine::Engine*> engine();
  void open_stats();

  const GlobalOptions& global_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<base::lmdb::Env> beside_;  // if another process owns the store
  base::SystemClock clock_;
  std::unique_ptr<cache::StatCache> stats_;
};

Result<engine::Engine*> Targets::engine() {
  if (!engine_) {
    const engine::StoreOptions options = TRY(store_options(global_));
    // Looking must not make a store where there is none.
    TRY(engine::open_read_only(options.engine.root));
    engine_ = TRY(engine::Engine::open(options.engine));
  }
  return engine_.get();
}

// Without a store, or one that can be opened, nothing is remembered, and nothing else is different.
void Targets::open_stats() {
  if (stats_ || !global_.root_is_given) return;
  const auto owned = engine();
  if (owned) {
    stats_ = (*owned)->cache().remember_files(cache::StatsOf::scanned);
  } else if (owned.error().code == ErrorCode::busy) {
    const auto options = store_options(global_);
    auto env = engine::open_read_only(options->engine.root);
    if (!env) return;
    beside_ = std::move(*env);
    stats_ = std::make_unique<cache::StatCache>(*beside_, nullptr, clock_);
  }
}

Result<TreeDigest> Targets::digest(const std::string& target, const cache::Selection& selection, std::stop_token stop) {
  const ProgressBar bar("hashing", ProgressUnit::bytes, bytes_read_of(0));
  if (!names_record(target)) {
    open_stats();
    return cache::digest_directory(TRY(base::HostPath::from_user(target)), selection, nullptr, stop, stats_.get());
  }
  const engine::DigestOrder order{record_number(target), selection};
  const engine::StoreOptions options = TRY(store_options(global_));
  TRY(engine::open_read_only(options.engine.root));
  auto digest = engine::digest_in_store(options, order, stop);
  if (!digest) return tl::unexpected(hint_if_missing(digest.error(), "cachectl ls lists the records that there are"));
  return digest;
}

std::string line_of(const cache::TreeDifference& difference) {
  std::string line(to_string(difference.kind));
  line += " " + (difference.path.empty() ? "." : printable(difference.path));
  const char* separator = ": ";
  for (const cache::DifferenceField field : difference.fields) {
    line += separator + std::string(to_string(field));
    separator = ", ";
  }
  return line + "\n";
}

Result<engine::Differences> find_differences(const GlobalOptions& global, const DigestArguments& arguments,
                                             std::stop_token stop) {
  const ProgressBar bar("comparing", ProgressUnit::bytes, bytes_read_of(0));
  engine::DifferenceOrder order;
  order.selection = selection_of(arguments);
  std::vector<base::Fd> directories;
  for (std::size_t i = 0; i < 2; ++i) {
    auto& side = i == 0 ? order.first : order.second;
    const std::string& target = arguments.targets[i];
    if (names_record(target)) {
      side.record = record_number(target);
    } else {
      const auto path = TRY(base::HostPath::from_user(target), "digest {}", target);
      directories.push_back(TRY(base::open_host_dir(path), "digest {}", target));
      side.directory = path.str();
    }
  }
  // Directories alone need no store.
  if (directories.size() < 2) return engine::differences_in_store(TRY(store_options(global)), order, stop);
  engine::Differences differences;
  const auto visit = [&](const cache::TreeDifference& difference) -> Status {
    differences.push_back(difference);
    return {};
  };
  TRY(cache::each_difference({directories[0].get()}, {directories[1].get()}, order.selection, visit, stop));
  return differences;
}

ExitCode run_difference(const GlobalOptions& global, const DigestArguments& arguments) {
  const Interrupt interrupt;
  const auto differences = find_differences(global, arguments, interrupt.token());
  if (!differences) return report_error(differences.error());
  ordered_json list = ordered_json::array();
  std::string text;
  for (const cache::TreeDifference& difference : *differences) {
    ordered_json fields = ordered_json::array();
    for (const cache::DifferenceField field : difference.fields) fields.push_back(std::string(to_string(field)));
    list.push_back({{"path", difference.path}, {"kind", std::string(to_string(difference.kind))}, {"fields", fields}});
    text += line_of(difference);
  }
  std::cout << (arguments.format == Output::json ? json_line({{"format", 1}, {"differences", std::move(list)}}) : text);
  return ExitCode::done;
}

ExitCode run_digest(const GlobalOptions& global, const DigestArguments& arguments) {
  const std::size_t wanted = arguments.diff ? 2 : 1;
  if (arguments.targets.size() != wanted) {
    std::cerr << "cachectl: digest takes one directory or record, and --diff takes two\n";
    return ExitCode::usage;
  }
  if (arguments.diff) return run_difference(global, arguments);
  const Interrupt interrupt;
  const std::string& target = arguments.targets.front();
  const auto digest = Targets(global).digest(target, selection_of(arguments), interrupt.token());
  if (!digest) return report_error(base::add_context(digest.error(), fmt::format("digest {}", target)));
  if (arguments.format == Output::json) {
    std::cout << json_line({{"format", 1}, {"digest", digest->str()}});
  } else {
    std::cout << digest->str() << '\n';
  }
  return ExitCode::done;
}

struct RecordDiffArguments {
  std::uint64_t first = 0, second = 0;
  std::string path = "/";
  Output format = Output::text;
};

ExitCode run_record_diff(const GlobalOptions& global, const RecordDiffArguments& arguments) {
  DigestArguments digest;
  digest.targets = {std::to_string(arguments.first), std::to_string(arguments.second)};
  digest.path = arguments.path;
  digest.diff = true;
  digest.format = arguments.format;
  return run_digest(global, digest);
}

}  // namespace

void add_digest(CLI::App& app, Program& program) {
  auto [verb, digest] = add_verb<DigestArguments>(app, program, "digest", R"(The content digest of a directory, by BuildKit's rules for scanned trees, or of a record, by its own.

Examples:
  cachectl digest ./src
  cachectl --root DIR digest ./src    # what is learned of the files is kept in the store
  cachectl --root DIR digest --diff 1027 1031
  cachectl digest ./src --path lib --include '**/*.c' --json)", run_digest);
  verb.add_option("DIR|RECORD", digest.targets, "A directory, or a record by its number")->required()->expected(1, 2);
  verb.add_flag("--diff", digest.diff, "Of two: which paths make their digests differ, and in what");
  verb.add_option("--path", digest.path, "What of it counts")->capture_default_str();
  verb.add_flag("--follow", digest.follow, "Follow a symlink that PATH names");
  verb.add_flag("--wildcard", digest.wildcard, "PATH is a pattern");
  verb.add_option("--include", digest.include, "Only what matches (.dockerignore language)")->type_name("PATTERN");
  verb.add_option("--exclude", digest.exclude, "Not what matches")->type_name("PATTERN");
  const std::string group = "What counts (else it is BuildKit's digest)";
  verb.add_flag("--ignore-owner", digest.ignore_owner, "Owners and groups do not count")->group(group);
  verb.add_option("--mode-mask", digest.mode_mask, "The bits of modes that count, octal")
      ->capture_default_str()->type_name("OCTAL")->group(group)
      ->check([](const std::string& text) { return octal_mode(text) ? "" : "not an octal number up to 7777: " + text; });
  verb.add_flag("--count-times", digest.count_times, "Times of modification count, to the nanosecond")->group(group);
  CLI::Option* xattrs = verb.add_option("--xattr", digest.xattrs, "Only these extended attributes count");
  xattrs->type_name("NAME")->group(group);
  verb.add_flag("--no-xattrs", digest.no_xattrs, "No extended attribute counts")->excludes(xattrs)->group(group);
  auto diff = add_verb<RecordDiffArguments>(noun(app, "record"), program, "diff", R"(Which paths of two records differ, and in what: digest --diff of both.

Examples:
  cachectl --root DIR record diff 1027 1031
  cachectl --root DIR record diff 1027 1031 --path usr/lib --json)", run_record_diff);
  diff.app.add_option("RECORD", diff.arguments.first, "The first, by its number")->required();
  diff.app.add_option("OTHER", diff.arguments.second, "The second")->required();
  diff.app.add_option("--path", diff.arguments.path, "What of them counts")->capture_default_str();
}

}  // namespace cairn::cachectl

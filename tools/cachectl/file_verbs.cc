// SPDX-License-Identifier: Apache-2.0
// digest and llb inspect: verbs that need no store.
#include <fcntl.h>
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "libbase/fs/fd.h"
#include "libcache/tree_digest.h"
#include "libsolver/inspect.h"
#include "tools/cachectl/command.h"

namespace cairn::cachectl {
namespace {

constexpr std::size_t input_bytes_max = 64u << 20;

base::Result<TreeDigest> take_digest(const DigestArguments& arguments) {
  const base::HostPath dir = TRY(base::HostPath::from_user(arguments.dir));
  const cache::Selection selection{.path = arguments.path,
                                   .follow_links = arguments.follow,
                                   .wildcard = arguments.wildcard,
                                   .include_patterns = arguments.include,
                                   .exclude_patterns = arguments.exclude,
                                   .required_paths = {}};
  return cache::digest_directory(dir, selection, nullptr);
}

}  // namespace

base::Result<std::string> read_input(const std::string& file) {
  if (file == "-") return TRY(base::read_all(STDIN_FILENO, input_bytes_max), "read standard input");
  return TRY(base::read_file(TRY(base::HostPath::from_user(file)), input_bytes_max), "read {}", file);
}

ExitCode run_digest(const DigestArguments& arguments) {
  const auto digest = take_digest(arguments);
  if (!digest) return report_error(base::add_context(digest.error(), fmt::format("digest {}", arguments.dir)));
  if (arguments.format == Output::json) {
    std::cout << nlohmann::ordered_json({{"format", 1}, {"digest", digest->str()}}).dump() << '\n';
  } else {
    std::cout << digest->str() << '\n';
  }
  return ExitCode::done;
}

ExitCode run_llb_inspect(const InspectArguments& arguments) {
  const auto bytes = read_input(arguments.file);
  if (!bytes) return report_error(bytes.error());
  const auto text =
      arguments.format == Output::json ? solver::inspect_json(*bytes) : solver::inspect_text(*bytes);
  if (!text) return report_error(base::add_context(text.error(), fmt::format("inspect {}", arguments.file)));
  std::cout << *text;
  if (!text->ends_with('\n')) std::cout << '\n';
  return ExitCode::done;
}

}  // namespace cairn::cachectl

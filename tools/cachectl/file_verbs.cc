// SPDX-License-Identifier: Apache-2.0
// llb inspect: a verb that needs no store.
#include <fcntl.h>
#include <unistd.h>

#include <iostream>

#include "libbase/fs/fd.h"
#include "libsolver/inspect.h"
#include "tools/cachectl/command.h"

namespace cairn::cachectl {
namespace {

constexpr std::size_t input_bytes_max = 64u << 20;

}  // namespace

base::Result<std::string> read_input(const std::string& file) {
  if (file == "-") return TRY(base::read_all(STDIN_FILENO, input_bytes_max), "read standard input");
  return TRY(base::read_file(TRY(base::HostPath::from_user(file)), input_bytes_max), "read {}", file);
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

// SPDX-License-Identifier: Apache-2.0
// A policy's file, ours or BuildKit's, or a store's options, and, as its first line alone, a filter. What is accepted must mean the same when
// its text is read again, and a bound is never below the floor.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "libcache/options.h"
#include "libcache/policy.h"

using namespace cairn::cache;

namespace {

void try_filter(std::string_view text) {
  const auto filter = RecordFilter::parse(text);
  if (!filter) return;
  const auto again = RecordFilter::parse(filter->text());
  RecordInfo record;
  record.id = RecordId(1);
  record.facts.description = "exec cc -c a.c";
  if (!again || again->unused_for() != filter->unused_for() || again->only_type() != filter->only_type()) std::abort();
  for (const InUse in_use : {InUse::no, InUse::yes})
    if (again->matches(record, in_use) != filter->matches(record, in_use)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try_filter(input.substr(0, input.find('\n')));
  if (const auto options = parse_options(input, "fuzz"); options && options->chunk_bytes % 1024 != 0) std::abort();
  const auto policy = parse_policy(input, "fuzz");
  if (!policy) return 0;
  const DiskSpace disk{.total_bytes = 1'000'000, .free_bytes = 1000};
  for (std::size_t i = 0; i < policy->rules.size(); ++i) {
    const PolicyRule& rule = policy->rules[i];
    if (rule_title(*policy, i).empty()) std::abort();
    const auto keep = rule.keep_bytes(500'000, disk);
    const auto floor = rule.effective_floor().on(disk);
    if (floor && (!keep || *keep < *floor)) std::abort();
  }
  return 0;
}

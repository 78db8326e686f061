// SPDX-License-Identifier: Apache-2.0
#include "libcache/prometheus.h"

#include <fmt/format.h>

#include "libcache/account/metric_text.h"

namespace cairn::cache {

std::string metric_label(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return out;
}

std::string metric_family(std::string_view name, std::string_view type, std::string_view help,
                          const std::string& samples) {
  return fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n{3}", name, type, help, samples);
}

namespace {

std::string underscored(std::string_view words) {
  std::string text(words);
  for (char& c : text)
    if (c == ' ') c = '_';
  return text;
}

template <class Value>
std::string one(std::string_view name, std::string_view type, std::string_view help, Value value) {
  return metric_family(name, type, help, fmt::format("{} {}\n", name, value));
}

std::string seconds(std::chrono::nanoseconds duration) { return fmt::format("{:.9f}", std::chrono::duration<double>(duration).count()); }

}  // namespace

std::string prometheus_text(const StoreMetrics& metrics) {
  std::string hits, misses, bytes, saved;
  for (const auto& [project, counters] : metrics.projects) {
    const std::string of = fmt::format("project=\"{}\"", metric_label(project));
    hits += fmt::format("cairn_hits_total{{{}}} {}\n", of, counters.hits);
    for (std::size_t cause = 0; cause < miss_causes; ++cause)
      misses += fmt::format("cairn_misses_total{{{},cause=\"{}\"}} {}\n", of, underscored(to_string(static_cast<MissCause>(cause))), counters.misses[cause]);
    bytes += fmt::format("cairn_saved_bytes_total{{{}}} {}\n", of, counters.bytes_saved);
    saved += fmt::format("cairn_saved_seconds_total{{{}}} {}\n", of, seconds(counters.time_saved));
  }
  return metric_family("cairn_hits_total", "counter", "Lookups that found a result.", hits) +
         metric_family("cairn_misses_total", "counter", "Lookups that found none, by cause.", misses) +
         metric_family("cairn_saved_bytes_total", "counter", "Bytes of the trees that hits gave.", bytes) +
         metric_family("cairn_saved_seconds_total", "counter", "What making them had taken.", saved) +
         one("cairn_regret_results_total", "counter", "Results made again after a collection had taken them.", metrics.regret.count) +
         one("cairn_regret_seconds_total", "counter", "What that took.", seconds(metrics.regret.build_time)) +
         one("cairn_scrubbed_bytes_total", "counter", "Bytes read back by scrubs.", metrics.scrubs.bytes) +
         one("cairn_scrub_damaged_total", "counter", "What was not what its name says.", metrics.scrubs.damaged);
}

std::string prometheus_text(const DiskUsage& usage) {
  return one("cairn_live_bytes", "gauge", "What ceilings and floors compare.", usage.live_bytes()) +
         one("cairn_total_bytes", "gauge", "What everything under the root takes.", usage.total_bytes) +
         one("cairn_records", "gauge", "Records, entries of doors among them.", usage.records) +
         one("cairn_blobs", "gauge", "Blobs.", usage.blobs);
}

}  // namespace cairn::cache

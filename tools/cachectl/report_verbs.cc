// SPDX-License-Identifier: Apache-2.0
// report: one page about a store, complete in itself: what fills it, its hit rate over time, what was dearest to miss, and what the next
// collection would take. Charts are drawn here; the only script in it sorts its tables.
#include <algorithm>
#include <iostream>
#include <map>

#include "libbase/fs/beneath.h"
#include "libcache/history.h"
#include "tools/cachectl/chart.h"
#include "tools/cachectl/interrupt.h"
#include "tools/cachectl/progress_bar.h"
#include "tools/cachectl/size_text.h"
#include "tools/cachectl/verb.h"

namespace cairn::cachectl {

using base::Result;

namespace {

constexpr std::size_t rows_max = 200;  // of a table
constexpr std::size_t bars_max = 12;

struct ReportArguments {
  std::string output;
};

struct Cell {
  std::string text;
  std::optional<double> number{};  // what it is sorted by
};
using Row = std::vector<Cell>;

std::string table_of(const std::string& id, const std::vector<std::string>& head, const std::vector<Row>& rows) {
  std::string out = fmt::format("<table id=\"{}\"><thead><tr>", id);
  for (const std::string& each : head) out += "<th scope=\"col\" tabindex=\"0\">" + escape_markup(each) + "</th>";
  out += "</tr></thead><tbody>\n";
  for (const Row& row : rows) {
    out += "<tr>";
    for (const Cell& cell : row)
      out += cell.number ? fmt::format("<td class=\"n\" data-n=\"{}\">{}</td>", *cell.number, escape_markup(cell.text))
                         : "<td>" + escape_markup(cell.text) + "</td>";
    out += "</tr>\n";
  }
  return out + "</tbody></table>\n";
}

std::string size_text(std::int64_t bytes) { return cachectl::size_text(static_cast<double>(bytes)); }
Cell size_cell(std::int64_t bytes) { return {size_text(bytes), static_cast<double>(bytes)}; }
Cell time_cell(std::chrono::nanoseconds time) { return {human_duration(time), static_cast<double>(time.count())}; }

// Its words are ours, and nothing of it comes from elsewhere.
constexpr const char* style = R"(body{font-family:sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse;margin:1em 0}
td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left;font-size:90%}th{background:#f2f2f2;cursor:pointer}td.n{text-align:right}
th[aria-sort=ascending]::after{content:" ▲"}th[aria-sort=descending]::after{content:" ▼"})";
constexpr const char* script = R"(for (const table of document.querySelectorAll('table')) {
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    const sort = () => {
      const down = head.getAttribute('aria-sort') !== 'descending';
      for (const other of table.tHead.rows[0].cells) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      const key = row => { const cell = row.cells[column]; return 'n' in cell.dataset ? Number(cell.dataset.n) : cell.textContent; };
      const compare = (a, b) => typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b));
      const rows = [...table.tBodies[0].rows].sort((a, b) => compare(key(a), key(b)) * (down ? -1 : 1));
      table.tBodies[0].append(...rows);
    };
    head.addEventListener('click', sort);
    head.addEventListener('keydown', event => { if (event.key === 'Enter') sort(); });
  }
})";

std::string section(const std::string& title, const std::string& body) { return "<h2>" + escape_markup(title) + "</h2>\n" + body; }

Result<std::string> what_fills_it(base::lmdb::Env& env, const base::HostPath& root) {
  const cache::DiskUsage usage = TRY(cache::disk_usage(env, root));
  std::string body = fmt::format("<p>{} in {} records and {} blobs; {} of it are metadata, {} are being freed.</p>\n", size_text(usage.total_bytes),
                                 usage.records, usage.blobs, size_text(usage.metadata_bytes), size_text(usage.trash_bytes));
  for (const cache::Dimension by : {cache::Dimension::type, cache::Dimension::project}) {
    auto shares = TRY(cache::usage_by(env, by)).shares;
    const auto all = [](const cache::Share& share) { return share.exclusive_bytes + share.shared_bytes; };
    std::sort(shares.begin(), shares.end(), [&](const auto& a, const auto& b) { return all(a) > all(b); });
    std::vector<Bar> bars;
    std::vector<Row> rows;
    const std::string name(cache::to_string(by));
    for (const cache::Share& share : shares) {
      const std::string label = share.name.empty() ? "(not said)" : printable(share.name);
      if (bars.size() < bars_max) bars.push_back({label, static_cast<double>(all(share)), size_text(all(share))});
      if (rows.size() < rows_max) rows.push_back({{label}, {std::to_string(share.records), static_cast<double>(share.records)}, size_cell(share.exclusive_bytes), size_cell(share.shared_bytes)});
    }
    body += svg_of_bars("Bytes by " + name, bars) + table_of("by-" + name, {name, "records", "its own", "its part of what is shared"}, rows);
  }
  return section("What fills the store", body);
}

std::string hit_rate(const std::vector<cache::SolveRow>& solves) {
  Series series{"steps found", {}};
  std::vector<Row> rows;
  for (std::size_t i = 0; i < solves.size(); ++i) {
    const cache::SolveRow& solve = solves[i];
    std::size_t found = 0, ran = 0;
    for (const cache::SolvedStep& step : solve.steps) {
      found += step.state == cache::SolvedStep::State::cached ? 1 : 0;
      ran += step.state == cache::SolvedStep::State::executed || step.state == cache::SolvedStep::State::failed ? 1 : 0;
    }
    if (found + ran == 0) continue;
    const double rate = 100.0 * static_cast<double>(found) / static_cast<double>(found + ran);
    series.points.emplace_back(static_cast<double>(i + 1), rate);
    if (i + rows_max >= solves.size())
      rows.push_back({{rfc3339(solve.started()).substr(0, 19) + "Z"}, {printable(solve.project)}, time_cell(solve.duration), {std::to_string(ran), static_cast<double>(ran)},
                      {fmt::format("{:.1f} %", rate), rate}});
  }
  const LineChart chart{.title = "Steps that had been done before", .x_label = "solves, the oldest first", .y_label = "% of steps", .series = {std::move(series)}, .y_max = 100};
  return section("Hit rate over time", svg_of(chart) + table_of("solves", {"solve", "project", "took", "steps run", "found"}, rows));
}

std::string dearest_misses(const std::vector<cache::SolveRow>& solves) {
  struct Missed {
    std::chrono::nanoseconds time{0};
    std::uint64_t times = 0;
    std::map<std::string, std::uint64_t> causes;
  };
  std::map<std::string, Missed> by_name;
  for (const cache::SolveRow& solve : solves) {
    for (const cache::SolvedStep& step : solve.steps) {
      if (!step.missed) continue;
      Missed& missed = by_name[step.name];
      missed.time += step.duration;
      ++missed.times;
      ++missed.causes[std::string(cache::to_string(*step.missed))];
    }
  }
  std::vector<std::pair<std::string, Missed>> order(by_name.begin(), by_name.end());
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second.time > b.second.time; });
  std::vector<Row> rows;
  std::vector<Bar> bars;
  for (const auto& [name, missed] : order) {
    if (rows.size() == rows_max) break;
    std::string causes;
    for (const auto& [cause, times] : missed.causes) causes += fmt::format("{}{} {}", causes.empty() ? "" : ", ", times, cause);
    if (bars.size() < bars_max) bars.push_back({printable(name), static_cast<double>(missed.time.count()), human_duration(missed.time)});
    rows.push_back({{printable(name)}, time_cell(missed.time), {std::to_string(missed.times), static_cast<double>(missed.times)}, {causes}});
  }
  return section("The most expensive misses", svg_of_bars("Time that steps took which were not found", bars) + table_of("misses", {"step", "took in all", "times", "why"}, rows));
}

Result<std::string> next_collection(const engine::StoreOptions& options) {
  const Interrupt interrupt;
  const engine::PruneOrder order{.dry_run = true, .policy = "", .policy_name = "the store's own"};
  const engine::PruneAnswer answer = TRY(engine::prune_store(options, order, interrupt.token()));
  std::chrono::nanoseconds time{0};
  std::vector<Row> rows;
  for (const cache::PrunedRecord& record : answer.report.records) {
    time += record.facts.build_time;
    if (rows.size() == rows_max) continue;
    rows.push_back({{printable(record.facts.description)}, size_cell(record.freed_bytes), time_cell(record.facts.build_time), {rfc3339(record.last_used).substr(0, 19) + "Z"},
                    {record.rule < answer.rules.size() ? printable(answer.rules[record.rule]) : ""}});
  }
  const std::string words = fmt::format("<p>By the store's own policy it would take {} records: {} free, {} to make again.</p>\n", answer.report.records.size(),
                                        size_text(answer.report.freed_bytes), human_duration(time));
  return section("What the next collection would take", words + table_of("next", {"record", "frees", "to make again", "last used", "rule"}, rows));
}

Result<std::string> page_of(const GlobalOptions& global) {
  const ProgressBar bar("looking at the store");
  const engine::StoreOptions options = TRY(store_options(global));
  const base::HostPath& root = options.engine.root;
  TRY(engine::open_read_only(root));  // whether there is a store at all; a collection of one that has no owner makes us its owner
  const std::string next = TRY(next_collection(options));
  const auto env = TRY(engine::open_read_only(root));
  const std::vector<cache::SolveRow> solves = TRY(cache::solve_history(*env, root));
  std::string body = "<h1>" + escape_markup(root.str()) + "</h1>\n<p>" + rfc3339(base::SystemClock().now()).substr(0, 19) + "Z</p>\n";
  body += TRY(what_fills_it(*env, root)) + hit_rate(solves) + dearest_misses(solves) + next;
  return fmt::format("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Cairn: {}</title>\n<style>{}</style></head>\n<body>\n{}<script>\n{}\n</script>\n</body></html>\n",
                     escape_markup(root.str()), style, body, script);
}

base::Status write_page(const GlobalOptions& global, const ReportArguments& arguments) {
  const base::HostPath path = TRY(base::HostPath::from_user(arguments.output), "--output {}", arguments.output);
  return base::write_file_atomic(path, TRY(page_of(global)), base::Durable::no);
}

ExitCode run_report(const GlobalOptions& global, const ReportArguments& arguments) {
  if (const base::Status written = write_page(global, arguments); !written) return report_error(written.error());
  std::cout << "written to " << printable(arguments.output) << '\n';
  return ExitCode::done;
}

}  // namespace

void add_report(CLI::App& app, Program& program) {
  auto [verb, arguments] = add_verb<ReportArguments>(app, program, "report", R"(A page about the store: what fills it, its hit rate, its misses, and what would go next.

Examples:
  cachectl --root DIR report --output report.html)", run_report);
  verb.add_option("--output", arguments.output, "The page; complete in itself, for any browser")->type_name("report.html")->required();
}

}  // namespace cairn::cachectl

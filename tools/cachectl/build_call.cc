// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/build_call.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "libdockerfile/dockerfile.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using nlohmann::json;
using Call = engine::SolveOrder::Call;

namespace {

using Align = TextTable::Align;

Status set_name(BuildCall& call, const std::string& name) {
  call.describes = name == "subrequests.describe";
  if (name == "check" || name == "lint") call.call = Call::check;
  else if (name == "outline") call.call = Call::outline;
  else if (name == "targets") call.call = Call::targets;
  else if (name != "build" && !call.describes)
    return fail(ErrorCode::invalid_argument, "--call {}: there are build, check, lint, outline, targets and subrequests.describe", name);
  return {};
}

Status set_attribute(BuildCall& call, const std::string& name, const std::string& value) {
  if (name == "format" && (value == "json" || value == "text")) {
    call.format = value == "json" ? BuildCall::Format::json : BuildCall::Format::text;
    return {};
  }
  if (name == "ignorestatus" && (value == "true" || value == "false")) {
    call.ignores_status = value == "true";
    return {};
  }
  return fail(ErrorCode::invalid_argument, "--call: {}={} means nothing: want format=json, format=text or ignorestatus=true", name, value);
}

// A text of the owner's answer; "": it has none.
std::string text_of(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? printable(found->get<std::string>()) : std::string();
}
bool is_true(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_boolean() && found->get<bool>();
}
json list_of(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_array() ? *found : json::array();
}

std::string targets_text(const json& answer) {
  TextTable table({{"TARGET", Align::left}, {"DESCRIPTION", Align::left}});
  for (const json& target : list_of(answer, "targets")) {
    std::string name = text_of(target, "name");
    if (is_true(target, "default")) name += name.empty() ? "(default)" : " (default)";
    table.add({name, text_of(target, "description")});
  }
  return table.str();
}

// One table with an empty line behind it; nothing if the list is empty.
template <class Row>
std::string list_text(const json& list, std::vector<std::pair<std::string, Align>> columns, const Row& row_of) {
  if (list.empty()) return {};
  TextTable table(std::move(columns));
  for (const json& each : list) table.add(row_of(each));
  return table.str() + '\n';
}

std::string outline_text(const json& answer) {
  const std::string name = text_of(answer, "name"), description = text_of(answer, "description");
  std::string text = fmt::format("TARGET:      {}\n", name.empty() ? "(default)" : name);
  if (!description.empty()) text += fmt::format("DESCRIPTION: {}\n", description);
  text += '\n';
  text += list_text(list_of(answer, "args"), {{"BUILD ARG", Align::left}, {"VALUE", Align::left}, {"DESCRIPTION", Align::left}},
                    [](const json& arg) { return std::vector{text_of(arg, "name"), text_of(arg, "value"), text_of(arg, "description")}; });
  const auto secret = [](const json& each) { return std::vector{text_of(each, "name"), std::string(is_true(each, "required") ? "true" : "")}; };
  text += list_text(list_of(answer, "secrets"), {{"SECRET", Align::left}, {"REQUIRED", Align::left}}, secret);
  text += list_text(list_of(answer, "ssh"), {{"SSH", Align::left}, {"REQUIRED", Align::left}}, secret);
  text += list_text(list_of(answer, "cache"), {{"CACHE MOUNT", Align::left}}, [](const json& cache) { return std::vector{text_of(cache, "ID")}; });
  text.pop_back();  // the last empty line separates nothing
  return text;
}

void print_checks(const engine::SolveReport& report) {
  const std::size_t count = report.checks.size();
  if (count == 0) std::cout << "Check complete, no warnings found.\n";
  else std::cout << fmt::format("Check complete, {} found!\n", count == 1 ? "1 warning has been" : fmt::format("{} warnings have been", count));
  for (const engine::BuildWarning& check : report.checks) {
    std::cout << fmt::format("\nWARNING: {} - {}\n{}\n", printable(check.rule), printable(check.url), printable(check.message));
    if (!check.excerpt.empty()) std::cout << '\n' << printable_lines(check.excerpt);
  }
  for (const std::string& note : report.notes) std::cout << "note: " << printable(note) << '\n';
}

void print_text(const BuildCall& call, const engine::SolveReport& report) {
  if (call.call == Call::check) return print_checks(report);
  const json answer = json::parse(report.answer, nullptr, false);
  std::cout << (call.call == Call::outline ? outline_text(answer) : targets_text(answer));
}

}  // namespace

Result<BuildCall> parse_build_call(std::string_view text) {
  BuildCall call;
  bool is_named = false;
  for (const std::string& field : TRY(dockerfile::csv_fields(text), "--call")) {
    if (const std::size_t equals = field.find('='); equals != std::string::npos) {
      TRY(set_attribute(call, field.substr(0, equals), field.substr(equals + 1)));
      continue;
    }
    if (is_named) return fail(ErrorCode::invalid_argument, "--call {}: one name at a time", text);
    is_named = true;
    TRY(set_name(call, field));
  }
  if (!is_named) return fail(ErrorCode::invalid_argument, "--call {}: it has no name", text);
  return call;
}

ExitCode print_call(const BuildCall& call, const SolveRun& run, Output output) {
  // The answer to a check also says what it has failed with.
  if (call.format == BuildCall::Format::json && !run.report.answer.empty()) std::cout << run.report.answer << '\n';
  if (run.code != ExitCode::done) return run.code;
  if (call.format == BuildCall::Format::text && output == Output::text) print_text(call, run.report);
  const bool has_failed = call.call == Call::check && !run.report.checks.empty() && !call.ignores_status;
  return has_failed ? ExitCode::failed : ExitCode::done;
}

ExitCode print_subrequests(const BuildCall& call, Output output) {
  if (call.format == BuildCall::Format::json || output == Output::json) {
    std::cout << dockerfile::print_subrequests() << '\n';
    return ExitCode::done;
  }
  TextTable table({{"NAME", Align::left}, {"VERSION", Align::left}, {"DESCRIPTION", Align::left}});
  for (const dockerfile::Subrequest& each : dockerfile::subrequests())
    table.add({std::string(each.name), std::string(each.version), std::string(each.description)});
  std::cout << table.str();
  return ExitCode::done;
}

}  // namespace cairn::cachectl

// SPDX-License-Identifier: Apache-2.0
#include "libsolver/files/mode_text.h"

#include <charconv>

namespace cairn::solver {

using base::ErrorCode;
using base::Result;

namespace {

constexpr mode_t execute_bits = 0111;

mode_t class_mask(char name) {
  switch (name) {
    case 'u': return S_IRWXU;
    case 'g': return S_IRWXG;
    case 'o': return S_IRWXO;
    case 'a': return 0777;
    default: return 0;
  }
}

// The set-id bits belong to their classes; the sticky bit to none, it is for everybody but "o" to set.
mode_t reach_of(mode_t who) {
  return who | ((who & S_IRWXU) != 0 ? S_ISUID : 0) | ((who & S_IRWXG) != 0 ? S_ISGID : 0);
}

mode_t bits_of_class(mode_t mode, char name) {
  const mode_t three = name == 'u' ? mode >> 6 : name == 'g' ? mode >> 3 : mode;
  return (three & 7) * 0111;
}

}  // namespace

// Takes "[ugoa...]([+-=][perms...])..." from the front and returns what is left.
Result<std::string_view> ModeChange::parse_clause(std::string_view text, std::vector<Step>& steps) {
  const std::string_view whole = text;
  mode_t who = 0;
  while (!text.empty() && class_mask(text.front()) != 0) {
    who |= class_mask(text.front());
    text.remove_prefix(1);
  }
  const bool only_other = who == S_IRWXO;
  if (who == 0) who = 0777;
  bool any = false;
  while (!text.empty() && text.front() != ',') {
    Step step{.op = text.front(), .who = who};
    if (step.op != '+' && step.op != '-' && step.op != '=') break;
    any = true;
    text.remove_prefix(1);
    for (; !text.empty(); text.remove_prefix(1)) {
      const char perm = text.front();
      if (perm == 'r') step.bits |= 0444;
      else if (perm == 'w') step.bits |= 0222;
      else if (perm == 'x') step.bits |= execute_bits;
      else if (perm == 'X') step.execute_if_any = true;
      else if (perm == 's') step.bits |= only_other ? 0 : S_ISUID | S_ISGID;
      else if (perm == 't') step.bits |= only_other ? 0 : S_ISVTX;
      else if (perm == 'u' || perm == 'g' || perm == 'o') step.copied_class = perm;
      else break;
    }
    steps.push_back(step);
  }
  if (!any) return base::fail(ErrorCode::invalid_argument, "mode \"{}\": no +, - or = in it", whole);
  return text;
}

Result<ModeChange> ModeChange::parse(std::string_view text) {
  ModeChange change;
  if (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    mode_t mode = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
    if (error != std::errc() || end != text.data() + text.size() || mode > 07777) {
      return base::fail(ErrorCode::invalid_argument, "mode \"{}\": not an octal mode", text);
    }
    change.steps_ = {{.op = '-', .who = 0777, .bits = 07777}, {.op = '+', .who = 0777, .bits = mode}};
    return change;
  }
  std::string_view rest = text;
  while (true) {
    rest = TRY(parse_clause(rest, change.steps_));
    if (rest.empty()) return change;
    if (rest.front() != ',') return base::fail(ErrorCode::invalid_argument, "mode \"{}\": \"{}\" means nothing", text, rest);
    rest.remove_prefix(1);
  }
}

mode_t ModeChange::apply(mode_t mode) const {
  mode_t now = mode & 07777;
  const bool executes = (now & execute_bits) != 0 || S_ISDIR(mode);
  for (const Step& step : steps_) {
    mode_t bits = step.bits;
    if (step.execute_if_any && executes) bits |= execute_bits;
    if (step.copied_class != 0) bits |= bits_of_class(now, step.copied_class);
    const mode_t reach = reach_of(step.who);
    bits &= reach | S_ISVTX;
    if (step.op == '=') now &= ~reach;
    now = step.op == '-' ? now & ~bits : now | bits;
  }
  return now;
}

}  // namespace cairn::solver

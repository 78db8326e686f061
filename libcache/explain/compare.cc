// SPDX-License-Identifier: Apache-2.0
#include "libcache/explain/compare.h"

#include <algorithm>
#include <map>
#include <utility>

namespace cairn::cache {
namespace {

// A field by its name and which of several of that name it is.
using Place = std::pair<std::string, std::size_t>;

std::vector<Place> places_of(const std::vector<RecipeField>& fields) {
  std::map<std::string, std::size_t> seen;
  std::vector<Place> places;
  for (const RecipeField& field : fields) places.emplace_back(field.name, seen[field.name]++);
  return places;
}

std::string names_of(const std::vector<RecipeField>& fields) {
  std::string names;
  for (const RecipeField& field : fields) names += (names.empty() ? "" : ", ") + field.name;
  return names;
}

double likeness(const std::string& a, const std::string& b) {
  const std::size_t longest = std::max(a.size(), b.size()), shortest = std::min(a.size(), b.size());
  if (longest == 0) return 1;
  std::size_t front = 0, back = 0;
  while (front < shortest && a[front] == b[front]) ++front;
  while (front + back < shortest && a[a.size() - 1 - back] == b[b.size() - 1 - back]) ++back;
  return static_cast<double>(front + back) / static_cast<double>(longest);
}

}  // namespace

std::vector<FieldDifference> differing_fields(const std::vector<RecipeField>& before, const std::vector<RecipeField>& after) {
  const std::vector<Place> old_places = places_of(before), new_places = places_of(after);
  std::map<Place, std::size_t> old, now;
  for (std::size_t i = 0; i < old_places.size(); ++i) old.emplace(old_places[i], i);
  for (std::size_t i = 0; i < new_places.size(); ++i) now.emplace(new_places[i], i);
  std::multimap<std::size_t, FieldDifference> found;  // by where they are
  for (std::size_t i = 0; i < after.size(); ++i) {
    const auto was = old.find(new_places[i]);
    if (was == old.end()) found.emplace(i, FieldDifference{after[i].name, std::nullopt, after[i].value});
    else if (before[was->second].value != after[i].value)
      found.emplace(i, FieldDifference{after[i].name, before[was->second].value, after[i].value});
  }
  for (std::size_t i = 0; i < before.size(); ++i)
    if (!now.contains(old_places[i])) found.emplace(i, FieldDifference{before[i].name, before[i].value, std::nullopt});
  std::vector<FieldDifference> differences;
  for (auto& [place, difference] : found) differences.push_back(std::move(difference));
  if (differences.empty() && old_places != new_places) differences.push_back({"order", names_of(before), names_of(after)});
  return differences;
}

bool are_akin(const std::vector<FieldDifference>& differences) {
  return std::all_of(differences.begin(), differences.end(), [](const FieldDifference& each) {
    return !each.before || !each.after || likeness(*each.before, *each.after) >= 0.5;
  });
}

}  // namespace cairn::cache

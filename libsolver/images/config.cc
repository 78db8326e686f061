// SPDX-License-Identifier: Apache-2.0
#include "libsolver/images/config.h"

#include <algorithm>
#include <array>
#include <map>

#include "libbase/base64.h"
#include "libsolver/images/json_parts.h"
#include "libsolver/wire/go_json.h"
#include "libsolver/wire/go_time.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr const char* search_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr const char* exporter_comment = "buildkit.exporter.image.v0";
constexpr const char* no_description = "created by buildkit";

// One entry of a history: what is known of it, and what else it has, as it is written.
struct Entry {
  std::map<std::string, std::string, std::less<>> known;  // JSON by name
  std::vector<JsonPart> others;

  static constexpr std::array<std::string_view, 5> names = {"created", "created_by", "author", "comment",
                                                            "empty_layer"};
  bool is_empty_layer() const { return known.contains("empty_layer"); }
  bool has_time() const { return known.contains("created"); }
  void set_time(base::WallTime time) { known["created"] = wire::go_json(go_time(time)); }
  std::string json() const {
    wire::GoJsonObject object;
    for (const std::string_view name : names) {
      if (const auto value = known.find(name); value != known.end()) object.raw(name, value->second);
    }
    for (const JsonPart& other : others) object.raw(other.key, other.text);
    return object.take();
  }
};
using History = std::vector<Entry>;

Result<base::WallTime> time_of(std::string_view json) { return parse_go_time(TRY(json_string(json))); }

// Keeps what Go would not leave out.
Status check_known(const std::string& name, const std::string& json, Entry& entry) {
  if (json == "null") return {};
  if (name == "empty_layer") {
    if (json != "true" && json != "false") return fail(ErrorCode::corrupt, "empty_layer is no truth value");
    if (json == "true") entry.known[name] = json;
    return {};
  }
  if (name == "created")
    TRY(time_of(json), "created");
  else if (TRY(json_string(json), "{}", name).empty())
    return {};
  entry.known[name] = json;
  return {};
}

Result<History> parse_history(std::string_view json) {
  History history;
  if (json == "null") return history;
  if (!json.starts_with('[')) return fail(ErrorCode::corrupt, "history is no list");
  for (const JsonPart& element : TRY(json_parts(json))) {
    if (!element.text.starts_with('{'))
      return fail(ErrorCode::corrupt, "entry {} of the history is no object", history.size());
    Entry entry;
    for (JsonPart& member : TRY(json_parts(element.text), "entry {} of the history", history.size())) {
      if (std::find(Entry::names.begin(), Entry::names.end(), member.key) == Entry::names.end())
        entry.others.push_back(std::move(member));
      else
        TRY(check_known(member.key, member.text, entry), "entry {} of the history", history.size());
    }
    history.push_back(std::move(entry));
  }
  return history;
}

using Members = std::map<std::string, std::string>;  // JSON by name

Result<Members> parse_members(std::string_view config) {
  const std::string compact = TRY(compact_json(config));
  if (!compact.starts_with('{')) return fail(ErrorCode::corrupt, "not a JSON object");
  Members members;
  for (JsonPart& part : TRY(json_parts(compact))) members.emplace(std::move(part.key), std::move(part.text));
  return members;
}

Result<History> history_of(const Members& members) {
  const auto json = members.find("history");
  if (json == members.end()) return History();
  return parse_history(json->second);
}

// As BuildKit's, of a result of which no front end says anything.
Members default_members(const wire::Platform& platform) {
  wire::GoJsonObject process;
  process.texts("Env", {search_path}).text("WorkingDir", "/");
  Members members = {{"architecture", wire::go_json(platform.architecture)},
                     {"config", process.take()},
                     {"os", wire::go_json(platform.os)}};
  if (!platform.variant.empty()) members["variant"] = wire::go_json(platform.variant);
  if (!platform.os_version.empty()) members["os.version"] = wire::go_json(platform.os_version);
  if (!platform.os_features.empty()) members["os.features"] = wire::go_json(platform.os_features);
  return members;
}

// As many entries that are not empty as there are layers.
void match_layers(History& history, const std::vector<ConfigFacts::Layer>& layers) {
  std::size_t matched = 0;
  for (Entry& entry : history) {
    if (entry.is_empty_layer()) continue;
    if (matched == layers.size())
      entry.known["empty_layer"] = "true";
    else
      ++matched;
  }
  for (; matched < layers.size(); ++matched) {
    const ConfigFacts::Layer& layer = layers[matched];
    Entry& entry = history.emplace_back();
    entry.set_time(layer.created);
    entry.known["created_by"] = wire::go_json(layer.description.empty() ? no_description : layer.description);
    entry.known["comment"] = wire::go_json(exporter_comment);
  }
}

// Entries without a layer get the time of the first layer that is new, or else that of the last entry that has one.
void fill_times(History& history, const std::vector<ConfigFacts::Layer>& layers) {
  std::size_t layer = 0;
  for (Entry& entry : history) {
    if (entry.is_empty_layer()) continue;
    if (!entry.has_time()) entry.set_time(layers[layer].created);
    ++layer;
  }
  std::string time;
  bool is_missing = false;
  for (const Entry& entry : history) {
    if (!entry.has_time()) {
      is_missing = true;
      continue;
    }
    time = entry.known.at("created");
    if (is_missing) break;
  }
  is_missing = false;
  for (Entry& entry : history) {
    if (entry.has_time()) {
      if (is_missing) time = entry.known.at("created");
      continue;
    }
    is_missing = true;
    if (!time.empty()) entry.known["created"] = time;
  }
}

// What the base image says of itself stays as it is.
Status clamp_times(History& history, const History& base_history, base::WallTime epoch) {
  bool is_base = true;
  for (std::size_t i = 0; i < history.size(); ++i) {
    is_base = is_base && i < base_history.size() && history[i].json() == base_history[i].json();
    if (is_base) continue;
    if (!history[i].has_time() || TRY(time_of(history[i].known.at("created"))) > epoch) history[i].set_time(epoch);
  }
  return {};
}

std::string rootfs_json(const std::vector<ConfigFacts::Layer>& layers) {
  std::vector<std::string> diffs;
  for (const ConfigFacts::Layer& layer : layers) diffs.push_back(layer.diff.str());
  wire::GoJsonObject rootfs;
  return rootfs.text("type", "layers").texts("diff_ids", diffs).take();
}

std::string history_json(const History& history) {
  std::string text = "[";
  for (const Entry& entry : history) text += (text.size() > 1 ? "," : "") + entry.json();
  return text + "]";
}

Status set_creation(Members& members, const History& history, std::optional<base::WallTime> epoch) {
  const auto created = members.find("created");
  if (created != members.end() && created->second != "null") {
    const base::WallTime time = TRY(time_of(created->second), "created");
    if (epoch && time > *epoch) created->second = wire::go_json(go_time(*epoch));
    return {};
  }
  members.erase("created");
  const auto last = std::find_if(history.rbegin(), history.rend(), [](const Entry& each) { return each.has_time(); });
  if (last != history.rend())
    members["created"] = last->known.at("created");
  else if (epoch)
    members["created"] = wire::go_json(go_time(*epoch));
  return {};
}

}  // namespace

Result<std::string> write_image_config(std::string_view config, std::string_view base_config,
                                       const ConfigFacts& facts) {
  Members members = default_members(facts.platform);
  if (!config.empty()) members = TRY(parse_members(config), "image config");
  History history = TRY(history_of(members), "image config");
  match_layers(history, facts.layers);
  fill_times(history, facts.layers);
  std::optional<base::WallTime> epoch;
  if (facts.epoch) {
    epoch = base::WallTime(std::chrono::seconds(*facts.epoch));
    History base_history;
    if (!base_config.empty())
      base_history = TRY(history_of(TRY(parse_members(base_config), "config of the base image")), "base image");
    TRY(clamp_times(history, base_history, *epoch), "image config");
  }
  members["rootfs"] = rootfs_json(facts.layers);
  members["history"] = history_json(history);
  TRY(set_creation(members, history, epoch), "image config");
  members.erase("moby.buildkit.cache.v0");  // the base image's leads to other layers
  if (!facts.inline_cache.empty())
    members["moby.buildkit.cache.v0"] = wire::go_json(base::base64(facts.inline_cache));
  wire::GoJsonObject object;
  for (const auto& [name, json] : members) object.raw(name, json);
  return object.take();
}

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/convert/image_config.h"

#include <algorithm>
#include <ctime>

#include <nlohmann/json.hpp>

#include "libdockerfile/parse/refuse.h"
#include "libsolver/wire/go_json.h"

namespace cairn::dockerfile {
namespace {

using nlohmann::json;
using solver::wire::go_json;
using solver::wire::GoJsonObject;

// Fields of one object; what has another type than it should is remembered.
class Reader {
 public:
  explicit Reader(const json& object) : object_(object) {}
  bool is_wrong() const { return wrong_; }

  void text(const char* key, std::string& out) {
    if (const json* value = get(key, &json::is_string)) out = value->get<std::string>();
  }
  void flag(const char* key, bool& out) {
    if (const json* value = get(key, &json::is_boolean)) out = value->get<bool>();
  }
  template <class T>
  void number(const char* key, T& out) {
    if (const json* value = get(key, &json::is_number_integer)) out = value->get<T>();
  }
  void texts(const char* key, std::vector<std::string>& out) {
    const json* value = get(key, &json::is_array);
    if (value == nullptr) return;
    for (const json& element : *value) {
      if (element.is_string())
        out.push_back(element.get<std::string>());
      else
        wrong_ = true;
    }
  }
  const json* object(const char* key) { return get(key, &json::is_object); }
  const json* array(const char* key) { return get(key, &json::is_array); }

 private:
  template <class Is>
  const json* get(const char* key, Is is) {
    const auto found = object_.find(key);
    if (found == object_.end() || found->is_null()) return nullptr;
    if ((*found.*is)()) return &*found;
    wrong_ = true;
    return nullptr;
  }
  const json& object_;
  bool wrong_ = false;
};

bool read_health(const json& object, HealthCheck& health) {
  Reader reader(object);
  reader.texts("Test", health.test);
  reader.number("Interval", health.interval);
  reader.number("Timeout", health.timeout);
  reader.number("StartPeriod", health.start_period);
  reader.number("StartInterval", health.start_interval);
  reader.number("Retries", health.retries);
  return !reader.is_wrong();
}

bool read_container(const json& object, ImageConfig& config) {
  Reader reader(object);
  reader.text("User", config.user);
  reader.text("WorkingDir", config.working_dir);
  reader.text("StopSignal", config.stop_signal);
  reader.texts("Env", config.env);
  reader.texts("Entrypoint", config.entrypoint);
  reader.texts("Cmd", config.cmd);
  reader.texts("OnBuild", config.on_build);
  reader.texts("Shell", config.shell);
  reader.flag("ArgsEscaped", config.args_escaped);
  bool ok = true;
  if (const json* ports = reader.object("ExposedPorts")) {
    for (const auto& [port, ignored] : ports->items()) config.exposed_ports.insert(port);
  }
  if (const json* volumes = reader.object("Volumes")) {
    for (const auto& [volume, ignored] : volumes->items()) config.volumes.insert(volume);
  }
  if (const json* labels = reader.object("Labels")) {
    for (const auto& [key, value] : labels->items()) {
      if (value.is_string())
        config.labels[key] = value.get<std::string>();
      else
        ok = false;
    }
  }
  if (const json* health = reader.object("Healthcheck")) ok = read_health(*health, config.health_check.emplace()) && ok;
  return ok && !reader.is_wrong();
}

bool read_history(const json& entry, History& history) {
  if (!entry.is_object()) return false;
  Reader reader(entry);
  reader.text("created", history.created);
  reader.text("created_by", history.created_by);
  reader.text("author", history.author);
  reader.text("comment", history.comment);
  reader.flag("empty_layer", history.empty_layer);
  return !reader.is_wrong();
}

void put(GoJsonObject& out, const char* key, const std::string& value) {
  if (!value.empty()) out.text(key, value);
}
void put(GoJsonObject& out, const char* key, const std::vector<std::string>& values) {
  if (!values.empty()) out.texts(key, values);
}
void put(GoJsonObject& out, const char* key, std::int64_t value) {
  if (value != 0) out.number(key, value);
}
void put(GoJsonObject& out, const char* key, const std::set<std::string>& keys) {
  if (keys.empty()) return;
  GoJsonObject object;
  for (const std::string& each : keys) object.raw(each, "{}");
  out.raw(key, object.take());
}

std::string print_container(const ImageConfig& config) {
  GoJsonObject out;
  put(out, "User", config.user);
  put(out, "ExposedPorts", config.exposed_ports);
  put(out, "Env", config.env);
  put(out, "Entrypoint", config.entrypoint);
  put(out, "Cmd", config.cmd);
  put(out, "Volumes", config.volumes);
  put(out, "WorkingDir", config.working_dir);
  if (!config.labels.empty()) {
    GoJsonObject labels;
    for (const auto& [key, value] : config.labels) labels.text(key, value);
    out.raw("Labels", labels.take());
  }
  put(out, "StopSignal", config.stop_signal);
  if (config.args_escaped) out.raw("ArgsEscaped", "true");
  if (config.health_check) {
    GoJsonObject health;
    put(health, "Test", config.health_check->test);
    put(health, "Interval", config.health_check->interval);
    put(health, "Timeout", config.health_check->timeout);
    put(health, "StartPeriod", config.health_check->start_period);
    put(health, "StartInterval", config.health_check->start_interval);
    put(health, "Retries", config.health_check->retries);
    out.raw("Healthcheck", health.take());
  }
  put(out, "OnBuild", config.on_build);
  put(out, "Shell", config.shell);
  return out.take();
}

std::string print_history(const std::vector<History>& entries) {
  std::string list = "[";
  for (const History& entry : entries) {
    GoJsonObject out;
    put(out, "created", entry.created);
    put(out, "created_by", entry.created_by);
    put(out, "author", entry.author);
    put(out, "comment", entry.comment);
    if (entry.empty_layer) out.raw("empty_layer", "true");
    if (list.size() > 1) list += ',';
    list += out.take();
  }
  return list + ']';
}

}  // namespace

base::Result<ImageConfig> parse_image_config(std::string_view text) {
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return refuse("failed to parse image config: not a JSON object");
  ImageConfig config;
  Reader reader(document);
  reader.text("created", config.created);
  reader.text("author", config.author);
  reader.text("architecture", config.platform.architecture);
  reader.text("os", config.platform.os);
  reader.text("os.version", config.platform.os_version);
  reader.texts("os.features", config.platform.os_features);
  reader.text("variant", config.platform.variant);
  bool ok = true;
  if (const json* rootfs = reader.object("rootfs")) {
    Reader fields(*rootfs);
    fields.text("type", config.rootfs_type);
    if (fields.array("diff_ids") != nullptr) fields.texts("diff_ids", config.diff_ids.emplace());
    ok = !fields.is_wrong();
  }
  if (const json* history = reader.array("history")) {
    for (const json& entry : *history) {
      History line;
      ok = read_history(entry, line) && ok;
      config.history.push_back(std::move(line));
    }
  }
  if (const json* container = reader.object("config")) ok = read_container(*container, config) && ok;
  if (!ok || reader.is_wrong()) return refuse("failed to parse image config: a field has the wrong type");
  return config;
}

std::string print_image_config(const ImageConfig& config) {
  GoJsonObject out;
  put(out, "created", config.created);
  put(out, "author", config.author);
  out.text("architecture", config.platform.architecture);
  out.text("os", config.platform.os);
  put(out, "os.version", config.platform.os_version);
  put(out, "os.features", config.platform.os_features);
  put(out, "variant", config.platform.variant);
  GoJsonObject rootfs;
  rootfs.text("type", config.rootfs_type);
  rootfs.raw("diff_ids", config.diff_ids ? go_json(*config.diff_ids) : "null");
  out.raw("rootfs", rootfs.take());
  const std::vector<History> history = config.history.entries();
  if (!history.empty()) out.raw("history", print_history(history));
  out.raw("config", print_container(config));
  return out.take();
}

ImageConfig empty_image(const Platform& platform) {
  ImageConfig config;
  config.platform = platform;
  config.rootfs_type = "layers";
  config.working_dir = "/";
  const std::string path = default_path(platform.os);
  config.env = {"PATH=" + path};
  return config;
}

std::string default_path(std::string_view os) {
  if (os == "windows") return "c:\\Windows\\System32;c:\\Windows;C:\\Windows\\System32\\WindowsPowerShell\\v1.0";
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

std::string print_time(std::int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  if (gmtime_r(&time, &parts) == nullptr) return {};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace cairn::dockerfile

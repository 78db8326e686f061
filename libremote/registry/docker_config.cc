// SPDX-License-Identifier: Apache-2.0
#include "libremote/docker_config.h"

#include <stdlib.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "libbase/base64.h"
#include "libbase/fs/fd.h"
#include "libremote/registry/credential_helper.h"
#include "libremote/registry/credentials.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using nlohmann::json;

namespace {

constexpr std::size_t config_bytes_max = 4 << 20;
// docker.io as `docker login` writes it.
constexpr const char* docker_hub_key =
    "https://index."
    "docker.io/v1/";

// The address under which `docker login` keeps a registry.
std::string key_of(const std::string& registry) { return registry == "docker.io" ? docker_hub_key : registry; }

// The registry that a key is of: without scheme and path.
std::string_view registry_of(std::string_view key) {
  if (const std::size_t scheme = key.find("://"); scheme != key.npos) key.remove_prefix(scheme + 3);
  key = key.substr(0, key.find('/'));
  const std::string_view hub = std::string_view(docker_hub_key).substr(8, std::string_view(docker_hub_key).find('/', 8) - 8);
  return key == hub || key == fmt::format("registry-1.{}", "docker.io") ? "docker.io" : key;
}

std::string text_in(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The parts of a map by registry: the key as it stands, else one that means the same, the shortest first.
template <class Value>
const Value* find_by_registry(const std::map<std::string, Value>& map, const std::string& registry) {
  for (const std::string& key : {key_of(registry), registry}) {
    if (const auto exact = map.find(key); exact != map.end()) return &exact->second;
  }
  const std::pair<const std::string, Value>* best = nullptr;
  for (const auto& entry : map) {
    if (registry_of(entry.first) != registry) continue;
    if (best == nullptr || entry.first.size() < best->first.size()) best = &entry;
  }
  return best == nullptr ? nullptr : &best->second;
}

// "user:secret" and where it is from. Errors: invalid_argument (what could not be told from that second line).
Result<std::string> joined(const std::string& user, const std::string& secret, const std::string& from) {
  const auto breaks = [](const std::string& text) { return text.find_first_of(std::string("\n\r\0", 3)) != text.npos; };
  if (breaks(user) || breaks(secret) || user.find(':') != user.npos)
    return fail(ErrorCode::invalid_argument, "{}: the user or the password holds what none may hold", from);
  return user + ":" + secret + "\n" + from;
}

std::string variable(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? std::string() : value;
}

}  // namespace

Result<DockerConfig> DockerConfig::of_environment(Options options) {
  std::string file = variable("REGISTRY_AUTH_FILE");
  if (file.empty()) {
    std::string dir = variable("DOCKER_CONFIG");
    if (dir.empty() && !variable("HOME").empty()) dir = variable("HOME") + "/.docker";
    if (dir.empty()) return parse("{}", "", options);
    file = dir + "/config.json";
  }
  const auto path = TRY(base::HostPath::from_user(file));
  const auto bytes = base::read_file(path, config_bytes_max);
  if (!bytes && bytes.error().code == ErrorCode::not_found) return parse("{}", path.str(), options);
  if (!bytes) return tl::unexpected(bytes.error());
  return parse(*bytes, path.str(), options);
}

Result<DockerConfig> DockerConfig::parse(std::string_view text, std::string name, Options options) {
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object()) return fail(ErrorCode::invalid_argument, "{}: it is no JSON object", name);
  DockerConfig config;
  config.name_ = std::move(name);
  config.options_ = options;
  config.store_ = text_in(document, "credsStore");
  if (const auto auths = document.find("auths"); auths != document.end() && !auths->is_null()) {
    if (!auths->is_object()) return fail(ErrorCode::invalid_argument, "{}: \"auths\" is no object", config.name_);
    for (const auto& [key, entry] : auths->items()) {
      if (!entry.is_object())
        return fail(ErrorCode::invalid_argument, "{}: the entry \"{}\" is no object", config.name_, key.substr(0, 200));
      config.entries_[key] = {text_in(entry, "auth"), text_in(entry, "username"), text_in(entry, "password"),
                              text_in(entry, "identitytoken"), text_in(entry, "registrytoken")};
    }
  }
  if (const auto helpers = document.find("credHelpers"); helpers != document.end() && !helpers->is_null()) {
    if (!helpers->is_object()) return fail(ErrorCode::invalid_argument, "{}: \"credHelpers\" is no object", config.name_);
    for (const auto& [key, helper] : helpers->items()) {
      if (!helper.is_string())
        return fail(ErrorCode::invalid_argument, "{}: the helper of \"{}\" is no text", config.name_, key.substr(0, 200));
      config.helpers_[key] = helper.get<std::string>();
    }
  }
  return config;
}

const DockerConfig::Entry* DockerConfig::find(const std::string& registry) const {
  return find_by_registry(entries_, registry);
}

std::string DockerConfig::helper_of(const std::string& registry) const {
  const std::string* of_registry = find_by_registry(helpers_, registry);
  return of_registry == nullptr ? store_ : *of_registry;
}

Result<std::string> DockerConfig::credentials(const std::string& registry) const {
  if (const std::string helper = helper_of(registry); !helper.empty()) {
    const auto answer = TRY(ask_credential_helper(helper, key_of(registry), options_.helper_time), "{}", name_);
    if (!answer.user.empty() || !answer.secret.empty()) {
      return joined(answer.user, answer.secret, fmt::format("docker-credential-{} ({})", helper, name_));
    }
  }
  // A helper that keeps nothing leaves an entry without anything in it, too.
  const Entry* entry = find(registry);
  if (entry == nullptr || entry->is_empty()) return std::string();
  if (!entry->registry_token.empty()) return joined(registry_token_user, entry->registry_token, name_);
  if (!entry->identity_token.empty()) return joined(identity_token_user, entry->identity_token, name_);
  if (entry->auth.empty()) return joined(entry->user, entry->password, name_);
  auto plain = base::from_base64(entry->auth);
  const std::size_t colon = plain ? plain->find(':') : std::string::npos;
  if (colon == std::string::npos)
    return fail(ErrorCode::invalid_argument, "{}: \"auth\" of {} is not the base64 of USER:PASSWORD", name_, registry);
  std::string password = plain->substr(colon + 1);
  while (password.ends_with('\0')) password.pop_back();  // some have padded it
  return joined(plain->substr(0, colon), password, name_);
}

}  // namespace cairn::remote

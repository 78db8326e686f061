// SPDX-License-Identifier: Apache-2.0
// What a user is logged in with: the file that `docker login` and its like write, and the helper programs that it names.
// Read with the rights of whoever asks, so by the client and never by an owner of another user.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::remote {

class DockerConfig {
 public:
  struct Options {
    std::chrono::milliseconds helper_time{30'000};  // how long a helper may take
  };

  // $REGISTRY_AUTH_FILE, else $DOCKER_CONFIG/config.json, else ~/.docker/config.json; a file that is not there is one
  // that says nothing. Errors: those of parse(), and of reading it.
  static base::Result<DockerConfig> of_environment(Options options);
  static base::Result<DockerConfig> of_environment() { return of_environment(Options()); }
  // name: what messages call it. Errors: invalid_argument (not such a file).
  static base::Result<DockerConfig> parse(std::string_view json, std::string name, Options options);

  // What a registry ("ghcr.io", "docker.io", "127.0.0.1:5000") is to be told, as cache::Registries::open takes it, with
  // where it is from; "": nobody is logged in there. Runs the helper of this registry, if there is one: it gets the
  // environment of this process and its standard error goes nowhere. Errors: invalid_argument (an entry that cannot be
  // read), unavailable (the helper cannot be run, fails, says nothing that can be used, or takes too long).
  // Thread-safe. Messages hold no secret.
  base::Result<std::string> credentials(const std::string& registry) const;

 private:
  struct Entry {
    std::string auth, user, password, identity_token, registry_token;
    bool is_empty() const { return auth.empty() && user.empty() && identity_token.empty() && registry_token.empty(); }
  };
  const Entry* find(const std::string& registry) const;
  std::string helper_of(const std::string& registry) const;

  std::string name_;
  Options options_;
  std::map<std::string, Entry> entries_;        // by the key as it stands
  std::map<std::string, std::string> helpers_;  // by registry, as it stands
  std::string store_;                           // the helper of all others
};

}  // namespace cairn::remote

// SPDX-License-Identifier: Apache-2.0
// What each instruction says, checked but not expanded. Whatever holds variables is a text; where it is expanded in
// place, expand.h says so.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "libdockerfile/diagnostics.h"
#include "libdockerfile/parse/arguments.h"
#include "libdockerfile/parse/heredoc.h"

namespace cairn::dockerfile {

// A command in exec form (a list) or in shell form (one text for the shell).
struct CommandLine {
  std::vector<std::string> words;
  bool for_shell = false;
  std::vector<Heredoc> files;
};

struct Run {
  CommandLine line;
  std::vector<std::string> mounts;  // as written; mount.h reads them
  std::string network = "default", security = "sandbox";
};

struct InlineFile {
  std::string name, data;
  bool expand = true;
};
struct Copy {
  bool is_add = false;
  std::vector<std::string> sources;
  std::vector<InlineFile> files;
  std::string dest;
  std::string from, chown, chmod, checksum;
  bool link = false, parents = false;
  std::vector<std::string> excludes;
  std::optional<bool> keep_git_dir, unpack;
};

struct Env {
  std::vector<KeyValue> pairs;
};
struct Label {
  std::vector<KeyValue> pairs;
};
struct Arg {
  struct Entry {
    std::string key;
    std::optional<std::string> value;
    std::string comment;  // what the lines before say of it
  };
  std::vector<Entry> entries;
};
struct Cmd {
  CommandLine line;
};
struct Entrypoint {
  CommandLine line;
};
struct Expose {
  std::vector<std::string> ports;
};
struct Volume {
  std::vector<std::string> paths;
};
struct Shell {
  std::vector<std::string> words;
};
struct Workdir {
  std::string path;
};
struct User {
  std::string name;
};
struct StopSignal {
  std::string signal;
};
struct Maintainer {
  std::string name;
};
struct OnBuild {
  std::string trigger;
};
struct HealthCheck {
  std::vector<std::string> test;
  std::int64_t interval = 0, timeout = 0, start_period = 0, start_interval = 0;  // nanoseconds
  int retries = 0;
};

struct Command {
  std::variant<Run, Copy, Env, Label, Arg, Cmd, Entrypoint, Expose, Volume, Shell, Workdir, User, StopSignal,
               Maintainer, OnBuild, HealthCheck>
      what;
  std::string name;  // as written
  std::string code;  // as written
  Lines lines;
  bool is_on_build = false;  // a trigger of the base
};

struct Stage {
  std::string base;      // as written
  std::string name;      // in lower case; "": none
  std::string platform;  // of --platform
  std::string code;
  std::string comment;  // what the lines before say of it
  std::vector<Command> commands;
  Lines lines;
};

}  // namespace cairn::dockerfile

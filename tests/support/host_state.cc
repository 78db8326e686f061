// SPDX-License-Identifier: Apache-2.0
// Reading /proc and directories.
#include "tests/support/host_state.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <thread>

namespace cairn::test {

std::string read_text(const std::string& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> names_in(const base::HostPath& dir) {
  std::vector<std::string> names;
  ::DIR* stream = ::opendir(dir.c_str());
  if (stream == nullptr) return names;
  while (const struct ::dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<int> find_process(std::string_view argument) {
  const std::string wanted = std::string(1, '\0').append(argument).append(1, '\0');
  for (const std::string& name : names_in(*base::HostPath::parse("/proc"))) {
    int pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size() || pid == ::getpid()) continue;
    // A zombie's command line is empty.
    if (('\0' + read_text("/proc/" + name + "/cmdline")).find(wanted) != std::string::npos) return pid;
  }
  return std::nullopt;
}

bool eventually(const std::function<bool()>& holds, std::chrono::seconds bound) {
  const auto end = std::chrono::steady_clock::now() + bound;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace cairn::test

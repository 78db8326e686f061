// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/follow_paths.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <deque>
#include <set>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libcache/pattern.h"

namespace cairn::solver {
namespace {

using base::Result;
using base::Status;

constexpr int links_max = 255;
constexpr std::size_t paths_max = 10'000;  // links with wildcards in them can multiply

std::string join(std::string_view parent, std::string_view rest) {
  if (parent.empty()) return std::string(rest);
  return rest.empty() ? std::string(parent) : std::string(parent) + "/" + std::string(rest);
}

struct Work {
  std::string path;  // clean
  int links = 0;     // followed to get here
};

class Follower {
 public:
  explicit Follower(int dir) : dir_(dir) {}

  Status follow(std::string_view path) {
    TRY(add(path, 0));
    while (!work_.empty()) {
      const Work next = std::move(work_.front());
      work_.pop_front();
      TRY(step(next));
    }
    return {};
  }

  const std::set<std::string>& found() const { return found_; }

 private:
  Status add(std::string_view text, int links) {
    // As path.Join("/", text): ".." never leads out.
    std::string path = TRY(base::TreePath::clean(text)).str();
    if (links > links_max || !seen_.insert(path).second) return {};
    if (seen_.size() > paths_max) {
      return base::fail(base::ErrorCode::invalid_argument, "followed links lead to more than {} paths", paths_max);
    }
    work_.push_back({std::move(path), links});
    return {};
  }

  // Goes down the path to the first component that is a link (or a wildcard that matches links); notes it, and queues
  // what it leads to. Without a link the whole path is noted.
  Status step(const Work& work) {
    std::string_view rest = work.path;
    std::string current;
    while (true) {
      const auto slash = rest.find('/');
      const std::string_view name = rest.substr(0, slash);
      rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
      const auto targets = TRY(link_targets(current, name));
      current = join(current, name);
      if (!targets.empty()) {
        found_.insert(current);
        for (const auto& target : targets) TRY(add(join(target, rest), work.links + 1));
        return {};
      }
      if (rest.empty()) {
        found_.insert(current);
        return {};
      }
    }
  }

  // Where the links lead that `name` in `parent` stands for: one if it is a link itself, several if it is a wildcard.
  Result<std::vector<std::string>> link_targets(const std::string& parent, std::string_view name) {
    std::vector<std::string> targets;
    const auto place = base::TreePath::parse(parent);
    if (!place || name.empty()) return targets;
    const auto folder = base::open_beneath(dir_, *place, O_RDONLY | O_DIRECTORY);
    if (!folder) return targets;  // nothing there, or no directory: nothing to follow
    if (!cache::has_wildcard(name)) {
      TRY(read_link(folder->get(), parent, std::string(name), targets));
      return targets;
    }
    const auto entries = TRY(base::list_dir(folder->get()), "list {}", parent);
    for (const auto& entry : entries) {
      const auto matched = cache::path_match(name, entry.name);
      if (matched && *matched) TRY(read_link(folder->get(), parent, entry.name, targets));
    }
    return targets;
  }

  Status read_link(int folder, const std::string& parent, const std::string& name, std::vector<std::string>& targets) {
    std::array<char, PATH_MAX> buffer;
    const ssize_t size = ::readlinkat(folder, name.c_str(), buffer.data(), buffer.size());
    if (size < 0) {
      // EINVAL: not a link. The others: it is gone, or never was.
      if (errno == EINVAL || errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG) return {};
      return base::fail_errno(errno, "read the link {}", join(parent, name));
    }
    const std::string_view target(buffer.data(), static_cast<std::size_t>(size));
    targets.push_back(target.starts_with('/') ? std::string(target) : join(parent, target));
    return {};
  }

  int dir_;
  std::deque<Work> work_;
  std::set<std::string> seen_;
  std::set<std::string> found_;
};

}  // namespace

Result<std::optional<std::vector<std::string>>> follow_paths(int dir, const std::vector<std::string>& paths) {
  Follower follower(dir);
  for (const auto& path : paths) TRY(follower.follow(path));
  std::vector<std::string> kept;
  for (const auto& path : follower.found()) {
    if (path.empty()) return std::nullopt;
    const bool below = !kept.empty() && path.starts_with(kept.back() + "/");
    if (!below) kept.push_back(path);
  }
  return kept;
}

}  // namespace cairn::solver

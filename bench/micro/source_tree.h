// SPDX-License-Identifier: Apache-2.0
// A source tree of 80,000 files for benchmarks, with the shape of a kernel's sources: 1.3 GB in 5,000 directories, half of
// the files below 5 KB. It is made below CAIRN_BENCH_DIR (default /tmp), always the same, and goes with the object.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/fs/host_tree.h"

namespace cairn::bench {

template <class T>
T must(base::Result<T> result) {
  CHECK(result.has_value(), "{}", result.error().message);
  return std::move(*result);
}
inline void must(const base::Status& status) { CHECK(status.has_value(), "{}", status.error().message); }

inline base::HostPath place() {
  const char* wanted = ::getenv("CAIRN_BENCH_DIR");
  return must(base::HostPath::from_user(wanted != nullptr ? wanted : "/tmp"));
}

class SourceTree {
 public:
  static constexpr std::size_t directories = 5'000, files_each = 16;

  SourceTree() : dir_(must(base::TemporaryDir::create(place(), "cairn-bench-"))) {
    std::mt19937 random(20261126);
    std::lognormal_distribution<double> sizes(std::log(5'000.0), 1.5);
    std::string bytes(4 << 20, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    std::vector<std::string> made = {dir_.path().str()};
    for (std::size_t d = 0; d < directories; ++d) {
      // A new directory is in one that was made before, so that depths spread as they do in sources.
      const std::string path = made[random() % made.size()] + "/directory-" + std::to_string(d);
      CHECK(::mkdir(path.c_str(), 0755) == 0);
      for (std::size_t f = 0; f < files_each; ++f) {
        const auto size = std::min(bytes.size(), static_cast<std::size_t>(sizes(random)));
        const auto from = random() % (bytes.size() - size + 1);
        const base::HostPath file = must(base::HostPath::parse(path + "/source-file-" + std::to_string(f) + ".c"));
        const base::Fd fd = must(base::open_host(file, O_WRONLY | O_CREAT | O_EXCL, 0644));
        must(base::write_full(fd.get(), std::string_view(bytes).substr(from, size)));
      }
      made.push_back(path);
    }
  }
  const base::HostPath& path() const { return dir_.path(); }

 private:
  base::TemporaryDir dir_;
};

}  // namespace cairn::bench

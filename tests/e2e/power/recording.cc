// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/power/recording.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "tests/support/must.h"

namespace cairn::test {
namespace {

// The first flushes are those of a store that is being made.
constexpr std::size_t always = 4, sample_boundaries = 10, sample_points = 6;

}  // namespace

Recording record(FileSystem kind, const std::function<void(const base::HostPath&, FuseDisk&, const LoopDevice&)>& work,
                 const std::string& mount_options) {
  must(own_mounts());
  Recording recording{kind, memory_image(smallest_disk(kind)), nullptr, {}};
  must(make_file_system(kind, must(LoopDevice::attach(recording.before.get())).path()));
  const base::Fd image = image_after(recording.before.get(), {}, {});
  recording.disk = std::make_unique<FuseDisk>(image.get());
  {
    const base::Fd file(::open(recording.disk->file().c_str(), O_RDWR | O_CLOEXEC));
    CHECK(file, "open the recorded disk: {}", ::strerror(errno));
    const LoopDevice device = must(LoopDevice::attach(file.get()));
    const TempDir where;
    auto mount = Mount::make(kind, device.path(), where.path(), mount_options);
    CHECK(mount, "{}", mount.error().message);
    work(where.path(), *recording.disk, device);
    recording.disk->switches().recording = 0;  // nothing is asked of what happens from here on
    CHECK(mount->unmount(), "the recorded file system is still in use");
  }
  recording.records = recording.disk->log().records();
  return recording;
}

std::vector<Cut> choose_cuts(const std::vector<DiskRecord>& records, Reach reach, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::size_t> ends = flush_boundaries(records);
  std::vector<Cut> cuts;
  if (reach == Reach::full) {
    for (std::size_t end = ends.empty() ? 0 : ends.front(); end <= records.size(); ++end) cuts.push_back(prefix_cut(end));
    for (std::size_t i = 0; i < ends.size() / 2; ++i)
      cuts.push_back(lossy_cut(records, random() % (records.size() + 1), random()));
    return cuts;
  }
  std::shuffle(ends.begin() + static_cast<std::ptrdiff_t>(std::min(always, ends.size())), ends.end(), random);
  ends.resize(std::min(ends.size(), sample_boundaries));
  for (const std::size_t end : ends) cuts.push_back(prefix_cut(end));
  for (std::size_t i = 0; i < sample_points; ++i) {
    const std::size_t end = random() % (records.size() + 1);
    cuts.push_back(i % 3 == 0 ? prefix_cut(end) : lossy_cut(records, end, random()));
  }
  return cuts;
}

}  // namespace cairn::test

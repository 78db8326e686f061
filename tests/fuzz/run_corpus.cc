// SPDX-License-Identifier: Apache-2.0
// A main() for a fuzz target that is built without libFuzzer: it runs every file below the folders (or files) of its
// command line once, in bytewise order. No input at all is a failure, for then nothing was tested.
#include <sys/stat.h>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "libbase/fs/beneath.h"
#include "libbase/fs/fd.h"
#include "libbase/fs/host_tree.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using cairn::base::HostPath;
using cairn::base::Result;

constexpr std::size_t input_size_max = 64 << 20;

Result<std::size_t> run_below(const HostPath& path) {
  const auto fd = TRY(cairn::base::open_host(path, 0));
  if (!S_ISDIR(TRY(cairn::base::stat_fd(fd.get())).st_mode)) {
    const std::string input = TRY(cairn::base::read_all(fd.get(), input_size_max), "{}", path.str());
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
    return std::size_t{1};
  }
  std::size_t count = 0;
  for (const std::string& name : TRY(cairn::base::list_host_dir(path))) count += TRY(run_below(path / name));
  return count;
}

Result<std::size_t> run_all(int argc, char** argv) {
  std::size_t count = 0;
  for (int i = 1; i < argc; ++i) count += TRY(run_below(TRY(HostPath::from_user(argv[i]))));
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  const Result<std::size_t> count = run_all(argc, argv);
  if (!count) {
    std::fprintf(stderr, "%s: %s\n", argv[0], count.error().message.c_str());
    return 1;
  }
  std::printf("%zu inputs\n", *count);
  return *count > 0 ? 0 : 1;
}

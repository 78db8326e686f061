// SPDX-License-Identifier: Apache-2.0
// Applies arbitrary bytes as a layer to a directory. Whatever they are, it ends, and the only name beside the tree is
// the sentinel that was there.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "libbase/fs/beneath.h"
#include "libsnapshot/layer.h"
#include "tests/support/string_source.h"

namespace {

using namespace cairn;
using test::BytesSource;

struct Place {
  std::string path = "/tmp/cairn-layer-fuzz-XXXXXX";
  base::Fd top;

  Place() {
    CHECK(::mkdtemp(path.data()) != nullptr);
    top = base::Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK(::mkdirat(top.get(), "sentinel", 0700) == 0);
  }
  ~Place() {
    (void)::unlinkat(top.get(), "sentinel", AT_REMOVEDIR);
    (void)::rmdir(path.c_str());
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Place place;
  CHECK(::mkdirat(place.top.get(), "tree", 0755) == 0);
  base::Fd tree(::openat(place.top.get(), "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto applied = snapshot::apply_layer(snapshot::MountedTree(std::move(tree)),
                                             std::make_unique<BytesSource>(bytes),
                                             {.unpacked_max = 1 << 20, .entries_max = 200, .progress = {}, .stop = {}});
  if (applied) CHECK(applied->blob_bytes == size);
  const auto names = base::list_dir(place.top.get());
  CHECK(names && names->size() == 2 && (*names)[0].name == "sentinel" && (*names)[1].name == "tree");
  CHECK(base::remove_all_beneath(place.top.get(), *base::TreePath::parse("tree")).has_value());
  return 0;
}

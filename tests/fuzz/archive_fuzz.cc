// SPDX-License-Identifier: Apache-2.0
// Whether a file is an archive that a copy unpacks: the headers of foreign tars, decompressed; and modes in words.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "libsolver/files/mode_text.h"
#include "libsolver/files/unpack.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const cairn::base::Fd file(::memfd_create("archive", MFD_CLOEXEC));
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (!file || !cairn::base::write_full(file.get(), bytes)) std::abort();
  const auto archive = cairn::solver::is_archive(file.get());
  if (archive && *archive && size < 8) std::abort();  // no header is as short, however well it is compressed
  const auto change = cairn::solver::ModeChange::parse(bytes);
  if (change && (change->apply(0640) & ~07777u) != 0) std::abort();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/from_store.h"

#include <iostream>

#include "tools/cachectl/interrupt.h"

namespace cairn::cachectl {

base::Status write_from_store(const GlobalOptions& global, const engine::FileOrder& order) {
  const engine::StoreOptions options = TRY(store_options(global));
  const Interrupt interrupt;
  const auto write = [](std::string_view bytes) -> base::Result<bool> {
    return static_cast<bool>(std::cout.write(bytes.data(), static_cast<std::streamsize>(bytes.size())));
  };
  return engine::read_from_store(options, order, write, interrupt.token());
}

}  // namespace cairn::cachectl

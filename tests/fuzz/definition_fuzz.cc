// SPDX-License-Identifier: Apache-2.0
// Definitions from a client: loading, keys and inspecting never crash, and canonical encoding is a fixed point.
#include <cstddef>
#include <cstdint>

#include "libbase/result.h"
#include "libsolver/cache_map.h"
#include "libsolver/definition.h"
#include "libsolver/inspect.h"
#include "libsolver/wire/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::solver;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  wire::DecodeBudget budget;
  if (const auto message = wire::decode_definition(bytes, budget)) {
    const std::string canonical = wire::encode(*message);
    const auto again = wire::decode_definition(canonical, budget);
    CHECK(!again || wire::encode(*again) == canonical);
  }
  const auto loaded = load_definition(bytes);
  if (loaded) {
    for (const auto& vertex : loaded->vertices) {
      const auto maps = pure_cache_maps(*vertex, "session");
      CHECK(!maps || maps->size() == 1);
    }
  }
  CHECK(inspect_json(bytes).has_value() == loaded.has_value());
  CHECK(inspect_text(bytes).has_value() == loaded.has_value());
  return 0;
}

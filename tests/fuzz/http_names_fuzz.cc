// SPDX-License-Identifier: Apache-2.0
// Any Content-Disposition, URL and date: the name is always one safe component.
#include <cstddef>
#include <cstdint>
#include <string>

#include "libbase/result.h"
#include "libsolver/sources/http_names.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::solver;
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const std::string& name : {http_file_name("http://h/x", "", text), http_file_name("http://h/" + text, "", ""),
                                  http_file_name("http://h/x", text, "")}) {
    CHECK(!name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
          name.find('\0') == std::string::npos);
  }
  if (const auto seconds = parse_http_time(text)) CHECK(!format_http_time(*seconds).empty());
  return 0;
}

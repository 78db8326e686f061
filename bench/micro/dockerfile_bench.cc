// SPDX-License-Identifier: Apache-2.0
// A Dockerfile of 200 lines, of the kind that people have: from text to the bytes of its graph, with warnings.
#include <benchmark/benchmark.h>

#include <fmt/format.h>

#include "libdockerfile/dockerfile.h"

namespace {

using namespace cairn;

class OneImage final : public dockerfile::Facts {
 public:
  base::Result<Image> resolve_image(const std::string& reference, const dockerfile::Platform&, const std::string&,
                                    const std::string&) override {
    return Image{
        reference, "sha256:345f9f6d2b6e829ab851498fa8ef782ba2009c1e26b6e0734de629974a47927b",
        R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:0"]},"config":{"Env":["PATH=/bin"]}})"};
  }
  base::Result<std::optional<std::string>> read_file(const std::string&, const std::string&, Part) override {
    return std::nullopt;
  }
};

std::string of_lines(int lines) {
  std::string text = "ARG VERSION=1\nFROM golang:${VERSION} AS build\nRUN make\nFROM alpine\n";
  for (int i = 4; i < lines; ++i) {
    switch (i % 20) {
      case 0: text += fmt::format("FROM alpine AS stage{}\n", i); break;
      case 1: text += fmt::format("ARG A{0}=${{VERSION:-{0}}}\n", i); break;
      case 5: text += fmt::format("ENV E{0}=\"value {0}\" P=$PATH:/x{0}\n", i); break;
      case 9: text += "WORKDIR /src\n"; break;
      case 13: text += fmt::format("COPY --from=build --chown=app:app --link /out/{0} ./{0}/\n", i); break;
      case 17: text += fmt::format("COPY a{0} b{0} /dst{0}/\n", i); break;
      default:
        text +=
            fmt::format("RUN --mount=type=cache,target=/cache{0},id=$VERSION make target{0} && echo \"$E{0}\"\n", i);
    }
  }
  return text;
}

void parse_and_convert(benchmark::State& state) {
  const std::string text = of_lines(static_cast<int>(state.range(0)));
  OneImage facts;
  dockerfile::Options options;
  options.session_id = "session";
  options.build_platform.os = "linux";
  options.build_platform.architecture = "amd64";
  for (auto _ : state) {
    dockerfile::Diagnostics diagnostics;
    auto built = dockerfile::convert_dockerfile(text, options, facts, diagnostics);
    if (!built || built->images.at(0).definition.empty()) {
      state.SkipWithError("it does not convert");
      return;
    }
    benchmark::DoNotOptimize(built);
  }
}
BENCHMARK(parse_and_convert)->Arg(200)->Arg(2000)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();

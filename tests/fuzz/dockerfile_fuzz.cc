// SPDX-License-Identifier: Apache-2.0
// Any text as a Dockerfile, with images that have triggers of their own. What is made of it must be a graph that loads.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "libdockerfile/dockerfile.h"
#include "libsolver/definition.h"

namespace {

using namespace cairn;

class FuzzFacts final : public dockerfile::Facts {
 public:
  base::Result<Image> resolve_image(const std::string& reference, const dockerfile::Platform&, const std::string&,
                                    const std::string&) override {
    if (reference.find("none") != std::string::npos) return base::fail(base::ErrorCode::not_found, "{}", reference);
    const bool has_triggers = reference.find("on") != std::string::npos;
    return Image{
        reference, "",
        std::string(
            R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:0"]},"config":{)") +
            (has_triggers ? R"("OnBuild":["COPY --from=0 . /","RUN <<E\na\nE"],)" : "") +
            R"("User":"u:g","WorkingDir":"w"}})"};
  }
  base::Result<std::optional<std::string>> read_file(const std::string&, const std::string&, Part) override {
    return std::nullopt;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  FuzzFacts facts;
  dockerfile::Options options;
  options.session_id = "s";
  options.build_platform.os = "linux";
  options.build_platform.architecture = "amd64";
  options.build_args = {{"A", "a"}, {"EMPTY", ""}};
  options.named_contexts = {{"ctx", "local:d"}, {"git", "https://e.org/a.git"}};
  dockerfile::Diagnostics diagnostics;
  const auto built = dockerfile::convert_dockerfile(text, options, facts, diagnostics,
                                                    dockerfile::parse_ignore_file(text.substr(0, 200)));
  (void)dockerfile::excerpt("Dockerfile", text, diagnostics.error_lines);
  if (const auto targets = dockerfile::list_targets(text, diagnostics)) (void)dockerfile::print_targets(*targets, text);
  std::optional<base::Error> error;
  if (!built) error = built.error();
  (void)dockerfile::print_lint(diagnostics, "Dockerfile", error);
  if (!built) return 0;
  (void)dockerfile::print_outline(built->outline, text);
  for (const auto& image : built->images) {
    if (!image.definition.empty() && !solver::load_definition(image.definition)) std::abort();
  }
  return 0;
}

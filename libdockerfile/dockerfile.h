// SPDX-License-Identifier: Apache-2.0
// Dockerfiles to graphs: text and options in, the LLB that BuildKit's front end makes of them out, vertex digest by
// vertex digest, with the image config and the build checks (spec/solver 9). Nothing is run or fetched here; what has
// to be known of the world is asked of Facts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libdockerfile/diagnostics.h"
#include "libdockerfile/subrequests.h"
#include "libsolver/wire/ops.h"

namespace cairn::dockerfile {

using solver::wire::Platform;

struct Options {
  std::string filename = "Dockerfile", target;
  std::map<std::string, std::string> build_args, labels;
  std::vector<Platform> platforms;  // {}: that of the machine, or what a base image has instead
  bool multi_platform = false;      // the result is a list even of one
  Platform build_platform;          // of the machine that runs the steps

  std::string session_id;      // whose directories local sources are
  std::string context = {};    // "": the local directory; else a URL, as `docker build` takes it
  std::string context_archive;  // a file of the local directory: what is in it is the context
  std::string context_subdir;   // a directory of the context that is the context
  std::string
      context_name = "context",
      dockerfile_name;  // of the local sources; "" for the latter: "dockerfile", or beside a context that is a URL
  std::map<std::string, std::string> named_contexts;  // "name" or "name::platform" to "docker-image://…", "local:…", …
  std::map<std::string, std::string> session_of_local;  // name of a local source to its session, if another
  std::map<std::string, std::string> shared_key_of_local;

  std::optional<std::vector<std::string>> no_cache;              // set and empty: all stages
  std::string resolve_mode = "default";                          // of images: "default", "pull", "local"
  std::string network_mode;                                      // "", "none", "host", "sandbox"
  std::vector<std::pair<std::string, std::string>> extra_hosts;  // name, address
  std::vector<solver::wire::Ulimit> ulimits;
  std::optional<solver::wire::LinuxResources> resources;
  std::int64_t shm_size = 0;  // bytes; 0: the default
  std::string cgroup_parent, hostname, cache_mount_namespace,
      checks;                         // checks: as "# check=" has them; it takes precedence
  std::optional<std::int64_t> epoch;  // SOURCE_DATE_EPOCH, in seconds
};

// The options as BuildKit's clients name and write them ("build-arg:X", "platform", "no-cache", "ulimit", …), and of our
// own "context-archive"; what is none of the front end's is left alone. Errors: invalid_argument.
base::Result<Options> parse_options(const std::map<std::string, std::string>& options);

// What a front end asks while it works. Called from the thread that converts.
class Facts {
 public:
  struct Image {
    std::string reference;  // in full
    std::string digest;     // of what the reference leads to; "": not said
    std::string config;     // the JSON
  };
  virtual ~Facts() = default;
  // oci_store: set for an image of an OCI layout that the client has.
  virtual base::Result<Image> resolve_image(const std::string& reference, const Platform& platform,
                                            const std::string& resolve_mode, const std::string& oci_store) = 0;
  // A file of the tree that the definition (bytes of a pb.Definition) leads to; nullopt: there is none. head: as much
  // of its beginning as tells an archive, at least.
  enum class Part : std::uint8_t { whole, head };
  static constexpr std::size_t head_bytes = 1024;
  virtual base::Result<std::optional<std::string>> read_file(const std::string& definition, const std::string& path,
                                                             Part part) = 0;
};

struct BuiltImage {
  Platform platform;
  std::string definition;   // bytes of a pb.Definition
  std::string config;       // JSON; without layers of its own
  std::string base_config;  // JSON of the base image; "": scratch
};
struct Conversion {
  std::vector<BuiltImage> images;  // one per platform
  Outline outline;                 // of the target, as it is for the first of them
};

// Reads the Dockerfile and .dockerignore through facts and converts. Work is bounded by the text, its size squared at
// most. Errors: invalid_argument (diagnostics.error_lines says where), those of facts, not_found (no Dockerfile).
base::Result<Conversion> build_dockerfile(const Options& options, Facts& facts, Diagnostics& diagnostics);
// Likewise with a text at hand. definition_of_text: where it comes from, kept in the graph for who shows lines; "":
// nothing.
base::Result<Conversion> convert_dockerfile(std::string_view text, const Options& options, Facts& facts,
                                            Diagnostics& diagnostics, const std::vector<std::string>& ignored = {},
                                            const std::string& definition_of_text = {});

// Only reads: what the Dockerfile says is then in diagnostics. Errors: those of facts, not_found.
base::Status read_dockerfile(const Options& options, Facts& facts, Diagnostics& diagnostics);

// The lines of a .dockerignore file that are patterns, as they are sent to who has the directory.
std::vector<std::string> parse_ignore_file(std::string_view text);

// "linux/arm/v7" and back. Errors: invalid_argument.
base::Result<Platform> parse_platform(std::string_view text);
std::string format_platform(const Platform& platform);

// Fields of a line of comma-separated values, as options have them; a field may be quoted. Errors: invalid_argument.
base::Result<std::vector<std::string>> csv_fields(std::string_view text);

}  // namespace cairn::dockerfile

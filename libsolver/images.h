// SPDX-License-Identifier: Apache-2.0
// Results of builds as images that others take: pushed to registries, in OCI layouts and archives for `docker load`,
// and trees as archives and directories. The documents (config, manifest, index) are those that BuildKit writes of the
// same build, and the same results give the same bytes. What is written, and what differs: docs/guides/images.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libbase/compress/decoder.h"
#include "libbase/result.h"
#include "libsnapshot/digests.h"
#include "libsolver/remote_cache.h"
#include "libsolver/result_store.h"
#include "libsolver/wire/ops.h"

namespace cairn::solver {

// What -o says: "type=oci,dest=FILE,name=NAME", by attribute.
using OutputAttributes = std::map<std::string, std::string>;

// One annotation of one document, or of what names the document.
struct ImageAnnotation {
  enum class Place : std::uint8_t { manifest, manifest_descriptor, index, index_descriptor } place = Place::manifest;
  std::string platform;  // of manifests: only of this one ("linux/arm/v7"); "": of each
  std::string key, value;
};

struct ImageOutput {
  // image: nothing is kept of it beyond what is pushed. tar, local: the trees, without documents.
  enum class Type : std::uint8_t { image, oci, docker, tar, local } type = Type::image;
  enum class Push : std::uint8_t { no, by_name, by_digest } push = Push::no;
  std::vector<std::string> names;  // references in full: "docker.io/library/app:latest"
  // Where it goes: a path as it was given (archives: a file; layouts and local: a directory), "-" for standard output,
  // "" if nothing was said. Relative paths are the caller's to complete.
  std::string dest;
  enum class Shape : std::uint8_t { archive, directory } shape = Shape::archive;  // of oci and docker
  base::Compression compression = base::Compression::gzip;  // of layers that have no blob yet; all, if it is forced
  int compression_level = 0;                                // 0: the default of the format
  enum class Compress : std::uint8_t { what_is_new, all } compress = Compress::what_is_new;
  enum class MediaTypes : std::uint8_t { docker, oci } media_types = MediaTypes::docker;
  enum class Timestamps : std::uint8_t { keep, rewrite } timestamps = Timestamps::keep;
  // Of tar and local: a directory for each platform. by_count: if there are several.
  enum class Split : std::uint8_t { by_count, yes, no } split = Split::by_count;
  std::vector<ImageAnnotation> annotations;
  std::optional<std::int64_t> epoch;  // seconds; takes precedence over the request's
};
// Attributes have BuildKit's names; those that mean nothing here ("unpack", "store", ...) are taken and change nothing.
// Errors: invalid_argument (a type, an attribute or a value that is not known, one that is missing, two that exclude
// each other), unavailable (compression=estargz and others that are not written here).
base::Result<ImageOutput> parse_image_output(const OutputAttributes& attributes);

// The image of one platform.
struct ImageToExport {
  wire::Platform platform;
  OptionalRef result;  // nullopt: of no layer
  std::string config;       // the front end's JSON; "": nothing but the platform
  std::string base_config;  // the JSON of the image that it was built on; "": scratch
  // What others find results by, as the image carries it ("moby.buildkit.cache.v0" of its config): the JSON for layers
  // that are these, the lowest first; "": nothing. Empty: no cache is wanted.
  std::function<base::Result<std::string>(const std::vector<CacheLayer>& layers)> inline_cache = {};
};

struct ImageExport {
  ImageOutput output;  // dest: absolute, or "-" or ""
  std::vector<ImageToExport> images;
  enum class Form : std::uint8_t { by_count, index } form = Form::by_count;  // by_count: an index if there are several
  std::optional<std::int64_t> epoch = {};                                    // SOURCE_DATE_EPOCH, in seconds
  int fd = -1;  // takes an archive whose dest is "-" or ""; stays open
  // "user:password" for a registry ("ghcr.io"), "" for none; may be empty.
  std::function<std::string(const std::string& host)> credentials = {};
  // How many bytes have been written or sent, and how many there will be (0: not known). On any thread, and
  // by pushes on several at a time; may be empty.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};
};

struct ImagesExported {
  struct Image {
    wire::Platform platform;
    BlobDigest manifest, config;
    std::uint64_t layers = 0;
  };
  // What names stand for: the index, or the one manifest. nullopt: trees were exported.
  struct Root {
    BlobDigest digest;
    std::string media_type;
    std::uint64_t size = 0;
  };
  std::optional<Root> root;
  std::vector<Image> images;
  std::vector<std::string> names;     // that stand for it now: pushed, or written into the archive or layout
  std::uint64_t bytes = 0;            // that were written or sent; what was there already is not
  std::uint64_t files = 0;            // of trees
  std::vector<std::string> warnings;  // sentences for the user
};

}  // namespace cairn::solver

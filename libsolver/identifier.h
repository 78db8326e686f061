// SPDX-License-Identifier: Apache-2.0
// Source identifiers: "<scheme>://<rest>" (spec/solver 1.2), and image references in their full form.
#pragma once

#include <string>
#include <string_view>

#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/digests.h"

namespace cairn::solver {

struct SourceIdentifier {
  std::string scheme;  // "docker-image", "local", …
  std::string rest;
};

// Errors: invalid_argument if there is no "://". Whether the scheme is known is for who opens the source.
base::Result<SourceIdentifier> parse_source_identifier(std::string_view identifier);

// "busybox" is docker.io/library/busybox:latest: the domain, the library namespace and the tag that a short reference
// leaves out are filled in; one with a digest gets no tag.
// Errors: invalid_argument: not a reference (upper case in the path, bad tag, digest that is not sha256:<64 hex>, …).
base::Result<std::string> normalize_image_reference(std::string_view reference);

// What follows '@'; "" if there is none.
std::string_view reference_digest(std::string_view reference);

// What the index of an OCI layout, a directory, calls `tag` (org.opencontainers.image.ref.name); with "" its only entry.
// Errors: not_found (no layout, no such entry), invalid_argument (several; the hint lists the names), corrupt, io.
base::Result<BlobDigest> find_in_layout(const base::HostPath& dir, std::string_view tag);

}  // namespace cairn::solver

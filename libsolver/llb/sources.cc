// SPDX-License-Identifier: Apache-2.0
// Sources that are at hand: images, OCI layouts, local directories.
#include "libsolver/identifier.h"
#include "libsolver/llb/new_source.h"

namespace cairn::solver::llb {

State image(std::string_view reference, const ImageOptions& options) {
  auto full = normalize_image_reference(reference);
  if (!full) return wrong(full.error().message);
  NewSource source;
  source.node->platform_use = PlatformUse::wanted;
  source.node->platform = options.platform;
  source.need("source.image");
  // The modes but this one only save work; a daemon that ignores them is still right.
  source.text("image.resolvemode", options.resolve_mode, options.resolve_mode == "pull" ? "source.image.resolvemode" : nullptr);
  source.number("image.layerlimit", options.layer_limit, "source.image.layerlimit");
  source.text("image.checksum", options.checksum, "source.image.checksum");
  source.node->note(options.notes);
  return source.finish("docker-image://" + *full, options.name);
}

State oci_layout(std::string_view reference, const OciLayoutOptions& options) {
  if (reference_digest(reference).empty()) {
    return wrong(fmt::format("OCI layout reference \"{}\" has no digest", reference));
  }
  NewSource source;
  source.node->platform_use = PlatformUse::wanted;
  source.node->platform = options.platform;
  source.need("source.ocilayout");
  source.text("oci.session", options.session_id);
  source.text("oci.store", options.store_id);
  source.number("oci.layerlimit", options.layer_limit);
  return source.finish(fmt::format("oci-layout://{}", reference), options.name);
}

State local(std::string_view name, const LocalOptions& options) {
  NewSource source;
  source.need("source.local");
  source.text("local.session", options.session_id, "source.local.sessionid");
  source.list("local.includepattern", options.include_patterns, "source.local.includepatterns");
  source.list("local.followpaths", options.follow_paths, "source.local.followpaths");
  source.list("local.excludepatterns", options.exclude_patterns, "source.local.excludepatterns");
  source.text("local.sharedkeyhint", options.shared_key_hint, "source.local.sharedkeyhint");
  if (options.differ != LocalDiffer::by_default) {
    source.text("local.differ", options.differ == LocalDiffer::none ? "none" : "metadata",
                options.differ_required ? "source.local.differ" : nullptr);
  }
  if (options.metadata_only) {
    source.mark("local.metadatatransfer", "source.local.metadatatransfer");
    source.list("local.metadatatransferexclude", options.metadata_exceptions);
  }
  source.text("local.unique", options.unique_id, "source.local.unique");
  source.node->needs_unique_id = options.session_id.empty() && options.unique_id.empty();
  if (source.node->needs_unique_id) source.need("source.local.unique");
  return source.finish(fmt::format("local://{}", name), options.name);
}

}  // namespace cairn::solver::llb

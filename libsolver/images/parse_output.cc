// SPDX-License-Identifier: Apache-2.0
// What -o says.
#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <string_view>

#include "libsolver/identifier.h"
#include "libsolver/images.h"
#include "libsolver/remote_cache/attributes.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

using Type = ImageOutput::Type;
using Place = ImageAnnotation::Place;

constexpr std::string_view types_known = "image, registry, oci, docker, tar or local";

// What an order may say, by what is written.
const std::set<std::string_view> tree_attributes = {"type", "dest", "platform-split", "source-date-epoch"};
const std::set<std::string_view> image_attributes = {
    "type", "name", "compression", "compression-level", "force-compression", "oci-mediatypes", "rewrite-timestamp",
    "source-date-epoch",
    // No store of images is kept here that could unpack one or give it more names.
    "unpack", "store", "name-canonical", "dangling-name-prefix", "prefer-nondist-layers", "buildinfo",
    "buildinfo-attrs"};

std::set<std::string_view> known_attributes(const std::string& type) {
  if (type == "tar") return tree_attributes;
  std::set<std::string_view> known = type == "local" ? tree_attributes : image_attributes;
  if (type == "local") known.insert("mode");
  if (type == "image" || type == "registry") known.insert({"push", "push-by-digest", "registry.insecure"});
  if (type == "oci" || type == "docker") known.insert({"dest", "tar"});
  return known;
}

// A flag that is named and given nothing is on.
Result<bool> switch_of(const OutputAttributes& attributes, const std::string& name, bool otherwise) {
  const auto given = attributes.find(name);
  if (given != attributes.end() && given->second.empty()) return true;
  return flag_of(attributes, name, otherwise);
}

template <typename Number>
Result<Number> number_of(const OutputAttributes& attributes, const std::string& name, Number least, Number most) {
  const std::string text = value_of(attributes, name);
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least || number > most)
    return fail(ErrorCode::invalid_argument, "{}={}: want a number from {} to {}", name, text, least, most);
  return number;
}

// "annotation.KEY", "annotation-index.KEY", "annotation-manifest[linux/amd64].KEY", ... nullopt: it is none.
Result<std::optional<ImageAnnotation>> annotation_of(const std::string& name, const std::string& value) {
  constexpr std::string_view word = "annotation";
  if (!name.starts_with(word)) return std::optional<ImageAnnotation>();
  static constexpr std::array<std::pair<std::string_view, Place>, 5> places = {
      {{"", Place::manifest},
       {"-manifest", Place::manifest},
       {"-manifest-descriptor", Place::manifest_descriptor},
       {"-index", Place::index},
       {"-index-descriptor", Place::index_descriptor}}};
  std::string_view rest = std::string_view(name).substr(word.size());
  const std::size_t place_end = rest.find_first_of("[.");
  const std::string_view place_name = rest.substr(0, place_end);
  const auto* place = std::find_if(places.begin(), places.end(), [&](const auto& p) { return p.first == place_name; });
  if (place == places.end() || place_end == rest.npos) return std::optional<ImageAnnotation>();
  rest.remove_prefix(place_end);

  ImageAnnotation annotation;
  annotation.place = place->second;
  annotation.value = value;
  if (rest.front() == '[') {
    const std::size_t close = rest.find("].");
    if (close == rest.npos) return fail(ErrorCode::invalid_argument, "{}: want \"annotation[PLATFORM].KEY\"", name);
    annotation.platform = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    if (annotation.place == Place::index || annotation.place == Place::index_descriptor)
      return fail(ErrorCode::invalid_argument, "{}: an index is of no platform", name);
  }
  annotation.key = rest.substr(1);
  if (annotation.key.empty()) return fail(ErrorCode::invalid_argument, "{}: the key is missing", name);
  return std::optional(std::move(annotation));
}

class OutputParser {
 public:
  explicit OutputParser(const OutputAttributes& attributes)
      : attributes_(attributes), type_(value_of(attributes, "type")) {}

  Result<ImageOutput> parse() {
    TRY(parse_type());
    TRY(parse_annotations());
    TRY(expect_known(attributes_, known_attributes(type_)));
    output_.dest = value_of(attributes_, "dest");
    if (has("source-date-epoch") && !value_of(attributes_, "source-date-epoch").empty())
      output_.epoch = TRY(number_of<std::int64_t>(attributes_, "source-date-epoch", 0, 7'258'118'400));
    if (output_.type == Type::tar || output_.type == Type::local) {
      TRY(parse_tree());
    } else {
      TRY(parse_names());
      TRY(parse_push());
      TRY(parse_documents());
      TRY(parse_layers());
    }
    return std::move(output_);
  }

 private:
  bool has(const std::string& name) const { return attributes_.contains(name); }

  Status parse_type() {
    static const std::map<std::string_view, Type> types = {{"image", Type::image}, {"registry", Type::image},
                                                           {"oci", Type::oci},     {"docker", Type::docker},
                                                           {"tar", Type::tar},     {"local", Type::local}};
    if (type_.empty()) return fail(ErrorCode::invalid_argument, "type is missing: {}", types_known);
    const auto found = types.find(type_);
    if (found == types.end()) return fail(ErrorCode::invalid_argument, "type={}: want {}", type_, types_known);
    output_.type = found->second;
    return {};
  }

  // Takes them out of the attributes.
  Status parse_annotations() {
    for (auto next = attributes_.begin(); next != attributes_.end();) {
      auto annotation = TRY(annotation_of(next->first, next->second));
      if (!annotation) {
        ++next;
        continue;
      }
      if (output_.type == Type::tar || output_.type == Type::local)
        return fail(ErrorCode::invalid_argument, "type={}: {}: only images are annotated", type_, next->first);
      output_.annotations.push_back(std::move(*annotation));
      next = attributes_.erase(next);
    }
    return {};
  }

  Status parse_tree() {
    if (has("platform-split"))
      output_.split =
          TRY(switch_of(attributes_, "platform-split", true)) ? ImageOutput::Split::yes : ImageOutput::Split::no;
    if (output_.type == Type::local && (output_.dest.empty() || output_.dest == "-"))
      return fail(ErrorCode::invalid_argument, "type=local: dest is missing: the directory to write to");
    if (const std::string mode = value_of(attributes_, "mode", "copy"); mode == "delete")
      return fail(ErrorCode::unavailable, "mode=delete is not supported: what else is in the directory stays");
    else if (mode != "copy")
      return fail(ErrorCode::invalid_argument, "mode={}: want copy", mode);
    return {};
  }

  Status parse_names() {
    std::string_view rest = attributes_["name"];
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      const std::string name(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
      const std::string full = TRY(normalize_image_reference(name), "name={}", name);
      if (!reference_digest(full).empty())
        return fail(ErrorCode::invalid_argument, "name={}: an image is named by a tag, not by a digest", name);
      if (std::find(output_.names.begin(), output_.names.end(), full) == output_.names.end())
        output_.names.push_back(full);
    }
    return {};
  }

  Status parse_push() {
    if (TRY(switch_of(attributes_, "registry.insecure", false)))
      return fail(ErrorCode::unavailable, "registry.insecure is not supported: http is spoken to this machine only");
    const bool by_digest = TRY(switch_of(attributes_, "push-by-digest", false));
    const bool push = TRY(switch_of(attributes_, "push", type_ == "registry" || by_digest));
    if (!push && (type_ == "registry" || by_digest))
      return fail(ErrorCode::invalid_argument, "push=false excludes {}",
                  by_digest ? "push-by-digest" : "type=registry");
    if (!push) return {};
    if (output_.names.empty())
      return fail(ErrorCode::invalid_argument, "type={}: name is missing: where the image is pushed to", type_);
    output_.push = by_digest ? ImageOutput::Push::by_digest : ImageOutput::Push::by_name;
    return {};
  }

  Status parse_documents() {
    const bool is_archive = TRY(switch_of(attributes_, "tar", true));
    output_.shape = is_archive ? ImageOutput::Shape::archive : ImageOutput::Shape::directory;
    if (!is_archive && (output_.dest.empty() || output_.dest == "-"))
      return fail(ErrorCode::invalid_argument, "tar=false: dest is missing: the directory to write to");
    const bool wants_oci = !output_.annotations.empty() || output_.type == Type::oci;
    const bool is_oci = TRY(switch_of(attributes_, "oci-mediatypes", wants_oci));
    if (!is_oci && !output_.annotations.empty())
      return fail(ErrorCode::invalid_argument, "oci-mediatypes=false: only OCI documents have annotations");
    output_.media_types = is_oci ? ImageOutput::MediaTypes::oci : ImageOutput::MediaTypes::docker;
    return {};
  }

  Status parse_layers() {
    const std::string compression = value_of(attributes_, "compression", "gzip");
    for (const char* other : {"estargz", "nydus", "overlaybd"}) {
      if (compression == other)
        return fail(ErrorCode::unavailable, "compression={} is not supported: want gzip, zstd or uncompressed", other);
    }
    output_.compression = TRY(parse_compression(compression));
    if (TRY(switch_of(attributes_, "force-compression", false))) output_.compress = ImageOutput::Compress::all;
    if (has("compression-level")) {
      if (output_.compression == base::Compression::none)
        return fail(ErrorCode::invalid_argument, "compression-level: nothing is compressed");
      const int most = output_.compression == base::Compression::gzip ? 9 : 22;
      output_.compression_level = TRY(number_of(attributes_, "compression-level", 0, most));
    }
    if (TRY(switch_of(attributes_, "rewrite-timestamp", false))) output_.timestamps = ImageOutput::Timestamps::rewrite;
    return {};
  }

  OutputAttributes attributes_;
  const std::string type_;
  ImageOutput output_;
};

}  // namespace

Result<ImageOutput> parse_image_output(const OutputAttributes& attributes) { return OutputParser(attributes).parse(); }

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// The document of a cache, read. It is foreign, and may be large: records are taken one after the other as they are
// parsed, so that never more than one of them is there as JSON.
#include <set>

#include <nlohmann/json.hpp>

#include "libsolver/digests.h"
#include "libsolver/remote_cache.h"
#include "libsolver/remote_cache/config_order.h"
#include "libsolver/sources/oci_image.h"
#include "libsolver/wire/go_time.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using Json = nlohmann::json;

constexpr int depth_max = 8;  // the document has 6

const Json* find_member(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// An absent one is empty.
Result<const Json*> array_of(const Json& object, const char* name) {
  static const Json none = Json::array();
  const Json* member = find_member(object, name);
  if (member == nullptr) return &none;
  if (!member->is_array()) return fail(ErrorCode::corrupt, "\"{}\" is no list", name);
  return member;
}

Result<std::string> text_of(const Json& object, const char* name) {
  const Json* member = find_member(object, name);
  if (member == nullptr) return std::string();
  if (!member->is_string()) return fail(ErrorCode::corrupt, "\"{}\" is no text", name);
  return member->get<std::string>();
}

Result<std::int64_t> number_of(const Json& object, const char* name) {
  const Json* member = find_member(object, name);
  if (member == nullptr) return 0;  // Go leaves out zeros
  if (!member->is_number_integer() || (member->is_number_unsigned() && member->get<std::uint64_t>() > INT32_MAX)) {
    return fail(ErrorCode::corrupt, "\"{}\" is no index", name);
  }
  return member->get<std::int64_t>();
}

Result<CacheConfig::Layer> layer_of(const Json& json) {
  CacheConfig::Layer layer;
  layer.blob = TRY(text_of(json, "blob"));
  TRY(BlobDigest::parse(layer.blob), "a layer");
  layer.parent = TRY(number_of(json, "parent"));
  if (layer.parent < -1) return fail(ErrorCode::corrupt, "layer {} has a parent {}", layer.blob, layer.parent);
  return layer;
}

// What a layer is. nullopt: not enough is said of it.
Result<std::optional<CacheLayer>> description_of(const Json& json, const std::string& blob) {
  using Description = std::optional<CacheLayer>;
  const Json* notes = find_member(json, "annotations");
  if (notes == nullptr) return Description();
  if (!notes->is_object()) return fail(ErrorCode::corrupt, "the annotations of layer {} are no object", blob);
  const std::string diff = TRY(text_of(*notes, "diffID")), type = TRY(text_of(*notes, "mediaType"));
  if (diff.empty()) return Description();
  const Json* size = find_member(*notes, "size");
  if (size != nullptr && !size->is_number_unsigned())
    return fail(ErrorCode::corrupt, "layer {} has a size that is none", blob);
  OciLayer layer{TRY(BlobDigest::parse(blob)), size == nullptr ? 0 : size->get<std::uint64_t>(), type,
                 TRY(DiffId::parse(diff), "layer {}", blob)};
  return Description({layer.digest, layer.size, layer_compression(layer), layer.diff});
}

// A record before it is known how many layers there are.
struct ParsedRecord {
  CacheConfig::Record record;
  std::vector<std::int64_t> chain;  // of the result, if it is a list of layers
};

// One result of a record, if it is newer than what there is.
Status take_result(const Json& json, ParsedRecord& into) {
  if (!json.is_object()) return fail(ErrorCode::corrupt, "a result is no object");
  const base::WallTime created = TRY(parse_go_time(TRY(text_of(json, "createdAt"))));
  const bool has_result = into.record.layer || !into.chain.empty();
  if (has_result && created <= into.record.created) return {};
  const Json* layers = find_member(json, "layers");
  if (layers == nullptr) {
    const std::int64_t layer = TRY(number_of(json, "layer"));
    if (layer < 0) return fail(ErrorCode::corrupt, "a result of layer {}", layer);
    into.record.layer = static_cast<std::size_t>(layer);
    into.chain.clear();
  } else {
    into.record.layer.reset();
    into.chain.clear();
    for (const Json& layer : *TRY(array_of(json, "layers"))) {
      if (!layer.is_number_unsigned() || layer.get<std::uint64_t>() > INT32_MAX)
        return fail(ErrorCode::corrupt, "a chain names what is no layer");
      into.chain.push_back(layer.get<std::int64_t>());
    }
  }
  into.record.created = created;
  return {};
}

Result<std::vector<CacheConfig::Input>> input_of(const Json& json) {
  std::vector<CacheConfig::Input> ways;
  if (json.is_null()) return ways;  // all its links led in a circle
  if (!json.is_array()) return fail(ErrorCode::corrupt, "an input is no list");
  for (const Json& each : json) {
    if (!each.is_object()) return fail(ErrorCode::corrupt, "a link is no object");
    CacheConfig::Input way;
    way.selector = TRY(text_of(each, "selector"));
    if (!way.selector.empty()) TRY(SelectorDigest::parse(way.selector), "a selector");
    const std::int64_t link = TRY(number_of(each, "link"));
    if (link < 0) return fail(ErrorCode::corrupt, "a link to {}", link);
    way.link = static_cast<std::size_t>(link);
    ways.push_back(std::move(way));
  }
  return ways;
}

Result<ParsedRecord> record_of(const Json& json) {
  ParsedRecord parsed;
  parsed.record.digest = TRY(text_of(json, "digest"));
  TRY(KeyDigest::parse(parsed.record.digest), "a record");
  for (const Json& input : *TRY(array_of(json, "inputs"))) parsed.record.inputs.push_back(TRY(input_of(input)));
  for (const char* name : {"layers", "chains"}) {
    for (const Json& result : *TRY(array_of(json, name))) TRY(take_result(result, parsed));
  }
  return parsed;
}

class Parser {
 public:
  Result<WrittenCache> parse(std::string_view bytes) {
    if (bytes.size() > RemoteCacheLimits::config_bytes_max) {
      return fail(ErrorCode::invalid_argument, "{} bytes; at most {} are read", bytes.size(),
                  RemoteCacheLimits::config_bytes_max);
    }
    const auto callback = [this](int depth, Json::parse_event_t event, Json& value) {
      return visit(depth, event, value);
    };
    const Json rest = Json::parse(bytes.begin(), bytes.end(), callback, /*allow_exceptions=*/false);
    TRY(status_);
    if (rest.is_discarded()) return fail(ErrorCode::corrupt, "not JSON");
    if (!rest.is_object()) return fail(ErrorCode::corrupt, "not a JSON object");
    for (const char* name : {"layers", "records"}) {
      if (!TRY(array_of(rest, name))->empty()) return fail(ErrorCode::corrupt, "\"{}\" holds what is no object", name);
    }
    return finish();
  }

 private:
  // Whether to keep it.
  bool visit(int depth, Json::parse_event_t event, const Json& value) {
    using Event = Json::parse_event_t;
    if (!status_) return false;
    if (depth > depth_max) {
      status_ = fail(ErrorCode::invalid_argument, "nested more than {} deep", depth_max);
      return false;
    }
    if (event == Event::key && depth == 1) {
      list_ = value.get<std::string>();
      // Two programs would read it in two ways.
      if (!lists_.insert(list_).second)
        status_ = fail(ErrorCode::corrupt, "\"{}\" is there twice", list_.substr(0, 64));
      return status_.has_value();
    }
    if (event != Event::object_end || depth != 2 || (list_ != "layers" && list_ != "records")) return true;
    status_ = list_ == "layers" ? take_layer(value) : take_record(value);
    return false;
  }
  Status take_layer(const Json& json) {
    if (config_.layers.size() == RemoteCacheLimits::layers_max)
      return fail(ErrorCode::invalid_argument, "more than {} layers", RemoteCacheLimits::layers_max);
    config_.layers.push_back(TRY(layer_of(json)));
    const std::string& blob = config_.layers.back().blob;
    if (auto described = TRY(description_of(json, blob))) described_.emplace(blob, std::move(*described));
    return {};
  }
  Status take_record(const Json& json) {
    if (records_.size() == RemoteCacheLimits::records_max)
      return fail(ErrorCode::invalid_argument, "more than {} records", RemoteCacheLimits::records_max);
    records_.push_back(TRY(record_of(json)));
    return {};
  }

  Result<WrittenCache> finish() {
    TRY(check_layers());
    for (ParsedRecord& parsed : records_) {
      CacheConfig::Record& record = parsed.record;
      if (record.layer && *record.layer >= layers_read_)
        return fail(ErrorCode::corrupt, "record {} names layer {} of {}", record.digest, *record.layer, layers_read_);
      if (!parsed.chain.empty()) record.layer = TRY(add_chain(parsed));
      for (const auto& input : record.inputs) {
        for (const CacheConfig::Input& way : input) {
          if (way.link >= records_.size())
            return fail(ErrorCode::corrupt, "record {} names record {} of {}", record.digest, way.link,
                        records_.size());
        }
      }
      config_.records.push_back(std::move(record));
    }
    TRY(order_of_records(config_));
    return WrittenCache{std::move(config_), std::move(described_)};
  }

  // Every layer leads to one without a parent.
  Status check_layers() {
    const std::size_t count = layers_read_ = config_.layers.size();
    std::vector<std::uint8_t> good(count, 0);
    for (std::size_t first = 0; first < count; ++first) {
      std::vector<std::size_t> way;
      std::size_t at = first;
      while (!good[at]) {
        good[at] = 1;
        way.push_back(at);
        const std::int64_t parent = config_.layers[at].parent;
        if (parent < 0) break;
        if (static_cast<std::size_t>(parent) >= count)
          return fail(ErrorCode::corrupt, "layer {} is on layer {} of {}", at, parent, count);
        at = static_cast<std::size_t>(parent);
        // 1: on this way, 2: known to end.
        if (good[at] == 1) return fail(ErrorCode::corrupt, "layers in a circle, at {}", config_.layers[at].blob);
      }
      for (const std::size_t each : way) good[each] = 2;
    }
    return {};
  }

  // A result that is a list of layers gets layers of its own, which stand on each other.
  Result<std::size_t> add_chain(const ParsedRecord& parsed) {
    std::int64_t parent = -1;
    for (const std::int64_t layer : parsed.chain) {
      if (static_cast<std::size_t>(layer) >= layers_read_)
        return fail(ErrorCode::corrupt, "record {} names layer {} of {}", parsed.record.digest, layer, layers_read_);
      if (config_.layers.size() == RemoteCacheLimits::layers_max)
        return fail(ErrorCode::invalid_argument, "more than {} layers", RemoteCacheLimits::layers_max);
      config_.layers.push_back({config_.layers[static_cast<std::size_t>(layer)].blob, parent});
      parent = static_cast<std::int64_t>(config_.layers.size()) - 1;
    }
    return static_cast<std::size_t>(parent);
  }

  Status status_;
  std::string list_;  // of the document, at which the parser is
  std::set<std::string> lists_;
  CacheConfig config_;
  std::map<std::string, CacheLayer> described_;  // by blob
  std::size_t layers_read_ = 0;
  std::vector<ParsedRecord> records_;
};

}  // namespace

Result<CacheConfig> parse_cache_config(std::string_view json) { return TRY(Parser().parse(json)).config; }

Result<WrittenCache> parse_whole_cache(std::string_view json) { return Parser().parse(json); }

}  // namespace cairn::solver

// SPDX-License-Identifier: Apache-2.0
// A chain as a document: one order for equal content, and JSON as Go writes it.
#include <algorithm>

#include "libbase/hash/sha256.h"
#include "libsolver/cache_chains.h"
#include "libsolver/wire/go_time.h"

namespace cairn::solver {
namespace {

std::vector<std::size_t> order_of(std::size_t size, const auto& less) {
  std::vector<std::size_t> order(size);
  for (std::size_t i = 0; i < size; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), less);
  return order;
}

// By blob, then by what is below (not by an index, which depends on the order of adding).
void sort_layers(CacheConfig& config) {
  const auto order = order_of(config.layers.size(), [&](std::size_t a, std::size_t b) {
    while (a != b) {
      const CacheConfig::Layer &x = config.layers[a], &y = config.layers[b];
      if (x.blob != y.blob) return x.blob < y.blob;
      if (x.parent < 0 || y.parent < 0) return x.parent < 0 && y.parent >= 0;
      a = static_cast<std::size_t>(x.parent);
      b = static_cast<std::size_t>(y.parent);
    }
    return false;
  });
  std::vector<std::size_t> place(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) place[order[i]] = i;
  std::vector<CacheConfig::Layer> sorted;
  for (const std::size_t old : order) {
    CacheConfig::Layer layer = config.layers[old];
    if (layer.parent >= 0) layer.parent = static_cast<std::int64_t>(place[static_cast<std::size_t>(layer.parent)]);
    sorted.push_back(std::move(layer));
  }
  config.layers = std::move(sorted);
  for (CacheConfig::Record& record : config.records) {
    if (record.layer) record.layer = place[*record.layer];
  }
}

// Of everything that a record is, its inputs' records included; so that two records that are not the same differ.
std::string name_of(const CacheConfig::Record& record, const std::vector<std::string>& names) {
  std::string text = record.digest;
  for (const std::vector<CacheConfig::Input>& input : record.inputs) {
    std::vector<std::string> ways;
    for (const CacheConfig::Input& way : input) ways.push_back(" " + way.selector + "/" + names[way.link]);
    std::sort(ways.begin(), ways.end());
    text += "|";
    for (const std::string& way : ways) text += way;
  }
  const base::Sha256Bytes hash = base::sha256(text);
  return std::string(reinterpret_cast<const char*>(hash.data()), hash.size());
}

void sort_records(CacheConfig& config) {
  std::vector<CacheConfig::Record>& records = config.records;  // sources come before what they lead to
  std::vector<std::string> names;
  for (const CacheConfig::Record& record : records) names.push_back(name_of(record, names));
  const auto by_source = [&](const CacheConfig::Input& a, const CacheConfig::Input& b) {
    return std::tie(a.selector, records[a.link].digest, names[a.link]) <
           std::tie(b.selector, records[b.link].digest, names[b.link]);
  };
  for (CacheConfig::Record& record : records) {
    for (auto& input : record.inputs) std::sort(input.begin(), input.end(), by_source);
  }
  const auto less = [&](std::size_t index_a, std::size_t index_b) {
    const CacheConfig::Record &a = records[index_a], &b = records[index_b];
    if (a.digest != b.digest) return a.digest < b.digest;
    if (a.inputs.size() != b.inputs.size()) return a.inputs.size() < b.inputs.size();
    for (std::size_t i = 0; i < a.inputs.size(); ++i) {
      if (a.inputs[i].size() != b.inputs[i].size()) return a.inputs[i].size() < b.inputs[i].size();
      for (std::size_t j = 0; j < a.inputs[i].size(); ++j) {
        const CacheConfig::Input &x = a.inputs[i][j], &y = b.inputs[i][j];
        if (x.selector != y.selector) return x.selector < y.selector;
        if (records[x.link].digest != records[y.link].digest) return records[x.link].digest < records[y.link].digest;
      }
    }
    return names[index_a] < names[index_b];
  };
  const auto order = order_of(records.size(), less);
  std::vector<std::size_t> place(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) place[order[i]] = i;
  std::vector<CacheConfig::Record> sorted;
  for (const std::size_t old : order) {
    CacheConfig::Record record = records[old];
    for (auto& input : record.inputs) {
      for (CacheConfig::Input& way : input) way.link = place[way.link];
      std::sort(input.begin(), input.end(), [](const CacheConfig::Input& a, const CacheConfig::Input& b) {
        return std::tie(a.link, a.selector) < std::tie(b.link, b.selector);
      });
    }
    sorted.push_back(std::move(record));
  }
  records = std::move(sorted);
}

std::string input_json(const std::vector<CacheConfig::Input>& input) {
  if (input.empty()) return "null";  // all its links led in a circle
  std::string text;
  for (const CacheConfig::Input& way : input) {
    text += text.empty() ? "[{" : ",{";
    if (!way.selector.empty()) text += fmt::format("\"selector\":\"{}\",", way.selector);
    text += fmt::format("\"link\":{}}}", way.link);
  }
  return text + "]";
}

std::string result_json(const CacheConfig::Record& record) {
  if (!record.layer) return "";
  return fmt::format("\"layers\":[{{\"layer\":{},\"createdAt\":\"{}\"}}],", *record.layer, go_time(record.created));
}

std::string record_json(const CacheConfig::Record& record, const std::string& result) {
  std::string text = "{" + result;
  text += fmt::format("\"digest\":\"{}\"", record.digest);
  if (!record.inputs.empty()) {
    text += ",\"inputs\":[";
    for (std::size_t i = 0; i < record.inputs.size(); ++i) text += (i > 0 ? "," : "") + input_json(record.inputs[i]);
    text += "]";
  }
  return text + "}";
}

}  // namespace

// By the blobs from the lowest up.
bool CacheChains::is_stack_less(std::optional<Stack> a, std::optional<Stack> b) const {
  const auto down_to = [&](std::optional<Stack> top, std::size_t depth) {
    while (layers_[*top].depth > depth) top = layers_[*top].below;
    return top;
  };
  if (!a || !b) return !a && b;
  const std::size_t common = std::min(layers_[*a].depth, layers_[*b].depth);
  std::optional<Stack> x = down_to(a, common), y = down_to(b, common), lowest_x, lowest_y;
  for (; x != y; x = layers_[*x].below, y = layers_[*y].below) {
    lowest_x = x;
    lowest_y = y;
  }
  if (!lowest_x) return layers_[*a].depth < layers_[*b].depth;
  return *blobs_[layers_[*lowest_x].blob] < *blobs_[layers_[*lowest_y].blob];
}

// The newest; of several the first in an order of their own. nullptr: there is none.
const CacheChains::StackResult* CacheChains::best_result(const Item& item) const {
  const auto best =
      std::max_element(item.results.begin(), item.results.end(), [&](const StackResult& a, const StackResult& b) {
        return a.created != b.created ? a.created < b.created : is_stack_less(b.layers, a.layers);
      });
  return best == item.results.end() ? nullptr : &*best;
}

// The place of the topmost one, which follows those of all below.
std::optional<std::size_t> CacheChains::place_layers(std::optional<Stack> top,
                                                     std::vector<std::optional<std::size_t>>& places,
                                                     std::vector<CacheConfig::Layer>& layers) const {
  std::vector<Stack> missing;
  for (; top && !places[*top]; top = layers_[*top].below) missing.push_back(*top);
  std::optional<std::size_t> below = top ? places[*top] : std::nullopt;
  for (auto at = missing.rbegin(); at != missing.rend(); ++at) {
    layers.push_back({*blobs_[layers_[*at].blob], below ? static_cast<std::int64_t>(*below) : -1});
    below = places[*at] = layers.size() - 1;
  }
  return below;
}

CacheConfig CacheChains::config() const {
  CacheConfig config;
  std::vector<std::optional<std::size_t>> layer_places(layers_.size());
  std::vector<std::optional<std::size_t>> places(items_.size());
  std::vector<std::size_t> waits(items_.size(), 0);
  std::vector<Record> ready;
  for (Record r = 0; r < items_.size(); ++r) {
    for (const auto& input : items_[r].parents) waits[r] += input.size();
    if (waits[r] == 0 && !items_[r].into) ready.push_back(r);
  }
  // Links never lead in a circle, so all are reached.
  while (!ready.empty()) {
    const Record r = ready.back();
    ready.pop_back();
    const Item& item = items_[r];
    CacheConfig::Record record;
    record.digest = item.digest;
    for (const auto& parents : item.parents) {
      auto& input = record.inputs.emplace_back();
      for (const Parent& parent : parents) input.push_back({parent.selector, *places[parent.record]});
    }
    if (const StackResult* best = best_result(item)) {
      record.layer = place_layers(best->layers, layer_places, config.layers);
      record.created = best->created;
    }
    places[r] = config.records.size();
    config.records.push_back(std::move(record));
    for (const auto& [way, targets] : item.children) {
      for (const Record target : targets) {
        if (--waits[target] == 0) ready.push_back(target);
      }
    }
  }
  sort_layers(config);
  sort_records(config);
  return config;
}

std::string CacheConfig::json(const std::function<std::string(const Layer&)>& more) const {
  std::string text = "{";
  for (std::size_t i = 0; i < layers.size(); ++i) {
    text += i == 0 ? "\"layers\":[{" : ",{";
    text += fmt::format("\"blob\":\"{}\"", layers[i].blob);
    if (layers[i].parent != 0) text += fmt::format(",\"parent\":{}", layers[i].parent);  // absent means 0
    if (more) text += more(layers[i]);
    text += "}";
  }
  if (!layers.empty()) text += "]";
  if (!layers.empty() && !records.empty()) text += ",";
  if (!records.empty()) text += "\"records\":" + records_json(result_json);
  return text + "}";
}

std::string CacheConfig::records_json(const std::function<std::string(const Record&)>& result) const {
  std::string text = "[";
  for (const Record& record : records) {
    if (text.size() > 1) text += ",";
    text += record_json(record, result(record));
  }
  return text + "]";
}

}  // namespace cairn::solver

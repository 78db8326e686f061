// SPDX-License-Identifier: Apache-2.0
#include "libcache/explain/recipe_rows.h"

#include <algorithm>

#include "libbase/compress/dictionary.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

using base::ByteReader;
using base::ByteWriter;
using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

// What most texts say. It is part of the format: another one needs another version of the row.
constexpr std::string_view dictionary =
    "docker-image://docker.io/library/ debian:bookworm-slim alpine:latest local://context oci-layout://base attr include exclude "
    "platform linux/arm64 linux/amd64 mount /root/.cache cache locked mount /var/cache/apt mount /tmp tmpfs mount /run/secrets/ secret "
    "bind, read-only, from input bind, from scratch, output selector . owner mode 0755 action 0 mkdir action 0 rm mkfile "
    "action 0 copy from to action 1 copy follow links create path copy contents inputs 0,1 WORKDIR /app COPY . . COPY --from=build RUN apt-get "
    "update && apt-get install -y --no-install-recommends && rm -rf /var/lib/apt/lists/* RUN npm ci npm run build pip install go build -o "
    "make -j cmake --build type source type file type exec argument 0/bin/sh argument 1-c argument 2 "
    "env HOME/root env LANGC.UTF-8 env GOPATH/go env NODE_ENVproduction env DEBIAN_FRONTENDnoninteractive "
    "env PATH/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin cwd/ user root network sandbox valid exit codes "
    "mount / bind, from input 0, output 0 platform linux/amd64";

constexpr std::uint8_t flag_anew = 1, flag_evicted = 2, flag_stream = 4, flag_further = 8;
constexpr std::uint8_t input_has_key = 1, input_has_content = 2;
constexpr std::uint8_t selection_follows = 1, selection_wildcard = 2;
constexpr std::size_t rule_bytes_max = 80;

Result<ShortDigest> read_short(ByteReader& reader) { return shortened(TRY(reader.raw(std::tuple_size_v<ShortDigest>))); }

void write_texts(ByteWriter& writer, const std::vector<std::string>& texts) {
  writer.varint(texts.size());
  for (const std::string& text : texts) writer.string(text);
}

Result<std::vector<std::string>> read_texts(ByteReader& reader) {
  std::vector<std::string> texts;
  const std::uint64_t count = TRY(reader.varint());
  for (std::uint64_t i = 0; i < count; ++i) texts.emplace_back(TRY(reader.string()));
  return texts;
}

void write_selection(ByteWriter& writer, const Selection& selection) {
  writer.string(selection.path);
  writer.u8(static_cast<std::uint8_t>((selection.follow_links ? selection_follows : 0) | (selection.wildcard ? selection_wildcard : 0)));
  write_texts(writer, selection.include_patterns);
  write_texts(writer, selection.exclude_patterns);
  write_texts(writer, selection.required_paths);
}

Result<Selection> read_selection(ByteReader& reader) {
  Selection selection;
  selection.path = TRY(reader.string());
  const std::uint8_t flags = TRY(reader.u8());
  if (flags > (selection_follows | selection_wildcard)) return base::fail(ErrorCode::corrupt, "recipe text: a strange {}", flags);
  selection.follow_links = (flags & selection_follows) != 0;
  selection.wildcard = (flags & selection_wildcard) != 0;
  selection.include_patterns = TRY(read_texts(reader));
  selection.exclude_patterns = TRY(read_texts(reader));
  selection.required_paths = TRY(read_texts(reader));
  return selection;
}

std::string encode_text(const RecipeText& text) {
  ByteWriter writer;
  writer.string(text.name).raw(raw_of(text.operation)).varint(text.fields.size());
  for (const RecipeField& field : text.fields) writer.string(field.name).string(field.value);
  writer.varint(text.inputs.size());
  for (const RecipeText::Input& input : text.inputs) {
    writer.u8(input.by_content ? 1 : 0).varint(input.selections.size());
    for (const Selection& selection : input.selections) write_selection(writer, selection);
  }
  return writer.take();
}

Result<RecipeText> decode_text(std::string_view bytes) {
  ByteReader reader(bytes);
  RecipeText text;
  text.name = TRY(reader.string());
  text.operation = TRY(read_short(reader));
  const std::uint64_t fields = TRY(reader.varint());
  for (std::uint64_t i = 0; i < fields; ++i) {
    std::string name(TRY(reader.string()));
    text.fields.push_back({std::move(name), std::string(TRY(reader.string()))});
  }
  const std::uint64_t inputs = TRY(reader.varint());
  for (std::uint64_t i = 0; i < inputs; ++i) {
    const std::uint8_t by_content = TRY(reader.u8());
    if (by_content > 1) return base::fail(ErrorCode::corrupt, "recipe text: a strange {}", by_content);
    RecipeText::Input& input = text.inputs.emplace_back();
    input.by_content = by_content == 1;
    const std::uint64_t selections = TRY(reader.varint());
    for (std::uint64_t s = 0; s < selections; ++s) input.selections.push_back(TRY(read_selection(reader)));
  }
  TRY(reader.expect_end());
  return text;
}

void write_input(ByteWriter& writer, const RecipeRow::Input& input) {
  writer.varint(input.record.value());
  writer.u8(static_cast<std::uint8_t>((input.key ? input_has_key : 0) | (input.content ? input_has_content : 0)));
  if (input.key) writer.raw(raw_of(*input.key));
  if (input.content) writer.raw(raw_of(*input.content));
}

Result<RecipeRow::Input> read_input(ByteReader& reader) {
  RecipeRow::Input input;
  input.record = RecordId(TRY(reader.varint()));
  const std::uint8_t flags = TRY(reader.u8());
  if (flags > (input_has_key | input_has_content)) return base::fail(ErrorCode::corrupt, "recipe: a strange {}", flags);
  if ((flags & input_has_key) != 0) input.key = TRY(read_short(reader));
  if ((flags & input_has_content) != 0) input.content = TRY(read_short(reader));
  return input;
}

}  // namespace

ShortDigest shortened(std::string_view raw) {
  ShortDigest digest{};
  CHECK(raw.size() >= digest.size());
  std::copy_n(raw.begin(), digest.size(), digest.begin());
  return digest;
}

ShortDigest name_of_text(const RecipeText& text) {
  const base::Sha256Bytes digest = base::sha256(encode_text(text));
  return shortened({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

BucketPlace bucket_of(RecipeIndex index, std::string_view digest) {
  CHECK(digest.size() >= 6);
  const auto byte = [&](std::size_t at) { return static_cast<std::uint32_t>(static_cast<unsigned char>(digest[at])); };
  const std::uint64_t bucket = byte(0) << 8 | byte(1);
  return {BucketId(std::uint64_t{static_cast<std::uint8_t>(index)} << 16 | bucket), byte(2) << 24 | byte(3) << 16 | byte(4) << 8 | byte(5)};
}

std::string spread(std::string_view name) {
  const base::Sha256Bytes digest = base::sha256(name);
  return std::string(reinterpret_cast<const char*>(digest.data()), digest.size());
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::RecipeRow>::encode(const cache::RecipeRow& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).raw(cache::raw_of(row.text)).raw(cache::raw_of(row.key)).raw(cache::raw_of(row.vertex)).i64(to_unix_ns(row.made));
  writer.varint(static_cast<std::uint64_t>(std::max<std::int64_t>(row.took.count(), 0)));
  writer.varint(static_cast<std::uint64_t>(std::max<std::int64_t>(row.since_begin.count(), 0)));
  writer.u8(static_cast<std::uint8_t>((row.asked_anew ? cache::flag_anew : 0) | (row.evicted ? cache::flag_evicted : 0) |
                                      (row.rules == cache::DigestRules::stream ? cache::flag_stream : 0) | (row.further ? cache::flag_further : 0)));
  writer.varint(row.inputs.size());
  for (const cache::RecipeRow::Input& input : row.inputs) cache::write_input(writer, input);
  if (row.evicted) writer.i64(to_unix_ns(row.evicted->when)).string(std::string_view(row.evicted->rule).substr(0, cache::rule_bytes_max));
  return writer.take();
}

Result<cache::RecipeRow> Codec<cache::RecipeRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::RecipeRow row;
  row.text = TRY(cache::read_short(reader));
  row.key = TRY(cache::read_short(reader));
  row.vertex = TRY(cache::read_short(reader));
  row.made = from_unix_ns(TRY(reader.i64()));
  const std::uint64_t took = TRY(reader.varint()), since_begin = TRY(reader.varint());
  constexpr std::uint64_t time_max = std::uint64_t{1} << 53;  // so that neither overflows as nanoseconds
  if (took > time_max || since_begin > time_max) return fail(ErrorCode::corrupt, "recipe: a strange duration");
  row.took = std::chrono::microseconds(took);
  row.since_begin = std::chrono::microseconds(since_begin);
  const std::uint8_t flags = TRY(reader.u8());
  if (flags > (cache::flag_anew | cache::flag_evicted | cache::flag_stream | cache::flag_further)) return fail(ErrorCode::corrupt, "recipe: a strange {}", flags);
  row.asked_anew = (flags & cache::flag_anew) != 0;
  row.further = (flags & cache::flag_further) != 0;
  row.rules = (flags & cache::flag_stream) != 0 ? cache::DigestRules::stream : cache::DigestRules::scan;
  const std::uint64_t inputs = TRY(reader.varint());
  for (std::uint64_t i = 0; i < inputs; ++i) row.inputs.push_back(TRY(cache::read_input(reader)));
  if ((flags & cache::flag_evicted) != 0) {
    cache::RecipeRow::Evicted& evicted = row.evicted.emplace();
    evicted.when = from_unix_ns(TRY(reader.i64()));
    evicted.rule = TRY(reader.string());
  }
  TRY(reader.expect_end());
  return row;
}

std::string Codec<cache::RecipeTextRow>::encode(const cache::RecipeTextRow& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).varint(row.users);
  return writer.raw(compress_with(cache::dictionary, cache::encode_text(row.text))).take();
}

Result<cache::RecipeTextRow> Codec<cache::RecipeTextRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::RecipeTextRow row;
  row.users = TRY(reader.varint());
  const std::string text = TRY(decompress_with(cache::dictionary, reader.rest(), cache::recipe_text_bytes_max));
  row.text = TRY(cache::decode_text(text));
  return row;
}

std::string Codec<cache::RecipeBucket>::encode(const cache::RecipeBucket& row) {
  ByteWriter writer;
  writer.u8(cache::row_version);
  for (const cache::RecipeBucket::Entry& entry : row.entries) writer.u32(entry.hash).varint(entry.record.value());
  return writer.take();
}

Result<cache::RecipeBucket> Codec<cache::RecipeBucket>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::RecipeBucket row;
  while (!reader.at_end()) {
    const std::uint32_t hash = TRY(reader.u32());
    row.entries.push_back({hash, cache::RecordId(TRY(reader.varint()))});
  }
  return row;
}

std::string Codec<cache::KeptTreeRow>::encode(const cache::KeptTreeRow& row) {
  return ByteWriter().u8(cache::row_version).raw(row.page.raw()).take();
}

Result<cache::KeptTreeRow> Codec<cache::KeptTreeRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  const auto page = TRY(cache::read_key_part<cache::PageName>(reader));
  TRY(reader.expect_end());
  return cache::KeptTreeRow{page};
}

}  // namespace cairn::base

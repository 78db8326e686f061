// SPDX-License-Identifier: Apache-2.0
#include "libcache/entries/promotion_rows.h"

#include "libcache/records/row_keys.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

base::Status list_promotions(base::lmdb::Env& env,
                             const std::function<base::Status(RecordId record, const Promotion& promotion)>& visit) {
  return each_row(env, table::promotions, [&](base::lmdb::ReadTxn&, const RecordId& record, const Promotion& promotion) {
    return visit(record, promotion);
  });
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::Promotion>::encode(const cache::Promotion& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).i64(to_unix_ns(row.when)).string(row.who).string(row.reason);
  writer.string(row.door).string(row.instance).string(row.key).raw(row.value.raw());
  writer.u8(row.replaced ? 1 : 0);
  if (row.replaced) writer.raw(row.replaced->raw());
  return writer.take();
}

Result<cache::Promotion> Codec<cache::Promotion>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::Promotion row;
  row.when = from_unix_ns(TRY(reader.i64()));
  for (std::string* const text : {&row.who, &row.reason, &row.door, &row.instance, &row.key}) *text = TRY(reader.string());
  row.value = TRY(cache::read_key_part<BlobDigest>(reader));
  const std::uint8_t has_replaced = TRY(reader.u8());
  if (has_replaced > 1) return fail(ErrorCode::corrupt, "promotion row: a strange flag");
  if (has_replaced == 1) row.replaced = TRY(cache::read_key_part<BlobDigest>(reader));
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base

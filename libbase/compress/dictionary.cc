// SPDX-License-Identifier: Apache-2.0
#include "libbase/compress/dictionary.h"

#include <zstd.h>

#include <memory>

namespace cairn::base {
namespace {

constexpr int level = 3;

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

}  // namespace

std::string compress_with(std::string_view dictionary, std::string_view bytes) {
  const std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  CHECK(context != nullptr, "out of memory");
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const std::size_t size = ZSTD_compress_usingDict(context.get(), out.data(), out.size(), bytes.data(), bytes.size(), dictionary.data(),
                                                   dictionary.size(), level);
  CHECK(!ZSTD_isError(size), "compress {} bytes: {}", bytes.size(), ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

Result<std::string> decompress_with(std::string_view dictionary, std::string_view bytes, std::uint64_t output_max) {
  const unsigned long long wanted = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (wanted == ZSTD_CONTENTSIZE_ERROR || wanted == ZSTD_CONTENTSIZE_UNKNOWN)
    return fail(ErrorCode::corrupt, "decompress: no frame that says its size");
  if (wanted > output_max) return fail(ErrorCode::invalid_argument, "decompress: more than {} bytes", output_max);
  const std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  CHECK(context != nullptr, "out of memory");
  std::string out(wanted, '\0');
  const std::size_t size = ZSTD_decompress_usingDict(context.get(), out.data(), out.size(), bytes.data(), bytes.size(), dictionary.data(),
                                                     dictionary.size());
  if (ZSTD_isError(size)) return fail(ErrorCode::corrupt, "decompress: {}", ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

}  // namespace cairn::base

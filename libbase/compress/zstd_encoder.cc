// SPDX-License-Identifier: Apache-2.0
// zstd into libzstd, one frame with a checksum of its contents.
#include <zstd.h>

#include <algorithm>

#include "libbase/compress/codecs.h"

namespace cairn::base {

namespace {

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

constexpr int job_bytes = 4 << 20;

class ZstdEncoder final : public Encoder {
 public:
  ZstdEncoder(Sink sink, int level, unsigned threads) : output_(std::move(sink)), context_(ZSTD_createCCtx()) {
    CHECK(context_ != nullptr, "out of memory");
    // Level 0 is the default of the library too, and levels out of its range are taken as the nearest.
    CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level)));
    CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1)));
    if (threads == 0) return;
    // A library without threads refuses, and compresses on the caller's. Jobs of a fixed size keep all threads busy with
    // less input than the library's own choice.
    const auto workers = static_cast<int>(std::min(threads, 200u));
    if (ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_nbWorkers, workers))) return;
    CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_jobSize, job_bytes)));
  }

  Status write(std::string_view bytes) override {
    CHECK(!finished_, "write after finish");
    ZSTD_inBuffer piece = {bytes.data(), bytes.size(), 0};
    while (piece.pos < piece.size) TRY(compress_some(piece, ZSTD_e_continue));
    return {};
  }

  Status finish() override {
    CHECK(!finished_, "finish twice");
    finished_ = true;
    ZSTD_inBuffer nothing = {nullptr, 0, 0};
    while (TRY(compress_some(nothing, ZSTD_e_end)) > 0) {}
    return output_.flush();
  }

 private:
  // How many bytes the library holds back, or a guess of it; 0 after the end.
  Result<std::size_t> compress_some(ZSTD_inBuffer& piece, ZSTD_EndDirective directive) {
    const std::span<char> room = output_.room();
    ZSTD_outBuffer target = {room.data(), room.size(), 0};
    const std::size_t left = ZSTD_compressStream2(context_.get(), &target, &piece, directive);
    if (ZSTD_isError(left)) return fail(ErrorCode::io, "zstd: {}", ZSTD_getErrorName(left));
    TRY(output_.advance(target.pos));
    return left;
  }

  CodecOutput output_;
  std::unique_ptr<ZSTD_CCtx, FreeContext> context_;
  bool finished_ = false;
};

}  // namespace

std::unique_ptr<Encoder> make_zstd_encoder(Encoder::Sink sink, int level, unsigned threads) {
  return std::make_unique<ZstdEncoder>(std::move(sink), level, threads);
}

}  // namespace cairn::base

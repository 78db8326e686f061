// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/capabilities.h"

#include "libserve/grpc/splices.h"

namespace cairn::serve {

namespace {
// What `--remote_result_cache_priority` may say; a client refuses a cache that does not list its own. It changes
// nothing here.
constexpr std::int32_t priority_min = -1000, priority_max = 1000;
}  // namespace

// Clients of 2017 know 2.0 alone and refuse a cache whose lowest version is above it.
grpc::ServerUnaryReactor* CapabilitiesService::GetCapabilities(grpc::CallbackServerContext* call,
                                                               const reapi::GetCapabilitiesRequest* request,
                                                               reapi::ServerCapabilities* response) {
  grpc::ServerUnaryReactor* const reactor = call->DefaultReactor();
  const Admission admitted = context_.admit(*call, Rpc::get_capabilities, request->instance_name());
  if (!admitted) return finish(reactor, admitted.error());
  response->mutable_deprecated_api_version()->set_major(2);
  response->mutable_low_api_version()->set_major(2);
  response->mutable_high_api_version()->set_major(2);
  response->mutable_high_api_version()->set_minor(12);
  auto* const cache = response->mutable_cache_capabilities();
  cache->add_digest_functions(reapi::DigestFunction::SHA256);
  cache->mutable_action_cache_update_capabilities()->set_update_enabled(admitted->may_write);
  auto* const range = cache->mutable_cache_priority_capabilities()->add_priorities();
  range->set_min_priority(priority_min);
  range->set_max_priority(priority_max);
  cache->set_max_batch_total_size_bytes(batch_bytes_max);
  cache->set_symlink_absolute_path_strategy(reapi::SymlinkAbsolutePathStrategy::ALLOWED);
  cache->add_supported_compressors(reapi::Compressor::ZSTD);
  cache->add_supported_batch_update_compressors(reapi::Compressor::ZSTD);
  cache->set_max_cas_blob_size_bytes(static_cast<std::int64_t>(admitted->intake.body_max));
  cache->set_split_blob_support(true);
  cache->set_splice_blob_support(true);
  cache->mutable_fast_cdc_2020_params()->set_avg_chunk_size_bytes(chunk_bytes_average);
  return finish(reactor, grpc::Status::OK);
}

}  // namespace cairn::serve

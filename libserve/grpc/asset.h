// SPDX-License-Identifier: Apache-2.0
// Remote Asset API, version 1: blobs and directories by where they come from. What was pushed is an entry under its URI and qualifiers; what was not
// is fetched over HTTP, if the server may.
#pragma once

#include <build/bazel/remote/asset/v1/remote_asset.grpc.pb.h>

#include "libcache/fetcher.h"
#include "libserve/grpc/context.h"

namespace cairn::serve {

namespace asset = build::bazel::remote::asset::v1;

class FetchService final : public asset::Fetch::CallbackService {
 public:
  // fetcher: nullptr: only what was pushed is known.
  FetchService(GrpcContext& context, cache::Fetcher* fetcher) : context_(context), fetcher_(fetcher) {}
  using Unary = grpc::ServerUnaryReactor;
  using Call = grpc::CallbackServerContext;
  Unary* FetchBlob(Call* call, const asset::FetchBlobRequest* request, asset::FetchBlobResponse* response) override;
  Unary* FetchDirectory(Call* call, const asset::FetchDirectoryRequest* request, asset::FetchDirectoryResponse* response) override;

 private:
  GrpcContext& context_;
  cache::Fetcher* const fetcher_;
};

class PushService final : public asset::Push::CallbackService {
 public:
  explicit PushService(GrpcContext& context) : context_(context) {}
  using Unary = grpc::ServerUnaryReactor;
  using Call = grpc::CallbackServerContext;
  Unary* PushBlob(Call* call, const asset::PushBlobRequest* request, asset::PushBlobResponse* response) override;
  Unary* PushDirectory(Call* call, const asset::PushDirectoryRequest* request, asset::PushDirectoryResponse* response) override;

 private:
  GrpcContext& context_;
};

}  // namespace cairn::serve

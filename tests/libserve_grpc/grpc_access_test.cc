// SPDX-License-Identifier: Apache-2.0
// Who is let in over gRPC: every method of every service that is served, called by its name and with bytes, and each
// way to be refused.
#include <sys/stat.h>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/generic/generic_stub.h>

#include <build/bazel/remote/asset/v1/remote_asset.grpc.pb.h>
#include <build/bazel/remote/execution/v2/remote_execution.grpc.pb.h>
#include <map>
#include <regex>
#include <set>

#include "libserve/grpc/rpcs.h"
#include "tests/libserve/some_access.h"
#include "tests/libserve_grpc/grpc_client.h"

namespace cairn::serve {
namespace {

namespace pb = google::protobuf;
using grpc::StatusCode;

struct Answered {
  grpc::Status status;
  std::string bytes;  // of all messages
};

struct GrpcAccess : ::testing::Test {
  GrpcAccess() {
    server = must(GrpcServer::start(*store.cache, {.address = "127.0.0.1:0", .spool = {}, .access = &access}));
    channel = grpc::CreateChannel(server->address(), grpc::InsecureChannelCredentials());
  }

  // A stream is what every call is on the wire.
  Answered call(const std::string& method, const std::string& message, const std::vector<std::string>& tokens) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    for (const std::string& token : tokens) context.AddMetadata("authorization", token);
    grpc::CompletionQueue queue;
    const auto next = [&] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    grpc::GenericStub stub(channel);
    const auto stream = stub.PrepareCall(&context, method, &queue);
    stream->StartCall(nullptr);
    next();
    const grpc::Slice slice(message);
    stream->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    next();
    Answered answered;
    for (grpc::ByteBuffer part;;) {
      stream->Read(&part, nullptr);
      if (!next()) break;
      grpc::Slice bytes;
      if (part.DumpToSingleSlice(&bytes).ok())
        answered.bytes.append(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
    }
    stream->Finish(&answered.status, nullptr);
    next();
    queue.Shutdown();
    while (next()) {}
    return answered;
  }
  Answered call(const pb::MethodDescriptor& method, const std::string& instance, const std::string& token) {
    const std::unique_ptr<pb::Message> request(
        pb::MessageFactory::generated_factory()->GetPrototype(method.input_type())->New());
    const std::string prefix = instance.empty() ? "" : instance + "/", blob = "blobs/" + path_of(digest_of("hello"));
    const auto set = [&](const char* field, const std::string& value) {
      const pb::FieldDescriptor* const found = method.input_type()->FindFieldByName(field);
      if (found != nullptr) request->GetReflection()->SetString(request.get(), found, value);
      return found != nullptr;
    };
    EXPECT_TRUE(set("instance_name", instance) ||
                set("resource_name", prefix + (method.name() == "Read" ? "" : "uploads/one/") + blob))
        << method.full_name() << " names no instance that this test knows";
    return call("/" + method.service()->full_name() + "/" + method.name(), request->SerializeAsString(),
                token.empty() ? std::vector<std::string>{} : std::vector<std::string>{"Bearer " + token});
  }

  cache::OpenStore store;
  const Access access{some_rules()};
  std::unique_ptr<GrpcServer> server;
  std::shared_ptr<grpc::Channel> channel;
};

// Of what is not served: nothing.
const std::map<std::string, std::optional<Need>> rows = {
    {"Capabilities.GetCapabilities", Need::read},
    {"ContentAddressableStorage.FindMissingBlobs", Need::read},
    {"ContentAddressableStorage.BatchUpdateBlobs", Need::write},
    {"ContentAddressableStorage.BatchReadBlobs", Need::read},
    {"ContentAddressableStorage.GetTree", Need::read},
    {"ContentAddressableStorage.SplitBlob", Need::read},
    {"ContentAddressableStorage.SpliceBlob", Need::write},
    {"ActionCache.GetActionResult", Need::read},
    {"ActionCache.UpdateActionResult", Need::write},
    {"ByteStream.Read", Need::read},
    {"ByteStream.Write", Need::write},
    {"ByteStream.QueryWriteStatus", Need::write},
    {"Fetch.FetchBlob", Need::read},
    {"Fetch.FetchDirectory", Need::read},
    {"Push.PushBlob", Need::write},
    {"Push.PushDirectory", Need::write},
    {"Execution.Execute", std::nullopt},
    {"Execution.WaitExecution", std::nullopt},
};

std::vector<const pb::ServiceDescriptor*> known_services() {
  std::vector<const pb::ServiceDescriptor*> services;
  for (const pb::FileDescriptor* const file :
       {reapi::Digest::descriptor()->file(), build::bazel::remote::asset::v1::Qualifier::descriptor()->file(),
        bytestream::ReadRequest::descriptor()->file()})
    for (int i = 0; i < file->service_count(); ++i) services.push_back(file->service(i));
  return services;
}

TEST_F(GrpcAccess, EveryMethodAsksForWhatItNeeds) {
  for (const pb::ServiceDescriptor* const service : known_services()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const pb::MethodDescriptor& method = *service->method(i);
      const std::string name = service->name() + "." + method.name();
      ASSERT_TRUE(rows.contains(name)) << "nobody has said here what " << method.full_name() << " needs";
      const std::optional<Need> need = rows.at(name);
      EXPECT_EQ(is_classified(method.full_name()), need.has_value()) << method.full_name();
      for (const Asker& who : askers) {
        if (who.token == "wrong" && i > 0) continue;  // guesses are counted
        const StatusCode code = call(method, "team/a", who.token).status.error_code();
        const std::string what = method.full_name() + " by \"" + who.token + "\": " + std::to_string(code);
        if (!need)
          EXPECT_EQ(code, StatusCode::UNIMPLEMENTED) << what;
        else if (who.may(*need))
          EXPECT_TRUE(code != StatusCode::UNAUTHENTICATED && code != StatusCode::PERMISSION_DENIED &&
                      code != StatusCode::UNIMPLEMENTED && code != StatusCode::UNAVAILABLE &&
                      code != StatusCode::DEADLINE_EXCEEDED)
              << what;
        else
          EXPECT_EQ(code, who.known ? StatusCode::PERMISSION_DENIED : StatusCode::UNAUTHENTICATED) << what;
      }
    }
  }
}

TEST_F(GrpcAccess, WhatIsServedIsWhatTheTableIsAbout) {
  // ServerReflectionRequest.list_services = ""
  const Answered answered =
      call("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", std::string("\x3a\x00", 2), {});
  ASSERT_TRUE(answered.status.ok()) << "what is served is no secret";
  std::set<std::string> served, expected = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"};
  const std::regex word("[a-z]\\w*(\\.\\w+){2,}");
  for (std::sregex_iterator at(answered.bytes.begin(), answered.bytes.end(), word), end; at != end; ++at)
    served.insert(at->str());
  for (const pb::ServiceDescriptor* const service : known_services())
    if (service->name() != "Execution") expected.insert(service->full_name());
  EXPECT_EQ(served, expected);
  const Answered health = call("/grpc.health.v1.Health/Check", "", {});
  EXPECT_TRUE(health.status.ok()) << "whoever balances loads has no token";
}

TEST_F(GrpcAccess, CredentialsAreOneThatIsRight) {
  const auto* const method = pb::DescriptorPool::generated_pool()->FindMethodByName(
      "build.bazel.remote.execution.v2.Capabilities.GetCapabilities");
  reapi::GetCapabilitiesRequest request;
  request.set_instance_name("team");
  const auto code = [&](const std::vector<std::string>& shown) {
    return call("/" + method->service()->full_name() + "/" + method->name(), request.SerializeAsString(), shown)
        .status.error_code();
  };
  EXPECT_EQ(code({"Bearer reader"}), StatusCode::OK);
  EXPECT_EQ(code({basic_authorization("ada", "a password")}), StatusCode::OK);
  EXPECT_EQ(code({"Bearer wrong", "Bearer reader"}), StatusCode::UNAUTHENTICATED) << "two are none";
  EXPECT_EQ(code({"Bearer reader", "Bearer wrong"}), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code({"reader"}), StatusCode::UNAUTHENTICATED);
  for (int i = 3; i < 10; ++i) EXPECT_EQ(code({"Bearer guess"}), StatusCode::UNAUTHENTICATED) << i;
  EXPECT_EQ(code({"Bearer guess"}), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(code({"Bearer reader"}), StatusCode::OK);
  request.set_instance_name("");
  EXPECT_EQ(code({"Bearer reader"}), StatusCode::PERMISSION_DENIED);
}

TEST_F(GrpcAccess, CapabilitiesSayWhoMayUpload) {
  reapi::GetCapabilitiesRequest request;
  request.set_instance_name("team");
  for (const auto& [token, may] : {std::pair("reader", false), std::pair("writer", true)}) {
    reapi::ServerCapabilities capabilities;
    const Answered got = call("/build.bazel.remote.execution.v2.Capabilities/GetCapabilities",
                              request.SerializeAsString(), {std::string("Bearer ") + token});
    ASSERT_TRUE(capabilities.ParseFromString(got.bytes));
    EXPECT_EQ(capabilities.cache_capabilities().action_cache_update_capabilities().update_enabled(), may) << token;
  }
}

// Of a field that is there twice the last one counts, in whatever order fields come.
TEST_F(GrpcAccess, TricksWithNamesLeadIntoNoOtherInstance) {
  const auto find_missing = [&](const std::string& message) {
    return call("/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs", message,
                {"Bearer reader"})
        .status.error_code();
  };
  reapi::FindMissingBlobsRequest blobs, team, other;
  *blobs.add_blob_digests() = digest_of("hello");
  team.set_instance_name("team");
  other.set_instance_name("other");
  const std::string of_blobs = blobs.SerializeAsString(), of_team = team.SerializeAsString(),
                    of_other = other.SerializeAsString();
  EXPECT_EQ(find_missing(of_team + of_blobs), StatusCode::OK);
  EXPECT_EQ(find_missing(of_blobs + of_team), StatusCode::OK);
  EXPECT_EQ(find_missing(of_other + of_blobs + of_team), StatusCode::OK);
  EXPECT_EQ(find_missing(of_team + of_blobs + of_other), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(find_missing(of_blobs), StatusCode::PERMISSION_DENIED);
  const auto read = [&](const std::string& name) {
    bytestream::ReadRequest request;
    request.set_resource_name(name);
    return call("/google.bytestream.ByteStream/Read", request.SerializeAsString(), {"Bearer reader"})
        .status.error_code();
  };
  const std::string blob = "/blobs/" + path_of(digest_of("hello"));
  EXPECT_EQ(read("team" + blob), StatusCode::NOT_FOUND);
  EXPECT_EQ(read("team/a" + blob), StatusCode::NOT_FOUND);
  for (const char* name : {"other", "teams", "TEAM"})
    EXPECT_EQ(read(name + blob), StatusCode::PERMISSION_DENIED) << name;
  EXPECT_EQ(read(blob.substr(1)), StatusCode::PERMISSION_DENIED);
  for (const char* name :
       {"team/../other", "team/./a", "team//a", "/team", "team/", "team/blobs/x", "team/uploads/one"})
    EXPECT_EQ(read(name + blob), StatusCode::INVALID_ARGUMENT) << name;
}

TEST(GrpcSockets, OneThatSomebodyListensAtIsNotTakenFromHim) {
  cache::OpenStore store;
  GrpcOptions options;
  options.address = (store.root() / "grpc.sock").str();
  options.spool = store.root() / "tmp";
  auto first = must(GrpcServer::start(*store.cache, options));
  struct ::stat file {};
  ASSERT_EQ(::stat(options.address.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0700u) << "for its user alone";
  const auto second = GrpcServer::start(*store.cache, options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, base::ErrorCode::busy);
  first.reset();
  EXPECT_TRUE(GrpcServer::start(*store.cache, options));
}

}  // namespace
}  // namespace cairn::serve

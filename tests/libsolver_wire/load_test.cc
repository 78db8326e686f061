// SPDX-License-Identifier: Apache-2.0
// Loading definitions that are wrong, unusual or made to hurt. What BuildKit accepts and how it names it is golden.llb's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libsolver/definition.h"
#include "libsolver/load/order.h"
#include "libsolver/platform.h"
#include "tests/libsolver_wire/support.h"

namespace cairn::solver {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using namespace test;

const std::string source = wire::encode(source_op("local://x"));

std::string error_of(const std::string& bytes, const DefinitionLimits& limits = {}) {
  const auto loaded = load_definition(bytes, limits);
  if (loaded) return "no error";
  EXPECT_EQ(loaded.error().code, base::ErrorCode::invalid_argument);
  return loaded.error().message;
}

TEST(LoadDefinition, NothingIsScratch) {
  const auto loaded = load_definition("");
  ASSERT_TRUE(loaded);
  EXPECT_FALSE(loaded->result);
  EXPECT_TRUE(loaded->vertices.empty());
}

TEST(LoadDefinition, InputsComeBeforeUsersAndOnlyWhatIsNeededIsThere) {
  const std::string exec = wire::encode(exec_op(digest_text(source)));
  const std::string unused = wire::encode(source_op("local://unused"));
  const auto loaded = load_definition(definition_of({exec, unused, source, wire::encode(head_op(digest_text(exec), 3))}));
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_EQ(loaded->vertices.size(), 2u);
  EXPECT_EQ(loaded->vertices[0]->name, "local://x");
  EXPECT_EQ(loaded->vertices[1]->name, "x");
  EXPECT_EQ(loaded->vertices[1]->inputs.at(0).vertex, 0u);
  EXPECT_EQ(loaded->result->vertex, 1u);
  EXPECT_EQ(loaded->result->output, 3u);
}

TEST(LoadDefinition, EqualOpsAreOneVertex) {
  const std::string exec = wire::encode(exec_op(digest_text(source)));
  const auto loaded = load_definition(definition_of({source, source, exec, exec, wire::encode(head_op(digest_text(exec)))}));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->vertices.size(), 2u);
}

// Two spellings of one op: each is found by the digest of its own bytes, and both become the same vertex.
TEST(LoadDefinition, SpellingsOfOneOpAreOneVertex) {
  const std::string odd = std::string("\x5a\x00", 2) + source;  // constraints, then
  const std::string odder = source + std::string("\x5a\x00", 2);
  wire::MergeOp merge;
  merge.inputs.resize(2);
  wire::Op op;
  op.op = merge;
  op.inputs = {{digest_text(odd), 0, {}}, {digest_text(odder), 0, {}}};
  const std::string bytes = wire::encode(op);
  const auto loaded = load_definition(definition_of({odd, odder, bytes, wire::encode(head_op(digest_text(bytes)))}));
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_EQ(loaded->vertices.size(), 2u);
  EXPECT_EQ(loaded->vertices[1]->inputs.at(0).vertex, loaded->vertices[1]->inputs.at(1).vertex);
  EXPECT_EQ(loaded->vertices[0]->digest.str(), digest_text(odd));
}

TEST(LoadDefinition, ErrorsNameTheOp) {
  wire::Op exec = exec_op(digest_text(source));
  std::get<wire::ExecOp>(exec.op).meta->args.clear();
  const std::string bytes = wire::encode(exec);
  const std::string head = wire::encode(head_op(digest_text(bytes)));
  EXPECT_THAT(error_of(definition_of({source, bytes, head})),
              AllOf(HasSubstr("op 1"), HasSubstr(digest_text(bytes)), HasSubstr("exec without arguments")));
}

TEST(LoadDefinition, MissingAndWrongInputsAreErrors) {
  const std::string wrong = digest_text("something else");
  const std::string exec = wire::encode(exec_op(wrong));
  const std::string head = wire::encode(head_op(digest_text(exec)));
  EXPECT_THAT(error_of(definition_of({source, exec, head})), AllOf(HasSubstr("op 1"), HasSubstr(wrong)));
  EXPECT_THAT(error_of(definition_of({source, wire::encode(head_op("not a digest"))})), HasSubstr("not a digest"));
  EXPECT_THAT(error_of(definition_of({source, wire::encode(head_op(""))})), HasSubstr("not in the definition"));
}

// An op cannot contain its own digest, so a loop shows as an input that is not there.
TEST(LoadDefinition, SelfReferencesAreErrors) {
  const std::string exec = wire::encode(exec_op("sha256:" + std::string(64, '0')));
  EXPECT_THAT(error_of(definition_of({exec, wire::encode(head_op(digest_text(exec)))})), HasSubstr("not in the definition"));
}

TEST(LoadDefinition, OutputIndexesAreChecked) {
  const auto with_index = [](std::int64_t index) {
    return error_of(definition_of({source, wire::encode(head_op(digest_text(source), index))}));
  };
  EXPECT_THAT(with_index(-1), HasSubstr("output index -1"));
  EXPECT_THAT(with_index(INT64_MIN), HasSubstr("output index"));
  EXPECT_THAT(with_index(std::int64_t{1} << 32), HasSubstr("output index 4294967296"));
  EXPECT_EQ(with_index((std::int64_t{1} << 32) - 1), "no error");
}

TEST(LoadDefinition, TheHeadMustBeThereAndNameAnOp) {
  EXPECT_THAT(error_of(definition_of({source})), HasSubstr("one op only"));
  EXPECT_THAT(error_of(definition_of({source, source})), HasSubstr("one op only"));
  EXPECT_THAT(error_of(definition_of({wire::encode(exec_op(digest_text(source))), source})), HasSubstr("no input"));
}

TEST(LoadDefinition, StructureIsChecked) {
  const auto exec_without = [](auto change) {
    wire::Op op = exec_op(digest_text(source));
    op.inputs.clear();
    change(std::get<wire::ExecOp>(op.op));
    return error_of(definition_with(op));
  };
  EXPECT_THAT(exec_without([](auto& exec) { exec.meta.reset(); }), HasSubstr("without meta"));
  EXPECT_THAT(exec_without([](auto& exec) { exec.mounts.clear(); }), HasSubstr("without mounts"));
  EXPECT_THAT(exec_without([](auto& exec) { exec.mounts[0].dest = "/x"; }), HasSubstr("without a mount at /"));
  const auto with = [](auto message) {
    wire::Op op;
    op.op = std::move(message);
    return error_of(definition_with(op));
  };
  EXPECT_THAT(with(wire::FileOp{}), HasSubstr("file without actions"));
  EXPECT_THAT(with(wire::DiffOp{}), HasSubstr("without a lower or an upper"));
  EXPECT_THAT(with(wire::DiffOp{wire::InputNumber{-1, {}}, wire::InputNumber{5, {}}, {}}), HasSubstr("input 5"));
  EXPECT_THAT(with(wire::PassthroughOp{}), HasSubstr("without id"));
  EXPECT_THAT(with(wire::PassthroughOp{"p", {}, {}}), HasSubstr("without outputs"));
  EXPECT_THAT(with(wire::PassthroughOp{"p", {0}, {}}), HasSubstr("input 0, but there are 0"));
}

TEST(LoadDefinition, UnknownCapabilitiesAreRefused) {
  wire::DefinitionMessage message;
  message.def = {{source}, {wire::encode(head_op(digest_text(source)))}};
  message.metadata[digest_text(source)].caps["source.local"] = true;
  EXPECT_EQ(error_of(wire::encode(message)), "no error");
  message.metadata[digest_text(source)].caps["no.such.cap"] = true;
  EXPECT_THAT(error_of(wire::encode(message)), AllOf(HasSubstr("op 0"), HasSubstr("no.such.cap")));
}

TEST(LoadDefinition, EveryTruncationIsHandled) {
  const std::string whole = definition_with(source_op("docker-image://docker.io/library/busybox:latest"));
  std::size_t refused = 0;
  for (std::size_t size = 1; size < whole.size(); ++size) refused += error_of(whole.substr(0, size)) != "no error";
  EXPECT_EQ(refused, whole.size() - 1);
}

TEST(LoadDefinition, LimitsAreNamed) {
  std::string million;
  for (int i = 0; i < 1'000'000; ++i) million += std::string("\x0a\x00", 2);
  EXPECT_THAT(error_of(million), AllOf(HasSubstr("1000000 ops"), HasSubstr("200000")));
  EXPECT_THAT(error_of(std::string(2048, 'x'), {.bytes_max = 1024}), AllOf(HasSubstr("2048 bytes"), HasSubstr("1024")));
  wire::Op wide = head_op(digest_text(source));
  for (int i = 0; i < 10; ++i) wide.inputs.push_back(wide.inputs.front());
  EXPECT_THAT(error_of(definition_of({source, wire::encode(wide)}), {.inputs_max = 10}), HasSubstr("more than 10 inputs"));
  EXPECT_THAT(error_of(definition_with(source_op("local://x")), {.memory_max = 2000}), HasSubstr("too much memory"));
}

// Every name holds its input's name twice: 2^60 bytes, if nobody counted.
TEST(LoadDefinition, NamesOfMergesDoNotExplode) {
  std::vector<std::string> ops{source};
  for (int i = 0; i < 60; ++i) {
    wire::MergeOp merge;
    merge.inputs.resize(2);
    wire::Op op;
    op.inputs.assign(2, {digest_text(ops.back()), 0, {}});
    op.op = merge;
    ops.push_back(wire::encode(op));
  }
  ops.push_back(wire::encode(head_op(digest_text(ops.back()))));
  const auto loaded = load_definition(definition_of(ops));
  ASSERT_TRUE(loaded) << loaded.error().message;
  for (const auto& vertex : loaded->vertices) EXPECT_LE(vertex->name.size(), 65'600u);
}

TEST(LoadDefinition, ProxyNetworkMarksExecsThatHaveNetwork) {
  wire::Op exec = exec_op("");
  exec.inputs.clear();
  const std::string plain = wire::encode(exec);
  const auto loaded = load_definition(definition_with(exec), {}, ProxyNetwork::on);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->vertices[0]->digest.str(), digest_text(plain + std::string("\0buildkit.proxy-network.v0", 26)));
  std::get<wire::ExecOp>(exec.op).network = wire::NetMode::none;
  const auto offline = load_definition(definition_with(exec), {}, ProxyNetwork::on);
  EXPECT_EQ(offline->vertices[0]->digest.str(), digest_text(wire::encode(exec)));
}

TEST(PostOrder, FindsCyclesAndOrdersTheRest) {
  const std::vector<std::vector<std::size_t>> graph{{1, 2}, {2}, {}, {4}, {3}, {5}};
  const auto order_from = [&](std::size_t root) {
    return post_order(graph.size(), std::span(&root, 1), [&](std::size_t i) { return std::span(graph[i]); });
  };
  EXPECT_THAT(order_from(0).value(), ElementsAre(2, 1, 0));
  EXPECT_THAT(order_from(3).error().message, HasSubstr("a cycle"));
  EXPECT_THAT(order_from(5).error().message, HasSubstr("op 5 needs itself"));
}

TEST(NormalizePlatform, KnowsTheAliases) {
  const auto normal = [](std::string os, std::string architecture, std::string variant) {
    wire::Platform platform;
    platform.os = std::move(os);
    platform.architecture = std::move(architecture);
    platform.variant = std::move(variant);
    const auto out = normalize_platform(platform);
    return out.os + "/" + out.architecture + "/" + out.variant;
  };
  EXPECT_EQ(normal("Linux", "x86_64", "v1"), "linux/amd64/");
  EXPECT_EQ(normal("linux", "amd64", "v2"), "linux/amd64/v2");
  EXPECT_EQ(normal("macos", "aarch64", "v8.0"), "darwin/arm64/");
  EXPECT_EQ(normal("linux", "arm64", "9"), "linux/arm64/v9");
  EXPECT_EQ(normal("", "i386", "x"), "linux/386/");
  EXPECT_EQ(normal("linux", "armhf", ""), "linux/arm/v7");
  EXPECT_EQ(normal("linux", "armel", ""), "linux/arm/v6");
  EXPECT_EQ(normal("linux", "arm", ""), "linux/arm/v7");
  EXPECT_EQ(normal("linux", "arm", "6"), "linux/arm/v6");
  EXPECT_EQ(normal("windows", "riscv64", ""), "windows/riscv64/");
}

}  // namespace
}  // namespace cairn::solver

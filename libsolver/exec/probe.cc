// SPDX-License-Identifier: Apache-2.0
// The probe's tree and program.
#include "libsolver/exec/probe.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "libsolver/exec/memory_tree.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Fd;

#if defined(__x86_64__)
constexpr int machine = EM_X86_64;
constexpr std::array<unsigned char, 9> exit_zero = {0x31, 0xff,                    // xor edi, edi
                                                    0xb8, 0x3c, 0x00, 0x00, 0x00,  // mov eax, 60 (exit)
                                                    0x0f, 0x05};                   // syscall
#elif defined(__aarch64__)
constexpr int machine = EM_AARCH64;
constexpr std::array<unsigned char, 12> exit_zero = {0x00, 0x00, 0x80, 0xd2,   // mov x0, 0
                                                     0xa8, 0x0b, 0x80, 0xd2,   // mov x8, 93 (exit)
                                                     0x01, 0x00, 0x00, 0xd4};  // svc 0
#else
#error "The probe needs the program exit(0) in the code of this machine."
#endif

std::string probe_program() {
  constexpr std::uint64_t base_address = 0x400000;
  constexpr std::uint64_t code_at = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = machine;
  header.e_version = EV_CURRENT;
  header.e_entry = base_address + code_at;
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  Elf64_Phdr segment = {};
  segment.p_type = PT_LOAD;
  segment.p_flags = PF_R | PF_X;
  segment.p_vaddr = segment.p_paddr = base_address;
  segment.p_filesz = segment.p_memsz = code_at + exit_zero.size();
  segment.p_align = 0x10000;
  std::string program(reinterpret_cast<const char*>(&header), sizeof header);
  program.append(reinterpret_cast<const char*>(&segment), sizeof segment);
  program.append(exit_zero.begin(), exit_zero.end());
  return program;
}

}  // namespace

base::Result<snapshot::MountedTree> make_probe_tree() {
  snapshot::MountedTree tree = TRY(make_memory_tree("make a tree to try", 0));
  const Fd program(::openat(tree.fd(), "probe", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755));
  if (!program) return base::fail_errno(errno, "make a tree to try: make its program");
  TRY(base::write_full(program.get(), probe_program()), "make a tree to try");
  if (::fchmod(program.get(), 0755) != 0) return base::fail_errno(errno, "make a tree to try: set a mode");
  return tree;
}

base::Result<TreeTransfer> probe_transfer() {
  const snapshot::MountedTree tree = TRY(make_probe_tree());
  const Fd clone(::open_tree(tree.fd(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
  return clone ? TreeTransfer::clone : TreeTransfer::attach;
}

base::Status probe_sandbox(std::shared_ptr<const Sandbox> sandbox, const base::HostPath& state_dir, TreeTransfer transfer) {
  const snapshot::MountedTree tree = TRY(make_probe_tree());
  StepExecutor executor(sandbox, state_dir, TRY(Spawner::open()), transfer);
  ExecRequest request;
  request.id = "probe";
  request.args = {"/probe"};
  request.network = NetworkMode::host;
  request.mounts.emplace_back();
  request.mounts.back().dest = "/";
  request.mounts.back().tree = &tree;
  std::string said;
  const auto collect = [&said](Stream, std::string_view text) { said.append(text); };
  const ExecExit exit = TRY(executor.run(request, collect, {}), "try {}", sandbox->about());
  if (exit.code == 0) return {};
  return base::fail(ErrorCode::unavailable, "try {}: exit code {}, \"{}\"", sandbox->about(), exit.code,
                    said.substr(0, said.find('\n')));
}

}  // namespace cairn::solver

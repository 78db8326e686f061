// SPDX-License-Identifier: Apache-2.0
// Asks the ssh agent behind a socket for its keys and prints how many it has: what a step's ssh would begin with. Linked
// statically, for roots without a C library.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

// draft-miller-ssh-agent, sections 3 and 4.4: a length, then 11 for the request; in the answer 12 and the number of keys.
int main(int argc, char** argv) {
  struct ::sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (argc != 2 || std::strlen(argv[1]) >= sizeof address.sun_path) return 2;
  std::strcpy(address.sun_path, argv[1]);
  const int agent = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (::connect(agent, reinterpret_cast<const struct ::sockaddr*>(&address), sizeof address) != 0) {
    std::perror("connect");
    return 1;
  }
  const unsigned char request[] = {0, 0, 0, 1, 11};
  if (::write(agent, request, sizeof request) != sizeof request) return 1;
  unsigned char answer[9];
  std::size_t have = 0;
  while (have < sizeof answer) {
    const ::ssize_t size = ::read(agent, answer + have, sizeof answer - have);
    if (size <= 0) return 1;
    have += static_cast<std::size_t>(size);
  }
  if (answer[4] != 12) return 1;
  std::printf("%u keys\n", static_cast<unsigned>((answer[5] << 24) | (answer[6] << 16) | (answer[7] << 8) | answer[8]));
  return 0;
}

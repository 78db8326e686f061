// SPDX-License-Identifier: Apache-2.0
#include "tests/support/registry_server.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <regex>
#include <thread>
#include <vector>

#include "libbase/fs/fd.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::test {
namespace {

// bcrypt of "secret", as the registry wants it.
constexpr const char* password_file = "cairn:$2y$04$/Y3q.chklYySN5o.adgCS.yf5L7xpOlD/Kxols7XjtUE/rnyPPo1y\n";

constexpr const char* push_script = R"(
import base64, hashlib, json, os, ssl, sys, urllib.request
host, repository, layout, credentials, certificate = sys.argv[1:6]
url = ('https://' if certificate else 'http://') + host + '/v2/' + repository + '/'
handlers = [urllib.request.ProxyHandler({})]
if certificate:
    handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=certificate)))
opener = urllib.request.build_opener(*handlers)

def send(method, address, body, kind='application/octet-stream'):
    request = urllib.request.Request(address, data=body, method=method, headers={'Content-Type': kind})
    if credentials:
        request.add_header('Authorization', 'Basic ' + base64.b64encode(credentials.encode()).decode())
    return opener.open(request)

def read(digest):
    with open(os.path.join(layout, 'blobs', 'sha256', digest.split(':')[1]), 'rb') as file:
        return file.read()

def put_blob(digest):
    begun = send('POST', url + 'blobs/uploads/', b'')
    address = begun.headers['Location']
    send('PUT', address + ('&' if '?' in address else '?') + 'digest=' + digest, read(digest))

def put(descriptor):
    body = read(descriptor['digest'])
    document = json.loads(body)
    for manifest in document.get('manifests', []):
        put(manifest)
    if 'config' in document:
        for blob in [document['config']] + document['layers']:
            put_blob(blob['digest'])
    send('PUT', url + 'manifests/' + descriptor['digest'], body, descriptor['mediaType'])
    return body

with open(os.path.join(layout, 'index.json')) as file:
    for entry in json.load(file)['manifests']:
        body = put(entry)
        tag = entry.get('annotations', {}).get('org.opencontainers.image.ref.name')
        if tag:
            send('PUT', url + 'manifests/' + tag, body, entry['mediaType'])
)";

pid_t start(const std::vector<std::string>& words, const base::HostPath& log) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t streams;
  posix_spawn_file_actions_init(&streams);
  posix_spawn_file_actions_addopen(&streams, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&streams, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&streams, 1, 2);
  pid_t child = -1;
  const int error = ::posix_spawnp(&child, arguments[0], &streams, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&streams);
  CHECK(error == 0, "start {}: {}", words[0], base::errno_text(error));
  return child;
}

std::string text_of(const base::HostPath& file) {
  std::ifstream in(file.str(), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

RegistryServer::RegistryServer(Access access, std::optional<Tls> tls) : tls_(std::move(tls)) {
  write_text(dir_ / "config.yml", "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\n");
  // It ends with this program, also if that is killed.
  std::vector<std::string> words{"setpriv", "--pdeathsig", "KILL", "env", "OTEL_TRACES_EXPORTER=none", "REGISTRY_HTTP_ADDR=127.0.0.1:0",
                                 "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=" + (dir_ / "data").str()};
  if (access == Access::basic) {
    write_text(dir_ / "passwords", password_file);
    for (const std::string& word : {std::string("REGISTRY_AUTH=htpasswd"), std::string("REGISTRY_AUTH_HTPASSWD_REALM=cairn"),
                                    "REGISTRY_AUTH_HTPASSWD_PATH=" + (dir_ / "passwords").str()}) {
      words.push_back(word);
    }
  }
  if (tls_) {
    words.push_back("REGISTRY_HTTP_TLS_KEY=" + tls_->key.str());
    words.push_back("REGISTRY_HTTP_TLS_CERTIFICATE=" + tls_->certificate.str());
  }
  for (const std::string& word : {std::string("docker-registry"), std::string("serve"), (dir_ / "config.yml").str()}) words.push_back(word);
  pid_ = start(words, dir_ / "log");
  static const std::regex listening("listening on (127\\.0\\.0\\.1:[0-9]+)");
  for (int i = 0; i < 6'000 && host_.empty(); ++i) {
    std::smatch found;
    const std::string log = text_of(dir_ / "log");
    if (std::regex_search(log, found, listening)) host_ = found[1];
    CHECK(::waitpid(pid_, nullptr, WNOHANG) == 0, "docker-registry ended: {}", log);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(!host_.empty(), "docker-registry does not listen: {}", text_of(dir_ / "log"));
}

RegistryServer::~RegistryServer() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void RegistryServer::push(const base::HostPath& layout, const std::string& repository) const {
  const pid_t child = start({"python3", "-c", push_script, host_, repository, layout.str(), credentials,
                             tls_ ? tls_->certificate.str() : ""},
                            dir_ / "push.log");
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child && status == 0, "push to the registry: {}", text_of(dir_ / "push.log"));
}

}  // namespace cairn::test

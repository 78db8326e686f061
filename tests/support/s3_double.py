#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server of S3's protocol that is strict, and sick when it is told to be. Python's standard library only.

    s3_double.py --access-key AK --secret SK [--token T] [--region R] [--domain localhost] [--page N]

`--page`: how many names a listing has at most.

It prints `port N`. Signatures are verified by code of its own, written from Amazon's specification of Signature Version
4, not from ours. Requests below /-/ are the test's, and not signed:

    PUT /-/sick     {"mode": ..., ...}: what every request gets from now on; {} or mode "": it is well again
    PUT /-/objects  {"name": "text"} puts an object as it is; null takes it away
    PUT /-/age      {"seconds": N}: all that is there was put so much earlier
    GET /-/objects  {"name": "text", ...}: all of them
    GET /-/log      the requests so far: [{"method", "path", "headers", "status", "port" of the client}]

Modes: "silent" (never an answer), "status" (with "status" and "code"), "drip" (a byte every 50 ms), "wrong" (one byte of
each body is another), "cut" (half of the body), "redirect" (to "to"), "no_conditions" (501 to a conditional put),
"clock" (its clock is "seconds" ahead), "busy_put" (409 to each put), "longer" (a body of one more byte).
"""
import argparse
import datetime
import email.utils
import hashlib
import hmac
import http.server
import json
import re
import sys
import threading
import time
import urllib.parse
import xml.sax.saxutils

SKEW_SECONDS_MAX = 15 * 60


class Refusal(Exception):
    def __init__(self, status, code):
        super().__init__(code)
        self.status, self.code = status, code


class Store:
    def __init__(self):
        self.lock = threading.Lock()
        self.objects, self.log, self.sick = {}, [], {}
        self.times = {}  # when each object was put, by its name

    def put(self, name, body):
        self.objects[name], self.times[name] = body, time.time()


def encoded(text, keep):
    """Every byte but the unreserved ones as %XX, in upper case."""
    return urllib.parse.quote(text, safe=keep + "-_.~")


def canonical_query(query):
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    return "&".join(sorted(f"{encoded(name, '')}={encoded(value, '')}" for name, value in pairs))


def signed_string(method, target, headers, names, payload_hash, stamp, scope):
    path, _, query = target.partition("?")
    lines = []
    for name in names:
        values = headers.get_all(name)
        if values is None:
            raise Refusal(403, "SignatureDoesNotMatch")
        lines.append(name + ":" + ",".join(" ".join(value.split()) for value in values))
    request = "\n".join([method, encoded(urllib.parse.unquote(path), "/"), canonical_query(query),
                         *lines, "", ";".join(names), payload_hash])
    return "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])


def signature(secret, scope, text):
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store = Store()
    arguments = None

    def log_message(self, *_):
        pass

    def verify(self, body):
        """Who asks, as the specification says; Refusal if it is not the one with the key."""
        given = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/[^/]+/s3/aws4_request), ?"
                             r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})", self.headers.get("Authorization", ""))
        if not given:
            raise Refusal(403, "AccessDenied")
        key, scope, names, sent = given.groups()
        names = names.split(";")
        stamp, payload_hash = self.headers.get("x-amz-date", ""), self.headers.get("x-amz-content-sha256", "")
        if key != self.arguments.access_key:
            raise Refusal(403, "InvalidAccessKeyId")
        must = {"host", "x-amz-date", "x-amz-content-sha256"} | {
            name.lower() for name in self.headers if name.lower().startswith("x-amz-") or name.lower() in ("if-none-match", "if-match")}
        if names != sorted(names) or not must <= set(names):
            raise Refusal(403, "AccessDenied")
        if (self.headers.get("x-amz-security-token") or "") != self.arguments.token:
            raise Refusal(403, "InvalidToken")
        when = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        ahead = self.store.sick.get("seconds", 0) if self.store.sick.get("mode") == "clock" else 0
        if abs(time.time() + ahead - when) > SKEW_SECONDS_MAX:
            raise Refusal(403, "RequestTimeTooSkewed")
        if scope != f"{stamp[:8]}/{self.arguments.region}/s3/aws4_request":
            raise Refusal(400, "AuthorizationHeaderMalformed")
        text = signed_string(self.command, self.path, self.headers, names, payload_hash, stamp, scope)
        if not hmac.compare_digest(signature(self.arguments.secret, scope, text), sent):
            raise Refusal(403, "SignatureDoesNotMatch")
        if payload_hash != "UNSIGNED-PAYLOAD" and payload_hash != hashlib.sha256(body).hexdigest():
            raise Refusal(400, "XAmzContentSHA256Mismatch")

    def object_name(self):
        path = urllib.parse.unquote(self.path.partition("?")[0])
        bucket = re.fullmatch(rf"([a-z0-9.-]+)\.{re.escape(self.arguments.domain)}(:\d+)?", self.headers["Host"])
        return (bucket.group(1) + path) if bucket else path[1:]

    def answer(self, status, body=b"", headers=()):
        self.status = status
        sick = self.store.sick.get("mode")
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if sick == "longer" and status in (200, 206):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            body += b"x"
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if sick == "wrong" and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        if sick == "cut":
            body = body[:len(body) // 2]
            self.close_connection = True
        if sick == "drip":
            for at in range(len(body)):
                self.wfile.write(body[at:at + 1])
                time.sleep(0.05)
            return
        self.wfile.write(body)

    def refuse(self, status, code):
        text = f"<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>no</Message></Error>"
        self.answer(status, text.encode(), [("Content-Type", "application/xml")])

    def put(self, name, body):
        sick = self.store.sick.get("mode")
        if sick == "busy_put":
            raise Refusal(409, "ConditionalRequestConflict")
        condition, match = self.headers.get("If-None-Match"), self.headers.get("If-Match")
        if sick == "no_conditions" and (condition or match):
            raise Refusal(501, "NotImplemented")
        with self.store.lock:
            there = self.store.objects.get(name)
            if condition is not None and (condition != "*" or there is not None):
                raise Refusal(412, "PreconditionFailed") if condition == "*" else Refusal(501, "NotImplemented")
            if match is not None and (there is None or match != self.tag(there)):
                raise Refusal(412 if there is not None else 404, "PreconditionFailed" if there is not None else "NoSuchKey")
            source = self.headers.get("x-amz-copy-source")
            if source is not None:
                body = self.store.objects.get(urllib.parse.unquote(source).removeprefix("/"))
                if body is None:
                    raise Refusal(404, "NoSuchKey")
            self.store.put(name, body)
        self.answer(200, b"", [("ETag", self.tag(body))])

    @staticmethod
    def tag(body):
        return '"' + hashlib.md5(body).hexdigest() + '"'

    def get(self, name):
        with self.store.lock:
            body, written = self.store.objects.get(name), self.store.times.get(name, 0)
        if body is None:
            raise Refusal(404, "NoSuchKey")
        facts = [("ETag", self.tag(body)), ("Last-Modified", email.utils.formatdate(written, usegmt=True))]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not wanted:
            return self.answer(200, body, facts)
        first, last = int(wanted.group(1)), min(int(wanted.group(2)), len(body) - 1)
        if first > last:
            raise Refusal(416, "InvalidRange")
        self.answer(206, body[first:last + 1],
                    [*facts, ("Content-Range", f"bytes {first}-{last}/{len(body)}")])

    def list(self, bucket, query):
        """ListObjectsV2, as far as names and pages go."""
        if query.get("list-type") != "2":
            raise Refusal(501, "NotImplemented")
        prefix, after = query.get("prefix", ""), query.get("start-after", "")
        most = min(int(query.get("max-keys", 1000)), self.arguments.page)
        with self.store.lock:
            names = sorted(name[len(bucket) + 1:] for name in self.store.objects if name.startswith(f"{bucket}/{prefix}"))
        names = [name for name in names if name > after]
        keys = "".join(f"<Contents><Key>{xml.sax.saxutils.escape(name)}</Key><Size>1</Size></Contents>" for name in names[:most])
        truncated = "true" if len(names) > most else "false"
        self.answer(200, (f"<?xml version=\"1.0\"?>\n<ListBucketResult><Name>{bucket}</Name>{keys}"
                          f"<IsTruncated>{truncated}</IsTruncated></ListBucketResult>").encode())

    def control(self, body):
        if self.path == "/-/log":
            return self.answer_control(json.dumps(self.store.log).encode())
        if self.command == "GET":
            with self.store.lock:
                return self.answer_control(json.dumps({k: v.decode("latin-1") for k, v in self.store.objects.items()}).encode())
        given = json.loads(body)
        with self.store.lock:
            if self.path == "/-/sick":
                self.store.sick = given
            if self.path == "/-/age":
                self.store.times = {name: at - given["seconds"] for name, at in self.store.times.items()}
            for name, text in given.items() if self.path == "/-/objects" else ():
                if text is None:
                    self.store.objects.pop(name, None)
                else:
                    self.store.put(name, text.encode("latin-1"))
        return self.answer_control(b"")

    def answer_control(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/-/"):
            return self.control(body)
        self.status = 0
        entry = {"method": self.command, "path": self.path, "port": self.client_address[1],
                 "headers": {k.lower(): v for k, v in self.headers.items()}}
        sick = self.store.sick
        try:
            if sick.get("mode") == "silent":
                time.sleep(3600)
            if sick.get("mode") == "status":
                raise Refusal(sick["status"], sick.get("code", "Sick"))
            if sick.get("mode") == "redirect":
                return self.answer(307, b"", [("Location", sick["to"]), ("x-amz-bucket-region", "eu-north-1")])
            self.verify(body)
            name = self.object_name()
            if name.split("/")[0] != self.arguments.bucket:
                raise Refusal(404, "NoSuchBucket")
            bucket, _, key = name.partition("/")
            query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2], keep_blank_values=True))
            if self.command == "PUT":
                self.put(name, body)
            elif key:
                self.get(name)
            else:
                self.list(bucket, query)
        except Refusal as refusal:
            self.refuse(refusal.status, refusal.code)
        finally:
            with self.store.lock:
                self.store.log.append({**entry, "status": self.status})

    do_GET = do_HEAD = do_PUT = serve


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        pass  # a client that has gone


def main():
    parser = argparse.ArgumentParser()
    for name, default in (("access-key", None), ("secret", None), ("token", ""), ("region", "us-east-1"),
                          ("domain", "localhost"), ("bucket", "cache")):
        parser.add_argument("--" + name, default=default, required=default is None)
    parser.add_argument("--page", type=int, default=1000)
    Handler.arguments = parser.parse_args()
    server = Server(("127.0.0.1", 0), Handler)
    print(f"port {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())

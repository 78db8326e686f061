# SPDX-License-Identifier: Apache-2.0
"""Seeds one violation of each kind into a small clean tree and sees scripts/tidy find it, and nothing else.

tidy_test.py TIDY
"""
import os
import subprocess
import sys
import tempfile
import unittest

TIDY = None
LICENCE = "// SPDX-License-Identifier: Apache-2.0\n"
HASH_LICENCE = "# SPDX-License-Identifier: Apache-2.0\n"

# A tree without fault, that has one of everything the checks look at.
CLEAN = {
    "README.md": "# A tree\nSee [the guide](docs/guide.md), [its part](docs/guide.md#a-part) and [docs](docs).\n"
                 "Not a link: `[x](y.md)`. Elsewhere: [there](https://example.com/).\n",
    "docs/decisions/0001-a.md": "# 0001. A\n",
    "docs/tests.md": "# Tests\n| rows | `Rows.ComeBack` and what is no test: `rows.h::g` |\n",
    "docs/guide.md": "# Guide\n## A part\nBack to the [readme](../README.md).\n",
    "libbase/result.h": LICENCE + "// Errors.\n#pragma once\n",
    "libbase/lmdb/env.h": LICENCE + "// The door.\n#pragma once\n",
    "libbase/lmdb/env.cc": LICENCE + '#include "libbase/lmdb/env.h"\n#include <lmdb.h>\nvoid f() { CRASH_POINT("base.a"); }\n',
    "libsnapshot/open.h": LICENCE + '// Opens.\n#pragma once\n#include "libbase/lmdb/env.h"\n',
    "libsnapshot/meta/rows.h": LICENCE + "// Rows.\n#pragma once\n",
    "libsnapshot/meta/rows.cc": LICENCE + '#include "libsnapshot/meta/rows.h"\nvoid g() { CRASH_POINT("snapshot.a"); }\n'
                                "// We never throw a thing, and catch (nothing).\nconst char* h() { return \"throw x\"; }\n",
    "libcache/cache.h": LICENCE + '// Caches.\n#pragma once\n#include "libsnapshot/open.h"\n',
    "libsolver/wire/ops.h": LICENCE + "// Messages.\n#pragma once\n",
    "libsolver/llb.h": LICENCE + '// Graphs.\n#pragma once\n#include "libcache/cache.h"\n#include "libsolver/wire/ops.h"\n',
    "tools/engine/engine.h": LICENCE + '// Joins.\n#pragma once\n#include "libsolver/llb.h"\n',
    "tests/CMakeLists.txt": HASH_LICENCE + "add_subdirectory(libsnapshot)\n",
    "tests/libsnapshot/CMakeLists.txt": HASH_LICENCE + "add_executable(t rows_test.cc)\nfile(GLOB more *_more.cc)\n"
                                    "foreach(suite x y)\n  add_executable(${suite} ${suite}_suite.cc)\nendforeach()\n",
    "tests/libsnapshot/y_suite.cc": LICENCE,
    "tests/libsnapshot/rows_test.cc": LICENCE + '#include "libsnapshot/meta/rows.h"\n',
    "tests/libsnapshot/one_more.cc": LICENCE + "TEST_F(Rows,\n       ComeBack) {}\n",
    "tests/support/temp_dir.h": LICENCE + "// A directory.\n#pragma once\n",
    "scripts/run": "#!/bin/sh\n" + HASH_LICENCE,
}


def run(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run([sys.executable, "-B", TIDY, root], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()


class Tidy(unittest.TestCase):
    def test_a_clean_tree_has_no_finding(self):
        self.assertEqual((0, []), run(CLEAN))

    def test_an_empty_tree_is_a_failure(self):
        self.assertEqual(2, run({"README.md": "# Nothing\n"})[0])

    def found(self, path, added, line, words):
        """Adds text at the end of a file (or a new one) and wants exactly one finding: there, with these words."""
        files = dict(CLEAN)
        files[path] = files.get(path, "") + added
        code, lines = run(files)
        self.assertEqual(1, code, lines)
        self.assertEqual(1, len(lines), lines)
        self.assertTrue(lines[0].startswith(f"{path}:{line}: "), lines)
        self.assertIn(words, lines[0])

    def test_include_upward(self):
        self.found("libsnapshot/open.h", '#include "libcache/cache.h"\n', 5, "includes point downward")
        self.found("libsolver/llb.h", '#include "tools/engine/engine.h"\n', 6, "includes point downward")

    def test_libraries_that_stand_beside_each_other(self):
        self.found("libserve/doors/a.cc", LICENCE + '#include "libsolver/llb.h"\n', 2, "libserve knows nothing of libsolver")

    def test_include_not_from_the_root(self):
        self.found("libsnapshot/open.h", '#include "rows.h"\n', 5, "not a path from the root")

    def test_private_header_of_another_library(self):
        self.found("libcache/cache.h", '#include "libsnapshot/meta/rows.h"\n', 5, "private to libsnapshot")
        self.found("tests/support/temp_dir.h", '#include "libsnapshot/meta/rows.h"\n', 4, "private to libsnapshot")

    def test_vendors_outside_their_doors(self):
        for header in ["lmdb.h", "zstd.h", "igzip_lib.h", "isa-l/igzip_lib.h", "zlib.h", "openssl/evp.h", "spdlog/spdlog.h",
                       "boost/filesystem.hpp", "boost/filesystem/path.hpp", "boost/asio.hpp", "boost/beast/http.hpp", "archive.h", "archive_entry.h", "CLI/CLI.hpp"]:
            with self.subTest(header):
                self.found("libcache/cache.h", f"#include <{header}>\n", 5, "is included only in")
        self.found("tests/support/temp_dir.h", "#include <lmdb.h>\n", 4, "libbase/lmdb")

    def test_heavy_public_header(self):
        self.found("libsolver/llb.h", "#include <nlohmann/json.hpp>\n", 6, "every user pays")

    def test_production_code_with_test_support(self):
        self.found("libcache/cache.h", '#include "tests/support/temp_dir.h"\n', 5, "production code includes")

    def test_no_licence_line(self):
        self.found("libcache/gc/prune.cc", "// Collects.\n", 1, "SPDX")
        self.found("scripts/other", "#!/bin/sh\n# Nothing.\n", 1, "SPDX")

    def test_long_file(self):
        self.found("libcache/gc/prune.cc", LICENCE + "// more\n" * 600, 601, "601 lines")

    def test_two_decisions_of_one_number(self):
        self.found("docs/decisions/0001-b.md", "# 0001. B\n", 1, "next number")

    def test_named_tests_that_are_not_there(self):
        self.found("docs/tests.md", "`Rows.ComeBack`, `Rows.AreGone`\n", 3, "there is no test Rows.AreGone")
        self.found("docs/tests.md", "all of `Rows.*` and of `Columns.*`\n", 3, "there is no test Columns.*")

    def test_marks(self):
        for mark in ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]:
            with self.subTest(mark):
                self.found("libsnapshot/meta/rows.cc", f"// {mark}: later\n", 6, mark)

    def test_source_that_nothing_builds(self):
        self.found("tests/libsnapshot/lost_test.cc", LICENCE, 1, "no CMakeLists.txt builds it")
        self.found("tests/libsnapshot/z_suite.cc", LICENCE, 1, "no CMakeLists.txt builds it")
        self.found("bench/micro/lost_bench.cc", LICENCE, 1, "no CMakeLists.txt builds it")

    def test_tests_that_do_not_run(self):
        self.found("tests/libsnapshot/rows_test.cc", "GTEST_" + "SKIP();\n", 3, "does not run")
        self.found("tests/libsnapshot/rows_test.cc", "TEST(A, DIS" + "ABLED_b) {}\n", 3, "does not run")

    def test_exceptions(self):
        self.found("libsnapshot/meta/rows.cc", "void i() { throw 1; }\n", 6, "`throw`")
        self.found("libsnapshot/meta/rows.cc", "/* fine: throw x */ void i() { try {} catch (...) {} }\n", 6, "`catch`")

    def test_public_header_without_purpose(self):
        self.found("libcache/ref.h", LICENCE + "#pragma once\n", 2, "begins with what it is for")

    def test_names_of_other_places(self):
        for text in ["http://deb." + "debian.org/debian", "../sha" + "red/spec", "/wo" + "rk/main/x"]:
            with self.subTest(text):
                self.found("docs/guide.md", f"From {text}.\n", 4, "names ")

    def test_links_that_lead_nowhere(self):
        self.found("docs/guide.md", "See [this](nothing.md).\n", 4, "leads nowhere")
        self.found("docs/guide.md", "See [this](../README.md#nothing).\n", 4, "has no heading")

    def test_crash_points_of_one_name(self):
        self.found("libsnapshot/meta/rows.cc", 'void i() { CRASH_POINT("base.a"); }\n', 6, "libbase/lmdb/env.cc:4 too")


if __name__ == "__main__":
    TIDY = os.path.abspath(sys.argv.pop(1))
    unittest.main()

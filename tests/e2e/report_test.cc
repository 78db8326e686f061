// SPDX-License-Identifier: Apache-2.0
// The pages that cachectl writes, in a real browser without a screen: charts are drawn, tables are sorted after a click. And graphs, as
// Graphviz lays them out.
#include <cstdlib>
#include <fstream>

#include "tests/e2e/world.h"

namespace cairn::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Pages : public World {
 protected:
  std::string read(const base::HostPath& path) {
    std::ifstream file(path.str());
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // What a browser has made of the page when its scripts, and then `then`, have run.
  std::string in_browser(const std::string& page, const std::string& then) {
    std::string copy = page;
    const std::size_t end = copy.rfind("</body>");
    EXPECT_NE(end, std::string::npos);
    copy.insert(end, "<script>" + then + "</script>");
    std::ofstream((temp_ / "copy.html").str()) << copy;
    const Ended ended = run_program(temp_.path(), {"chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + (temp_ / "browser").str(),
                                                   "--virtual-time-budget=2000", "--dump-dom", "file://" + (temp_ / "copy.html").str()});
    EXPECT_EQ(ended.code, 0) << ended.err;
    return ended.out;
  }
  llb::State chain(const std::string& second) {
    const auto first = output("first", "echo a > /out/file");
    return output("second", second, {{.dest = "/in", .source = first, .read_only = true}});
  }
};

TEST_F(Pages, AReportDrawsItsChartsAndSortsItsTables) {
  ASSERT_EQ(solve(chain("cat /in/file > /out/file"), {"--project", "web"}).code, 0);
  ASSERT_EQ(solve(chain("cat /in/file > /out/file"), {"--project", "web"}).code, 0);
  ASSERT_EQ(solve(chain("cat /in/file /in/file > /out/file"), {"--project", "<b>shop</b>"}).code, 0);
  const base::HostPath file = temp_ / "report.html";
  const auto ended = cachectl({"--root", root_.str(), "report", "--output", file.str()});
  ASSERT_EQ(ended.code, 0) << ended.err;
  const std::string page = read(file);
  for (const char* from_elsewhere : {"src=", "href=", "@import", "url(", "fetch("}) EXPECT_THAT(page, Not(HasSubstr(from_elsewhere)));
  EXPECT_THAT(page, Not(HasSubstr("<b>shop</b>"))) << "what somebody has named something is no markup";

  const std::string dom = in_browser(page, R"(
    const drawn = [...document.querySelectorAll('svg')].filter(svg => { const box = svg.getBBox(); return box.width > 50 && box.height > 20; });
    const lines = [...document.querySelectorAll('polyline')].filter(line => line.getTotalLength() > 0);
    const column = () => [...document.querySelectorAll('#solves tbody tr')].map(row => Number(row.cells[3].dataset.n));
    const head = document.querySelector('#solves').tHead.rows[0].cells[3];
    const before = column();
    head.click();
    const down = column();
    head.click();
    const up = column();
    document.body.dataset.seen = JSON.stringify({charts: document.querySelectorAll('svg').length, drawn: drawn.length, lines: lines.length, before, down, up});
  )");
  EXPECT_THAT(dom, HasSubstr("&quot;charts&quot;:4,&quot;drawn&quot;:4,&quot;lines&quot;:1")) << dom.substr(0, 2000);
  // Steps run: 2 (and the image), none, 1; as they came, and then sorted by that.
  const std::size_t seen = dom.find("&quot;before&quot;");
  ASSERT_NE(seen, std::string::npos);
  const auto list = [&](const std::string& name) {
    const std::string start = "&quot;" + name + "&quot;:[";
    const std::size_t begin = dom.find(start, seen) + start.size();
    std::vector<int> numbers;
    for (std::size_t at = begin; dom[at - 1] != ']'; ++at) numbers.push_back(std::stoi(dom.substr(at))), at = dom.find_first_of(",]", at);
    return numbers;
  };
  std::vector<int> sorted = list("before");
  ASSERT_EQ(sorted.size(), 3u);
  std::sort(sorted.begin(), sorted.end());
  ASSERT_LT(sorted.front(), sorted.back()) << "or sorting shows nothing";
  EXPECT_NE(list("before"), sorted);
  EXPECT_EQ(list("up"), sorted);
  std::reverse(sorted.begin(), sorted.end());
  EXPECT_EQ(list("down"), sorted);
}

TEST_F(Pages, AGraphShowsWhatASolveHasMadeOfIt) {
  ASSERT_EQ(solve(chain("cat /in/file > /out/file")).code, 0);
  const auto graph = write_graph(bytes_of(chain("cat /in/file /in/file > /out/file")));
  ASSERT_EQ(cachectl(solve_command(graph)).code, 0);
  for (const char* name : {"g.svg", "g.dot", "g.html"}) {
    const auto ended = cachectl({"--root", root_.str(), "graph", graph.str(), "--solve", "last", "--output", (temp_ / name).str()});
    ASSERT_EQ(ended.code, 0) << ended.err;
  }
  const std::string dot = read(temp_ / "g.dot");
  EXPECT_THAT(dot, HasSubstr("second\\nexecuted"));
  EXPECT_THAT(dot, HasSubstr("first\\ncached"));
  EXPECT_THAT(dot, HasSubstr(" -> "));
  const std::string svg = read(temp_ / "g.svg");
  EXPECT_THAT(svg, ::testing::StartsWith("<svg"));
  EXPECT_THAT(svg, HasSubstr(">second</text>"));
  EXPECT_THAT(read(temp_ / "g.html"), HasSubstr(">second</text>"));
  EXPECT_EQ(cachectl({"graph", graph.str(), "--output", (temp_ / "g.png").str()}).code, 1);
  EXPECT_EQ(cachectl({"--root", root_.str(), "graph", graph.str(), "--solve", "0123456789abcdef", "--output", (temp_ / "h.dot").str()}).code, 3);
}

TEST_F(Pages, AGraphOfASolveNeedsNoFileAndShowsSizesBesideHitsMissesAndTimes) {
  ASSERT_EQ(solve(chain("cat /in/file > /out/file")).code, 0);
  const auto first = output("first", "echo a > /out/file");
  llb::RunOptions options{.mounts = {{.dest = "/in", .source = first, .read_only = true}}};
  options.name = "second";
  ASSERT_EQ(solve(image().run({"sh", "-c", "head -c 300000 /dev/zero > /big"}, options).root()).code, 0);
  const std::string history = cachectl({"--root", root_.str(), "history", "list", "--json"}).out;
  const std::size_t at = history.find("\"id\":\"") + 6;
  const std::string id = history.substr(at, 16);
  std::string of_last;
  for (const std::string& solve : {std::string("last"), id}) {
    const auto ended = cachectl({"--root", root_.str(), "graph", solve, "--output", (temp_ / "g.dot").str()});
    ASSERT_EQ(ended.code, 0) << ended.err;
    const std::string dot = read(temp_ / "g.dot");
    EXPECT_THAT(dot, ::testing::ContainsRegex("label=\"second\\\\nexecuted, [0-9.]+m?s, [23][0-9][0-9]\\.[0-9] KiB\\\\n"));
    EXPECT_THAT(dot, ::testing::ContainsRegex("label=\"first\\\\ncached, .*[0-9]+(\\.[0-9])? [KM]?i?B"));
    std::size_t arrows = 0;
    for (std::size_t arrow = 0; (arrow = dot.find(" -> ", arrow)) != std::string::npos; ++arrow) ++arrows;
    EXPECT_EQ(arrows, 3u) << "the image is below both steps, and the first below the second: " << dot;
    if (of_last.empty()) of_last = dot;
    EXPECT_EQ(dot, of_last);
  }
  // A file comes first.
  const auto as_file = run_program(temp_.path(), {"bash", "-c", "cd " + temp_.path().str() + "; echo nonsense > last; " CAIRN_BIN_DIR "/cachectl --root " + root_.str() + " graph last --output f.dot"});
  EXPECT_EQ(as_file.code, 1);
  EXPECT_EQ(cachectl({"--root", root_.str(), "graph", "previous", "--output", (temp_ / "g.svg").str()}).code, 0);
  EXPECT_THAT(read(temp_ / "g.svg"), HasSubstr("executed"));
}

TEST_F(Pages, WithoutGraphvizAGraphSaysWhatToInstall) {
  const auto graph = write_graph(bytes_of(chain("true")));
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", "/nonexistent", 1);
  const auto ended = cachectl({"graph", graph.str(), "--output", (temp_ / "g.svg").str()});
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("apt-get install graphviz"));
  ASSERT_EQ(solve(chain("true > /out/file")).code, 0);  // the fixture looks at a store afterwards
}

}  // namespace
}  // namespace cairn::test

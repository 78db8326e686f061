// SPDX-License-Identifier: Apache-2.0
// Charts as SVG, complete in themselves: no script, no font and no address of somewhere else. Colours are told apart by people who
// do not see all of them, and by dashes in print.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace cairn::cachectl {

// For text between tags and in attributes.
std::string escape_markup(std::string_view text);

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // by x
};
struct LineChart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  double y_max = 0;  // 0: what the points say
  // How a place on the x axis is written; bytes: "1.4 GiB".
  enum class Axis { plain, bytes } x_axis = Axis::plain;
};
std::string svg_of(const LineChart& chart);

struct Bar {
  std::string name;
  double value = 0;
  std::string text;  // what stands behind it
};
std::string svg_of_bars(const std::string& title, const std::vector<Bar>& bars);

}  // namespace cairn::cachectl

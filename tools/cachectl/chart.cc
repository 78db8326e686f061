// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace cairn::cachectl {
namespace {

constexpr std::array<const char*, 7> colours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"};
constexpr std::array<const char*, 3> dashes = {"none", "6 3", "2 3"};
constexpr double width = 760, height = 360, left = 70, right = 170, top = 40, bottom = 50;

// Ends of an axis that are easy to read: 1, 2 or 5 times a power of ten apart.
double step_for(double range) {
  if (!(range > 0)) return 1;
  const double power = std::pow(10, std::floor(std::log10(range / 5)));
  for (const double times : {1.0, 2.0, 5.0})
    if (range / (power * times) <= 6) return power * times;
  return power * 10;
}

std::string bytes_text(double bytes) {
  constexpr std::array<const char*, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (std::abs(bytes) >= 1024 && unit + 1 < units.size()) bytes /= 1024, ++unit;
  return fmt::format("{:.3g} {}", bytes, units[unit]);
}

std::string text_at(double x, double y, const char* anchor, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, escape_markup(text));
}

std::string open_svg(double high, std::string_view title) {
  return fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
                     "font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>{2}</title>\n"
                     "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<text x=\"{3:.0f}\" y=\"22\" font-size=\"15\">{2}</text>\n",
                     width, high, escape_markup(title), left);
}

struct Range {
  double low = 0, high = 0;
  void widen(double value, bool is_first) {
    low = is_first ? value : std::min(low, value);
    high = is_first ? value : std::max(high, value);
  }
};

}  // namespace

std::string escape_markup(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string svg_of(const LineChart& chart) {
  Range x, y{0, chart.y_max};
  bool is_first = true;
  for (const Series& series : chart.series) {
    for (const auto& [at, value] : series.points) {
      x.widen(at, std::exchange(is_first, false));
      if (chart.y_max == 0) y.high = std::max(y.high, value);
    }
  }
  if (x.high <= x.low) x.high = x.low + 1;
  if (y.high <= 0) y.high = 1;
  const auto to_x = [&](double at) { return left + (at - x.low) / (x.high - x.low) * (width - left - right); };
  const auto to_y = [&](double value) { return height - bottom - value / y.high * (height - top - bottom); };
  std::string svg = open_svg(height, chart.title);
  const double y_step = step_for(y.high);
  for (double at = 0; at <= y.high * 1.001; at += y_step) {
    svg += fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#dddddd\"/>\n", left, width - right, to_y(at), to_y(at));
    svg += text_at(left - 6, to_y(at) + 4, "end", fmt::format("{:g}", at));
  }
  const double x_step = step_for(x.high - x.low);
  for (double at = std::ceil(x.low / x_step) * x_step; at <= x.high + x_step / 1000; at += x_step)
    svg += text_at(to_x(at), height - bottom + 18, "middle", chart.x_axis == LineChart::Axis::bytes ? bytes_text(at) : fmt::format("{:g}", at));
  svg += text_at((left + width - right) / 2, height - 10, "middle", chart.x_label);
  svg += fmt::format("<text x=\"16\" y=\"{0:.1f}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {0:.1f})\">{1}</text>\n", (top + height - bottom) / 2,
                     escape_markup(chart.y_label));
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    const Series& series = chart.series[i];
    const char* colour = colours[i % colours.size()];
    std::string points;
    for (const auto& [at, value] : series.points) points += fmt::format("{:.1f},{:.1f} ", to_x(at), to_y(std::min(value, y.high)));
    svg += fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{}\" points=\"{}\"/>\n", colour,
                       dashes[i % dashes.size()], points);
    if (series.points.size() <= 40) {
      for (const auto& [at, value] : series.points)
        svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", to_x(at), to_y(std::min(value, y.high)), colour);
    }
    const double key_y = top + 10 + 20 * static_cast<double>(i);
    svg += fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{}\"/>\n",
                       width - right + 12, width - right + 36, key_y, key_y, colour, dashes[i % dashes.size()]);
    svg += text_at(width - right + 42, key_y + 4, "start", series.name);
  }
  return svg + "</svg>\n";
}

std::string svg_of_bars(const std::string& title, const std::vector<Bar>& bars) {
  constexpr double names = 200, row = 24;
  double most = 0;
  for (const Bar& bar : bars) most = std::max(most, bar.value);
  std::string svg = open_svg(top + row * static_cast<double>(bars.size()) + 16, title);
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const double y = top + row * static_cast<double>(i);
    const double wide = most > 0 ? std::max(0.0, bars[i].value) / most * (width - names - 140) : 0;
    svg += text_at(names - 6, y + 15, "end", bars[i].name.size() > 32 ? bars[i].name.substr(0, 31) + "…" : bars[i].name);
    svg += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"16\" fill=\"{}\"/>\n", names, y + 3, std::max(wide, 1.0), colours[0]);
    svg += text_at(names + wide + 6, y + 15, "start", bars[i].text);
  }
  return svg + "</svg>\n";
}

}  // namespace cairn::cachectl

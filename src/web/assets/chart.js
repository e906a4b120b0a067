// The chart of the overview; its table twin is on the page.
"use strict";
(() => {
  const holder = document.querySelector("[data-chart]");
  if (!holder || !window.uPlot) return;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const bar = (label, stroke) => ({ label, stroke, width: 1.5, fill: stroke + "22", points: { show: false } });
  const axis = (size) => ({ stroke: () => css("--muted"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { show: false }, size });
  const whole = (u, splits) => splits.map((n) => (Number.isInteger(n) ? n.toLocaleString("en") : ""));
  let data = JSON.parse(holder.dataset.chart);
  const options = () => ({
    width: Math.max(200, holder.clientWidth), height: 200, legend: { show: false }, cursor: { drag: { x: false, y: false } },
    scales: { y: { range: (u, min, max) => [0, Math.max(1, max * 1.1)] } },
    axes: [axis(32), { ...axis(52), values: whole }],
    series: [{}, bar("in", "#3b82f6"), bar("delivered", "#16a34a"), bar("failed", "#dc2626")],
  });
  const plot = new uPlot(options(), data, holder);
  holder.redraw = (text) => { data = JSON.parse(text); holder.dataset.chart = text; plot.setData(data); };
  new ResizeObserver(() => plot.setSize({ width: Math.max(200, holder.clientWidth), height: 200 })).observe(holder);
})();

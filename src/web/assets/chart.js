// The chart of a page; its table twin is beside it.
"use strict";
(() => {
  const holder = document.querySelector("[data-chart]");
  if (!holder || !window.uPlot) return;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const bar = (label, stroke) => ({ label, stroke, width: 1.5, fill: stroke + "22", points: { show: false } });
  const axis = (size) => ({ stroke: () => css("--muted"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { show: false }, size });
  const whole = (u, splits) => splits.map((n) => (Number.isInteger(n) ? n.toLocaleString("en") : ""));
  const colours = { in: "#3b82f6", delivered: "#16a34a", failed: "#dc2626" };
  const clock = (u, splits) => splits.map((s) => new Date(s * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }));
  let data = JSON.parse(holder.dataset.chart);
  const options = () => ({
    width: Math.max(200, holder.clientWidth), height: 200, legend: { show: false }, cursor: { drag: { x: false, y: false } },
    scales: { x: { range: (u, min, max) => [Math.min(min, max - 600), max] }, 
      y: { range: (u, min, max) => [0, Math.max(1, max * 1.1)] } },
    axes: [{ ...axis(30), values: clock }, { ...axis(52), values: whole }],
    series: [{}, ...holder.dataset.series.split(",").map((name) => bar(name, colours[name]))],
  });
  const plot = new uPlot(options(), data, holder);
  holder.redraw = (text) => { data = JSON.parse(text); holder.dataset.chart = text; plot.setData(data); };
  new ResizeObserver(() => plot.setSize({ width: Math.max(200, holder.clientWidth), height: 200 })).observe(holder);
})();

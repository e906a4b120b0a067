// The charts of a page; their table twin is beside them.
"use strict";
(() => {
  if (!window.uPlot) return;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = (size) => ({ stroke: () => css("--muted"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { show: false }, size });
  const whole = (u, splits) => splits.map((n) => (Number.isInteger(n) ? n.toLocaleString("en") : ""));
  const any = (u, splits) => splits.map((n) => n.toLocaleString("en"));
  const COLOURS = { in: "#3b82f6", in_flight: "#3b82f6", delivered: "#16a34a", failed: "#dc2626", p50: "#0d9488", p95: "#d97706" };
  const MARKS = { "429": ["#d97706", 0], "Retry-After": ["#8b5cf6", 1], "breaker opened": ["#dc2626", 2] };
  const SHORTEST = 600;
  const clock = (u, splits) => splits.map((s) => new Date(s * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" }));

  // What happened beside the lines: a dashed line each, with a mark of its own place and colour at the top.
  function marks(holder) {
    return (u) => {
      const { ctx, bbox } = u;
      ctx.save();
      for (const [at, kind] of JSON.parse(holder.dataset.marks || "[]")) {
        const [colour, place] = MARKS[kind];
        const x = Math.round(u.valToPos(at, "x", true));
        const size = 6 * devicePixelRatio;
        ctx.fillStyle = ctx.strokeStyle = colour;
        ctx.setLineDash([2, 4]);
        ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
        ctx.fillRect(x - size / 2, bbox.top + place * (size + 2), size, size);
      }
      ctx.restore();
    };
  }

  function draw(holder) {
    if (holder.redraw) return;
    const names = holder.dataset.series.split(",");
    const height = holder.classList.contains("low") ? 140 : 200;
    const width = () => Math.max(160, holder.clientWidth);
    // Nothing but points would be seen of very few, or of what has silence on both sides.
    const lonely = names.includes("p50");
    const few = (u, series, from, to) => lonely || to - from < 3;
    const bar = (name) => ({ label: name, stroke: COLOURS[name], width: 1.5, fill: name === "delivered" || names.length === 1 ? COLOURS[name] + "22" : undefined, points: { show: few, size: 4 }, spanGaps: false });
    const plot = new uPlot({
      width: width(), height, legend: { show: false }, cursor: { drag: { x: false, y: false } },
      scales: {
        x: { range: (u) => {
          const times = u.data[0], last = times.length ? times[times.length - 1] : Date.now() / 1000;
          return [Math.min(times.length ? times[0] : last, last - SHORTEST), last];
        } },
        y: { range: (u, min, max) => [0, Math.max(1, (max || 0) * 1.1)] },
      },
      axes: [{ ...axis(30), values: clock }, { ...axis(52), values: lonely ? any : whole }],
      series: [{}, ...names.map(bar)],
      hooks: { draw: [marks(holder)] },
    }, JSON.parse(holder.dataset.chart), holder);
    holder.redraw = (fresh) => {
      holder.dataset.chart = fresh.dataset.chart;
      if (fresh.dataset.marks) holder.dataset.marks = fresh.dataset.marks;
      plot.setData(JSON.parse(holder.dataset.chart));
    };
    const watch = new ResizeObserver(() => {
      if (holder.isConnected) plot.setSize({ width: width(), height }); else { watch.disconnect(); plot.destroy(); }
    });
    watch.observe(holder);
  }
  window.drawCharts = () => document.querySelectorAll("[data-chart]").forEach(draw);
  window.drawCharts();
})();

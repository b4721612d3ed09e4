// Charts, drawn from the tables beside them: the table is the figure, the picture only shows it. What is live is htmx's work.
"use strict";
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Columns of a table's body as numbers: [[x, …], [y, …], …]
  const columns = (table) => {
    const found = [];
    for (const row of table.tBodies[0].rows)
      [...row.cells].forEach((cell, at) => (found[at] ??= []).push(Number(cell.dataset.v)));
    return found;
  };

  const draw = (figure) => {
    const place = figure.querySelector(".plot"), table = figure.querySelector("details table");
    const data = columns(table), heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    const key = JSON.stringify([data, innerWidth, colour("--paper")]);
    if (!data.length || place.dataset.drawn === key) return;
    place.dataset.drawn = key;
    place.replaceChildren();
    const digits = new Intl.NumberFormat("en"); // as everywhere on the page, whatever the browser's language is
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const count = { ...axis, incrs: [1, 2, 5, 10, 20, 50].flatMap((one) => [1, 1e2, 1e4, 1e6].map((power) => one * power)).sort((a, b) => a - b), values: (_, all) => all.map((one) => digits.format(one)) };
    const line = (at, name, scale) => ({ label: heads[at], stroke: colour(name), width: at === 1 ? 2 : 1, scale, points: { show: false } });
    const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
    new uPlot({
      width: Math.max(200, place.clientWidth), height: 220, legend: { live: true }, cursor: { y: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "UTC"),
      scales: { flow: { range: (_, low, high) => [0, Math.max(4, high * 3)] }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
      axes: [{ ...axis, values: (_, all) => all.map((seconds) => time.format(seconds * 1e3)) }, { ...count, size: 60 }, { ...count, scale: "flow", side: 1, size: 50, grid: { show: false } }],
      series: [{ label: heads[0], value: (_, at) => (at == null ? "–" : time.format(at * 1e3)) }, line(1, "--accent", "y"), line(2, "--in", "flow"), line(3, "--out", "flow")],
    }, data, place);
  };

  const drawAll = () => document.querySelectorAll("figure[data-chart]").forEach(draw);
  document.addEventListener("DOMContentLoaded", () => {
    drawAll();
    const live = document.getElementById("live");
    if (live) new MutationObserver(() => requestAnimationFrame(drawAll)).observe(live, { childList: true, subtree: true, characterData: true });
    let waiting = 0;
    addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 150); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  });
})();

// The charts: each a card with a title, a plot, its keys with the newest values, and the same numbers as a table.
"use strict";

const CHARTS = (() => {
  const HEIGHT = 190;
  const ROWS = 12; // of the table twin
  const LONG_S = 1200; // beyond it, times have no seconds
  const MARKS = { // by kind: letter, colour, name
    drift: ["D", "--bad", "drift"], reaction: ["R", "--c2", "reaction"], rollback: ["B", "--bad", "rollback"], contest: ["M", "--c6", "match"],
    phase: ["P", "--c3", "phase"], command: ["C", "--accent", "command"], resume: ["S", "--dim", "restart"],
    stopped: ["E", "--c4", "early stop"],
    checkpoint: ["", "--dim", "checkpoint"],
  };

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
  const plain = (value, digits = 4) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size >= 1000 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
    if (size > 0 && size < 0.001) return value.toExponential(2);
    return value.toFixed(digits);
  };
  // What a chart is drawn over: of a point or a mark, the place; of a place, its text; of an axis, the texts.
  const OVER_TIME = {
    name: "Time", key: "time", isTime: true, spanGaps: false, at: (each) => each.time_s, tell: (place) => clock(place),
    ticks: (plot, splits) => splits.map((place) => clock(place).slice(0, spanOf(plot) > LONG_S ? -3 : undefined)),
  };
  const OVER_SAMPLES = {
    name: "Samples", key: "samples", isTime: false, spanGaps: true, at: (each) => each.samples, tell: (place) => plain(place),
    ticks: (_, splits) => splits.map((place) => plain(place)),
  };
  const short = (text) => text.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, ""); // 0.2500 % is 0.25 %
  const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`);

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  const spanOf = (plot) => plot.scales.x.max - plot.scales.x.min;

  function marksOf(plot, marks, over) {
    const { ctx, bbox } = plot;
    const scale = devicePixelRatio;
    ctx.save();
    ctx.font = `bold ${11 * scale}px sans-serif`;
    ctx.textAlign = "center";
    let [last, row] = [-Infinity, 0]; // letters that are close stand below each other
    for (const mark of marks) {
      const [letter, tone] = MARKS[mark.kind] || ["?", "--dim"];
      const x = Math.round(plot.valToPos(over.at(mark), "x", true));
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = colour(tone);
      ctx.lineWidth = scale;
      ctx.setLineDash(letter ? [3 * scale, 3 * scale] : []);
      ctx.beginPath();
      row = letter && x - last < 12 * scale ? row + 1 : 0;
      if (letter) last = x;
      const top = bbox.top + 12 * scale * (row + 1);
      ctx.moveTo(x, letter ? top + 2 * scale : bbox.top + bbox.height - 6 * scale);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      if (letter) ctx.fillText(letter, x, top - 2 * scale);
    }
    ctx.restore();
  }

  // `series(points)` gives [{label, values, dashed, filled}]; `show` makes a value a text; `over` is what it is drawn over.
  class Chart {
    constructor(home, { title, series, show = plain, range = null, marked = false, wide = false, over = OVER_TIME }) {
      Object.assign(this, { title, series, show, range, marked, over, places: [], drawn: [], values: [] });
      this.plot = null;
      this.labels = "";
      this.place = element("div", { className: "plot" });
      this.place.setAttribute("role", "img");
      this.keys = element("ul", { className: "keys" });
      this.when = element("small");
      this.head = element("tr");
      this.body = element("tbody");
      this.twin = element("details", {}, element("summary", { textContent: "The latest numbers as a table" }),
        element("div", { className: "scroll", tabIndex: 0 },
          element("table", {}, element("thead", {}, this.head), this.body)));
      home.append(element("section", { className: `card${wide ? " wide" : ""}` },
        element("h2", { textContent: title }, this.when), this.place, this.keys, this.twin));
      new ResizeObserver(() => this.plot && this.plot.setSize(this.size())).observe(this.place);
    }

    size() {
      return { width: Math.max(this.place.clientWidth, 200), height: HEIGHT };
    }

    reset() { // for colours that have changed
      if (this.plot) this.plot.destroy();
      this.plot = null;
    }

    draw(points, marks) {
      const drawn = this.series(points);
      const places = points.map(this.over.at);
      const labels = drawn.map((each) => each.label).join("\n");
      this.shownMarks = this.marked ? marks : [];
      if (labels !== this.labels) this.reset();
      this.labels = labels;
      if (points.length < 2 || !drawn.length) {
        this.place.setAttribute("aria-label", `${this.title}: nothing is known yet`);
        return;
      }
      const data = [places, ...drawn.map((each) => each.drawn || each.values)];
      if (this.plot) this.plot.setData(data);
      else this.plot = this.make(drawn, data);
      this.tell(places, drawn);
    }

    make(drawn, data) {
      const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
      const options = {
        ...this.size(), legend: { show: false }, cursor: { sync: { key: this.over.key }, drag: { x: true, y: false } },
        scales: { x: { time: this.over.isTime }, y: { range: this.range } },
        axes: [
          { ...axis, values: this.over.ticks, space: 80, size: 32 },
          { ...axis, size: 64, values: (_, splits) => splits.map((at) => short(this.show(at))) },
        ],
        series: [{}, ...drawn.map((each, number) => ({
          label: each.label, spanGaps: this.over.spanGaps, stroke: colour(`--c${number % 8}`), width: 1.5, points: { show: false },
          dash: each.dashed ? [5, 4] : [], fill: each.filled ? colour(`--c${number % 8}`) : undefined,
        }))],
        hooks: {
          draw: [(plot) => marksOf(plot, this.shownMarks, this.over)],
          setCursor: [(plot) => this.point(plot.cursor.idx)],
        },
      };
      return new uPlot(options, data, this.place);
    }

    point(place) { // show the values at the cursor, or the newest
      const at = place ?? this.places.length - 1;
      this.values.forEach((held, number) => { held.textContent = this.show(this.drawn[number].values[at]); });
      this.when.textContent = place === null || place === undefined ? "" : ` at ${this.over.tell(this.places[at])}`;
    }

    tell(places, drawn) {
      Object.assign(this, { places, drawn, values: drawn.map(() => element("b")) });
      const keys = drawn.map((each, number) => {
        const sample = element("i", { className: each.dashed ? "dashed" : "" });
        sample.style.background = each.dashed ? "none" : colour(`--c${number % 8}`);
        sample.style.borderColor = colour(`--c${number % 8}`);
        return element("li", {}, sample, `${each.label} `, this.values[number]);
      });
      for (const kind of new Set(this.shownMarks.map((mark) => mark.kind))) {
        const [letter, tone, name] = MARKS[kind] || ["?", "--dim", kind];
        const sample = element("i", { className: "mark", textContent: letter || "ı" });
        sample.style.color = colour(tone);
        keys.push(element("li", {}, sample, name));
      }
      this.keys.replaceChildren(...keys);
      this.point(this.plot.cursor.idx);
      const newest = (each) => this.show(each.values[each.values.length - 1]);
      this.place.setAttribute("aria-label",
        `${this.title}, from ${this.over.tell(places[0])} to ${this.over.tell(places[places.length - 1])}. Now: ` +
        drawn.map((each) => `${each.label} ${newest(each)}`).join(", "));
      if (!this.twin.open) return;
      this.head.replaceChildren(...[this.over.name, ...drawn.map((each) => each.label)].map(
        (text, column) => element("th", { scope: "col", textContent: text, className: column ? "number" : "" })));
      const rows = [];
      for (let row = places.length - 1; row >= Math.max(0, places.length - ROWS); row--) {
        rows.push(element("tr", {}, element("td", { textContent: this.over.tell(places[row]) }), ...drawn.map(
          (each) => element("td", { className: "number", textContent: this.show(each.values[row]) }))));
      }
      this.body.replaceChildren(...rows);
    }
  }

  return { Chart, element, clock, plain, percent, OVER_SAMPLES };
})();

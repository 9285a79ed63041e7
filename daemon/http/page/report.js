// What `learnd report` has found, shown.
"use strict";

(() => {
  const { Chart, element, plain, OVER_SAMPLES } = CHARTS;
  const MOST_CLASSES = 30; // of a confusion matrix
  const find = (id) => document.getElementById(id);
  const told = JSON.parse(find("told").textContent);

  const cell = (value, name = "td") => element(name, typeof value === "object" ? value : { textContent: value });
  const row = (...cells) => element("tr", {}, ...cells.map((each) => cell(each)));
  const head = (...cells) => element("tr", {}, ...cells.map((each) => cell(each, "th")));
  const number = (text) => ({ textContent: text, className: "number" });
  const score = (value) => number(plain(value));
  const fill = (id, rows, none) => find(id).replaceChildren(...(rows.length ? rows : [row(none)]));

  function tile(name, value, more = "") {
    return element("div", {}, element("dt", { textContent: name }),
      element("dd", {}, String(value), element("small", { textContent: more })));
  }

  function showCounts() {
    find("reason").textContent = `${told.where}, ${told.made}`;
    document.title = `${told.where} – learnd report`;
    find("tiles").replaceChildren(...told.tiles.map(([name, value, more]) => tile(name, typeof value === "number" ? plain(value) : value, more)));
  }

  function best(baselines, metric, higher) { // the baseline that does best, if it is known which way is better
    const rivals = Object.entries(baselines).filter(([, scores]) => metric in scores);
    if (higher === null || !rivals.length) return "";
    const [name, scores] = rivals.reduce((one, other) => ((other[1][metric] > one[1][metric]) === higher ? other : one));
    return `${name} ${plain(scores[metric])}`;
  }

  function showScores() {
    const named = (of) => (of.target ? `${of.target}: ${of.label}` : of.label);
    const higher = Object.fromEntries(told.curves.map((curve) => [curve.metric, curve.higher]));
    const metrics = [...new Set(told.newest.flatMap((of) => Object.keys(of.metrics)))];
    find("scores-head").replaceChildren(head("", ...told.newest.flatMap((of) => [number(named(of)), "best baseline"])));
    fill("scores", metrics.map((metric) => row(metric, ...told.newest.flatMap(
      (of) => [score(of.metrics[metric]), best(of.baselines, metric, higher[metric] ?? null)]))), "no score was published yet");
  }

  function showCharts() {
    const rivals = new Set(told.newest.flatMap((of) => Object.keys(of.baselines)));
    for (const [place, { target, metric, points }] of told.curves.entries()) {
      const labels = [...new Set(points.flatMap((point) => Object.keys(point.values)))];
      const series = (given) => labels.map((label) => ({
        label, dashed: rivals.has(label), values: given.map((point) => point.values[label] ?? null),
      }));
      const title = (target ? `${target}: ` : "") + metric.replaceAll("_", " ");
      new Chart(find("charts"), { title, series, marked: true, wide: place === 0, over: OVER_SAMPLES }).draw(points, told.marks);
    }
  }

  function showLists() {
    fill("events", [...told.marks].reverse().map((mark) => row(mark.time.slice(0, 19).replace("T", " "), number(plain(mark.samples)), mark.text)), "none");
    fill("ranges", Object.entries(told.ranges).flatMap(
      ([partition, ranges]) => ranges.map(([start, end]) => row(partition, number(plain(start)), number(plain(end))))), "none");
    const rejected = Object.entries(told.rejected);
    find("rejected-card").hidden = !rejected.length;
    fill("rejected", rejected.map(([reason, records]) => row(reason, number(plain(records)))), "none");
    find("settings").textContent = JSON.stringify(told.settings, null, 2);
  }

  function card(title, body, note) {
    const heading = element("h2", { textContent: title });
    const region = element("div", { className: "scroll", tabIndex: 0 }, element("table", {}, ...body));
    region.setAttribute("role", "region");
    region.setAttribute("aria-label", title);
    return element("section", { className: "card" }, heading, region, element("p", { className: "note", textContent: note }));
  }

  function showEvaluated() {
    if (!told.evaluated) return;
    const { file, targets } = told.evaluated;
    for (const [target, of] of Object.entries(targets)) {
      const what = Object.keys(targets).length > 1 ? `${target} on ${file}` : `On ${file}`;
      const without = of.unscored ? `, ${plain(of.unscored)} without a finite prediction` : "";
      const scored = `${plain(of.scored)} samples that did not train${without}.`;
      const names = Object.keys(of.baselines);
      find("evaluated").append(card(what, [element("thead", {}, head("", number("model"), ...names.map(number))),
        element("tbody", {}, ...Object.entries(of.metrics).map(([metric, value]) => row(metric, score(value),
          ...names.map((name) => score(of.baselines[name][metric])))))], scored));
      if (!of.classes) continue;
      const parts = ["precision", "recall", "f1"];
      find("evaluated").append(card(`${what}: each class`, [
        element("thead", {}, head("", ...["came", "predicted", ...parts].map(number))),
        element("tbody", {}, ...Object.entries(of.classes).map(([name, its]) => row(name, number(plain(its.came)),
          number(plain(its.predicted)), ...parts.map((part) => score(its[part])))))], ""));
      const classes = Object.keys(of.classes);
      if (!Object.keys(of.confusion).length || classes.length > MOST_CLASSES) continue;
      find("evaluated").append(card(`${what}: what was predicted for which`, [
        element("thead", {}, head("came, predicted as", ...classes.map(number))),
        element("tbody", {}, ...classes.map((label) => row(label,
          ...classes.map((guess) => number(plain((of.confusion[label] || {})[guess] || 0))))))], ""));
    }
    find("evaluated").className = "columns";
  }

  showCounts();
  showScores();
  showCharts();
  showLists();
  showEvaluated();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    find("charts").replaceChildren();
    showCharts();
  });
})();

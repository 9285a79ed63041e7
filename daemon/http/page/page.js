// What the server sends each second, shown.
"use strict";

(() => {
  const { Chart, element, clock, plain, percent } = CHARTS;
  const MOST_POINTS = 1800; // then every second one goes
  const MOST_ROWS = 60;
  const MOST_DECISIONS = 10;
  const ASK_EVERY_MS = 1000; // what became of a command
  const SILENT_MS = 8000; // a message comes each second
  const find = (id) => document.getElementById(id);
  const shown = { points: [], marks: [], letters: [], facts: {} };

  const row = (...cells) => element("tr", {}, ...cells.map((cell) => element("td", typeof cell === "object"
    ? cell : { textContent: cell })));
  const number = (text) => ({ textContent: text, className: "number" });
  const column = (label, pick, more = {}) => (points) => [{ label, values: points.map(pick), ...more }];

  const names = (points, part) => [...new Set(points.flatMap((point) => Object.keys(point[part])))];

  function scores(points) {
    const baselines = names(points, "baselines");
    return [
      { label: "model", values: points.map((point) => point.score) },
      ...baselines.map((name) => ({
        label: name, dashed: true, values: points.map((point) => point.baselines[name] ?? null),
      })),
    ];
  }

  function shares(points) { // stacked, the whole first, so that each is drawn over the one before
    const known = points.filter((point) => Object.keys(point.shares).length);
    const activities = names(known, "shares");
    const below = (point, last) => activities.slice(0, last + 1).reduce((sum, name) => sum + (point.shares[name] || 0), 0);
    return activities.map((name, place) => ({
      label: name, filled: true, values: points.map((point) => point.shares[name] ?? null),
      drawn: points.map((point) => (Object.keys(point.shares).length ? below(point, place) : null)),
    })).reverse();
  }

  const home = find("charts");
  const fromZero = (_, low, high) => [0, high > 0 ? high * 1.05 : 1];
  const charts = [
    new Chart(home, { title: "Score", series: scores, marked: true, wide: true }),
    new Chart(home, { title: "Loss", series: column("loss", (point) => point.loss), marked: true }),
    new Chart(home, { title: "Learning rate", series: column("learning rate", (point) => point.learning_rate), range: fromZero }),
    new Chart(home, { title: "Unread (lag)", series: column("unread", (point) => point.lag), range: fromZero }),
    new Chart(home, { title: "Samples per second", series: column("samples per second", (point) => point.samples_per_second), show: (value) => plain(value, 1), range: fromZero }),
    new Chart(home, { title: "Where the loop's time goes", series: shares, show: percent, range: () => [0, 1], wide: true }),
  ];
  const drawCharts = () => charts.forEach((chart) => chart.draw(shown.points, shown.marks));

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    charts.forEach((chart) => chart.reset());
    drawCharts();
  });

  function tile(name, value, more = "") {
    const held = element("dd", {}, String(value), element("small", { textContent: more }));
    return element("div", {}, element("dt", { textContent: name }), held);
  }

  function showState(kind, text, reason) { // only what has changed: it is read aloud
    if (find("state").textContent !== text) find("state").textContent = text;
    if (find("reason").textContent !== reason) find("reason").textContent = reason;
    find("state").dataset.state = kind;
  }

  function showNow(now) {
    const held = now.state === "consuming" && now.not_ready;
    const state = held ? "consuming, not ready" : now.state;
    const paused = now.paused ? `paused: ${now.paused}` : "";
    showState(held ? "held" : now.state, state, held || !now.alive ? now.not_ready : paused);
    document.title = `${state} – learnd`;
    const last = shown.points[shown.points.length - 1];
    const { metric = "score", window: size } = shown.facts.score || {};
    const rivals = last ? Object.entries(last.baselines) : [];
    const saved = now.checkpoint || {};
    const age = saved.created_s ? Date.now() / 1000 - saved.created_s : null;
    find("tiles").replaceChildren(
      tile(`${metric.replaceAll("_", " ")}, last ${plain(size)}`, plain(last && last.score),
        rivals.length ? rivals.map(([name, value]) => `${name} ${plain(value)}`).join(", ") : ""),
      tile("samples", plain(now.samples), now.alive ? `${plain(now.samples_per_second, 0)} a second` : "nothing trains any more"),
      tile("unread", plain(now.unread), (now.lag_unit || "not known yet")
        + (now.queued ? `; ${plain(now.queued)} samples wait in the queue` : "")),
      tile("loss", plain(now.loss), `learning rate ${plain(now.learning_rate)}`),
      tile("checkpoint", saved.sequence ?? "–", age === null ? "none yet" : `${plain(Math.max(0, Math.round(age)))} s ago`),
      tile("rejected", plain(now.rejected), now.rollbacks ? `${plain(now.rollbacks)} rollbacks` : "dead letters"),
      tile("phase", now.phase, `${plain(now.trainable_parameters)} parameters train`),
      tile("up for", `${plain(Math.round(now.uptime_s / 60))} min`, `process ${now.process}`),
    );
  }

  function showModels({ mixture, contest }) {
    const { leads, challengers = {}, decided = [] } = contest;
    const stands = ({ compared, lead, evidence }) => (compared
      ? `lower by ${plain(lead, 3)} over ${plain(compared)} samples, evidence ${plain(evidence, 2)}` : "warms up");
    const rows = [
      ...Object.entries(mixture).map(([name, share]) => row(name, percent(share))),
      ...Object.entries(challengers).map(([name, standing]) => row(`challenger ${name}`, stands(standing))),
      ...decided.slice(-MOST_DECISIONS).reverse().map(({ challenger, of, outcome, samples }) => (
        row(of ? `trial of ${of.replaceAll("_", " ")}` : `challenger ${challenger}`, `${outcome} at ${plain(samples)}`))),
    ];
    if (leads && leads !== "model") rows.unshift(row(`challenger ${leads}`, "leads"));
    find("models-card").hidden = !rows.length;
    find("models").replaceChildren(...rows);
  }

  function showFeatures({ records, distances, missing, rejected, left_out: more }) {
    const share = (count) => (count ? `${plain(count)} (${percent(count / Math.max(records, 1))})` : "0");
    const rank = (name) => Math.max(-1, ...Object.values(distances[name] || {}));
    const all = [...new Set([...Object.keys(distances), ...Object.keys(missing), ...Object.keys(rejected)])];
    all.sort((one, other) => rank(other) - rank(one) || one.localeCompare(other));
    const rows = all.map((name) => row(name,
      number(Object.entries(distances[name] || {}).map(([how, far]) => `${how} ${plain(far, 3)}`).join(", ") || "–"),
      number(missing[name] ? percent(missing[name]) : "0"), number(share(rejected[name]))));
    if (more) rows.push(row(`and ${plain(more)} more`, "", "", ""));
    if (!rows.length) rows.push(row("nothing to tell yet", "", "", ""));
    find("features").replaceChildren(...rows);
  }

  function showEvents() {
    const rows = shown.marks.slice(-MOST_ROWS).reverse().map((mark) => row(clock(mark.time_s), number(plain(mark.samples)), mark.text));
    find("events").replaceChildren(...(rows.length ? rows : [row("none yet", "", "")]));
  }

  function showLetters() {
    const rows = shown.letters.slice(-20).reverse().map((letter) => row(clock(letter.time_s), letter.reason,
      `${letter.partition}, ${plain(letter.start)} to ${plain(letter.end)}`));
    find("letters").replaceChildren(...(rows.length ? rows : [row("none", "", "")]));
  }

  function take(message) {
    if (message.from === 0) Object.assign(shown, { points: [], marks: [], letters: [], facts: {} });
    shown.points.push(...message.points);
    if (shown.points.length > MOST_POINTS) shown.points = shown.points.filter((_, place) => place % 2);
    shown.marks = [...shown.marks, ...message.marks].slice(-600);
    shown.letters = [...shown.letters, ...message.dead_letters].slice(-20);
    for (const name of ["features", "score", "settings"]) if (name in message) shown.facts[name] = message[name];
    showNow(message.now);
    showModels(message.now);
    if (message.points.length || message.marks.length || message.from === 0) drawCharts();
    if (message.marks.length || message.from === 0) showEvents();
    if (message.dead_letters.length || message.from === 0) showLetters();
    if ("features" in message) showFeatures(message.features);
    if ("settings" in message) find("settings").textContent = JSON.stringify(message.settings, null, 2);
  }

  const showAway = () => showState("away", "no answer", "the daemon does not answer; what is shown is old");
  let silence; // a process that is stopped or hangs as a whole keeps its connections
  const source = new EventSource("/v1/live");
  source.onmessage = (event) => {
    clearTimeout(silence);
    silence = setTimeout(showAway, SILENT_MS);
    take(JSON.parse(event.data));
  };
  source.onerror = showAway;

  async function command(action) {
    const buttons = document.querySelectorAll("[data-action]");
    const tell = (text) => { find("outcome").textContent = `${action}: ${text}`; };
    buttons.forEach((button) => { button.disabled = true; });
    tell("asked");
    try {
      const headers = { Authorization: `Bearer ${find("token").value.trim()}` };
      const body = JSON.stringify({ why: find("why").value, by: "the page" });
      let told = await (await fetch(`/v1/control/${action}`, { method: "POST", headers, body })).json();
      while (told.outcome === null) {
        tell("it waits to act");
        await new Promise((wake) => { setTimeout(wake, ASK_EVERY_MS); });
        told = await (await fetch(told.ask, { headers })).json();
      }
      tell(told.error || [told.outcome, told.reason].filter(Boolean).join(": "));
    } catch (error) {
      tell(`no answer: ${error.message}`);
    }
    buttons.forEach((button) => { button.disabled = false; });
  }

  find("token").addEventListener("input", (event) => { find("commands").hidden = !event.target.value.trim(); });
  find("control").addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll("[data-action]")) button.addEventListener("click", () => command(button.dataset.action));
})();

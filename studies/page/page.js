// Draws the view document of a study.
(() => {
  const { make, section, caption, pairs, facts, table, palette, themed } = kit;
  const view = JSON.parse(document.getElementById("document").textContent);
  const page = document.getElementById("page");
  const figures = new Map(); // element of a drawn figure -> its specification
  let selected = null;

  const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
  const count = (value) => (value === null || value === undefined ? "–" : whole.format(value));
  const percent = (value) => (typeof value === "number" ? `${(100 * value).toFixed(1)}%` : "–");
  const decimal = (value) => (typeof value === "number" ? value.toFixed(3) : "–");

  function meters(values) {
    return make("ul", { class: "meters" }, Object.entries(values).map(([name, value]) => {
      const fill = make("span", { class: "fill" });
      fill.style.width = `${100 * Math.min(Math.max(value || 0, 0), 1)}%`;
      return make("li", {},
        make("span", { class: "name" }, name.replaceAll("_", " ")),
        make("span", { class: "track", "aria-hidden": "true" }, fill),
        make("span", { class: "value" }, percent(value)));
    }));
  }

  // ---- figures ---------------------------------------------------------------------------------------------

  function figure(specification, label, low) {
    const element = make("div", { class: low ? "figure low" : "figure", role: "img", "aria-label": label });
    figures.set(element, specification);
    return element;
  }

  function draw(element) {
    const { data, layout } = themed(figures.get(element));
    if (element.classList.contains("low")) layout.height = 320;
    const ticks = layout.xaxis;
    if (ticks.tickvals && ticks.tickvals.length > 4 && element.clientWidth < 420) { // a phone: every second one
      for (const name of ["tickvals", "ticktext"]) ticks[name] = ticks[name].filter((_, i) => i % 2 === 0);
    }
    const config = {
      responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
      toImageButtonOptions: { format: "svg", filename: "figure" },
    };
    return Plotly.react(element, data, layout, config).then(() => {
      if (element.dataset.listens) return;
      element.dataset.listens = "yes";
      element.on("plotly_click", (event) => select(event.points[0].customdata, false));
    });
  }

  const marks = { // within 26 x 16, around (13, 8)
    circle: "M17 8a4 4 0 1 1-8 0a4 4 0 1 1 8 0z",
    diamond: "M13 2L19 8L13 14L7 8z",
    star: "M13 1l1.8 4.9 5.2.2-4.1 3.2 1.4 5-4.3-2.9-4.3 2.9 1.4-5L6 6.1l5.2-.2z",
    x: "M9 4l8 8M17 4l-8 8",
    triangle: "M13 3l5 9H8z",
    square: "M9 4h8v8H9z",
  };
  const dashes = { dash: "6 3", dot: "2 3", dashdot: "6 2.5 1.5 2.5" };

  function symbol(trace) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const path = document.createElementNS(space, "path");
    const lines = trace.mode === "lines";
    const look = lines ? trace.line : trace.marker;
    const form = String(look.symbol || "circle");
    const hollow = lines || form.endsWith("-open");
    const colour = `var(${palette[look.color]})`;
    path.style.cssText = `stroke: ${colour}; fill: ${hollow ? "none" : colour}`;
    const set = {
      d: lines ? "M1 8H25" : marks[form.split("-")[0]],
      "stroke-width": lines ? 2.5 : 1.5, "stroke-dasharray": lines ? dashes[look.dash] || "none" : "none",
    };
    for (const [key, value] of Object.entries(set)) path.setAttribute(key, value);
    svg.setAttribute("viewBox", "0 0 26 16");
    svg.setAttribute("aria-hidden", "true");
    svg.append(path);
    return svg;
  }

  // What the marks mean; each name shows or hides its marks in all figures given.
  function key(...drawn) {
    const named = new Map();
    for (const element of drawn) {
      for (const trace of figures.get(element).data) {
        if (trace.meta !== "selected" && trace.x.length && trace.hoverinfo !== "skip" && !named.has(trace.name)) named.set(trace.name, trace);
      }
    }
    const toggle = (name) => (event) => {
      const button = event.currentTarget;
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      for (const element of drawn) {
        const specification = figures.get(element);
        for (const trace of specification.data) if (trace.name === name) trace.visible = shown;
        for (const note of specification.layout.annotations || []) if (note.name === name) note.visible = shown;
        draw(element).then(ring);
      }
    };
    return make("ul", { class: "key", "aria-label": "What the marks mean; choose one to show or hide it" },
      [...named].sort(([, a], [, b]) => (a.legendrank || 0) - (b.legendrank || 0)).map(([name, trace]) => make("li", {},
        make("button", { type: "button", "aria-pressed": "true", onclick: toggle(name) }, symbol(trace), name))));
  }

  function forget(container) {
    for (const element of figures.keys()) {
      if (container.contains(element)) {
        figures.delete(element);
        Plotly.purge(element);
      }
    }
  }

  // ---- saving and copying ----------------------------------------------------------------------------------

  function save(name, type, text) {
    const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  const fileName = (ending) => `${view.name.replace(/[^\w.-]+/g, "-").slice(0, 80)}-${ending}`;

  // A text that begins like a formula would be run by a spreadsheet.
  const quoted = (value) => {
    if (typeof value === "number") return String(value);
    const text = value === null || value === undefined ? "" : String(value);
    return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  };

  function csv() {
    const limits = Object.keys(view.budget);
    const head = ["trial", "design", "identity", "mels", "frames", "accuracy", "log_loss", "weight_bytes", "macs", "peak_bytes",
      ...limits.map((key) => `headroom_${key}`), ...view.groups.map((group) => `accuracy_${group}`)];
    const lines = view.front.map((row) => [row.trial, row.design, row.identity, row.mels, row.frames, row.accuracy, row.log_loss,
      row.weight_bytes, row.macs, row.peak_bytes, ...limits.map((key) => row.headroom[key]),
      ...view.groups.map((group) => row.groups[group])]);
    return [head, ...lines].map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
  }

  const members = () => view.front.map((row) => ({ ...row, architecture: view.details[row.trial].architecture }));

  function command(text) {
    const code = make("code", { tabindex: "0" }, text);
    const said = make("span", { role: "status" }, "Copy");
    const copy = async () => {
      try {
        await navigator.clipboard.writeText(text);
        said.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // no clipboard here: leave it marked, ready to be copied by hand
        said.textContent = "Marked";
      }
      setTimeout(() => { said.textContent = "Copy"; }, 1600);
    };
    return make("div", { class: "command" }, code, make("button", { class: "action", type: "button", onclick: copy }, said));
  }

  // ---- the table of the front ------------------------------------------------------------------------------

  const columns = [
    { name: "Trial", of: (row) => row.trial, numeric: false },
    { name: "Input", of: (row) => row.mels && row.mels * row.frames, text: (row) => (row.mels ? `${row.mels}×${row.frames}` : "–") },
    { name: "Accuracy", of: (row) => row.accuracy, show: percent, down: true },
    { name: "Weight bytes", of: (row) => row.weight_bytes, show: count },
    ...("weight_bytes" in view.budget ? [{ name: "Headroom", of: (row) => row.headroom.weight_bytes, show: percent, down: true }] : []),
    { name: "MACs", of: (row) => row.macs, show: count },
    ...("macs" in view.budget ? [{ name: "Headroom", of: (row) => row.headroom.macs, show: percent, down: true }] : []),
    { name: "Peak bytes", of: (row) => row.peak_bytes, show: count },
    { name: "Log loss", of: (row) => row.log_loss, show: decimal },
    ...view.groups.map((group) => ({ name: `${group[0].toUpperCase()}${group.slice(1)} devices`, of: (row) => row.groups[group], show: percent, down: true })),
  ];

  function frontTable() {
    const body = make("tbody");
    const rows = new Map(view.front.map((row) => [row.trial, make("tr", { onclick: () => select(row.trial, false) },
      columns.map((column, i) => i > 0
        ? make("td", { class: "number" }, column.text ? column.text(row) : column.show(column.of(row)))
        : make("th", { scope: "row" },
          make("button", { class: "pick", type: "button", onclick: (event) => { event.stopPropagation(); select(row.trial, true); } },
            `trial ${count(row.trial)}`),
          row.design ? make("span", { class: "tag", title: row.design }, row.design) : null)))]));
    body.append(...rows.values());
    const heads = columns.map((column, i) => make("th", { scope: "col", class: i > 0 ? "number" : null },
      make("button", { class: "sort", type: "button", onclick: () => sort(i) }, column.name)));
    const missingLast = (a, b) => (typeof a !== "number") - (typeof b !== "number");

    function sort(index) {
      const column = columns[index];
      const now = heads[index].getAttribute("aria-sort");
      const down = now ? now === "ascending" : Boolean(column.down);
      heads.forEach((head) => head.removeAttribute("aria-sort"));
      heads[index].setAttribute("aria-sort", down ? "descending" : "ascending");
      const ordered = [...view.front].sort((p, q) => {
        const [a, b] = [column.of(p), column.of(q)];
        return missingLast(a, b) || (down ? b - a : a - b) || p.trial - q.trial;
      });
      body.append(...ordered.map((row) => rows.get(row.trial)));
    }

    heads[columns.findIndex((column) => column.name === "Accuracy")].setAttribute("aria-sort", "descending");
    return { rows, element: make("table", { class: "members", "aria-label": "Trials on the front" }, make("thead", {}, make("tr", {}, heads)), body) };
  }

  // ---- one trial -------------------------------------------------------------------------------------------

  function detailsOf(row) {
    const details = view.details[row.trial];
    const share = (cost) => (cost.limit && typeof cost.deployed === "number" ? percent(cost.deployed / cost.limit) : "");
    const blocks = details.blocks;
    return [
      make("p", {}, `${percent(row.accuracy)} on validation locations after ${details.trained}. Identity ${row.identity || "unknown"}.`),
      make("div", { class: "card" }, make("h3", {}, "Architecture"),
        blocks.facts.length ? make("p", { class: "soft" }, blocks.facts.map(([name, text]) => `${name} ${text}`).join(" · ")) : null,
        make("div", { class: "scroll plain" }, table(blocks.columns.map((name) => [name, false]), blocks.rows))),
      make("div", { class: "pair" },
        make("div", { class: "card" }, make("h3", {}, "Cost"),
          make("div", { class: "scroll plain" }, table(
            [["", false], ["Training form", true], [details.form ? `Deployed (${details.form})` : "Deployed", true], ["Share of limit", true]],
            details.costs.map((cost) => [cost.label, count(cost.training), count(cost.deployed), share(cost)])))),
        make("div", { class: "card" }, make("h3", {}, "Export it"), details.commands.map(command))),
      make("div", { class: "pair" },
        details.curve.epoch.length
          ? make("div", { class: "card" }, make("h3", {}, "Learning curve"), learningCurve(row, details.curve))
          : null,
        make("div", { class: "card" }, make("h3", {}, "Accuracy by scene"), meters(details.scenes))),
      make("div", { class: "card" }, make("h3", {}, "Accuracy by recording device"), meters(details.devices)),
    ];
  }

  function learningCurve(row, curve) {
    const specification = structuredClone(view.figures.curve);
    for (const trace of specification.data) Object.assign(trace, { x: curve.epoch, y: curve[trace.meta] });
    specification.layout.xaxis.dtick = Math.ceil(curve.epoch.length / 10);
    return figure(specification, `Learning curve of trial ${row.trial}: accuracy and log loss after each epoch.`, true);
  }

  const panel = make("div", { class: "stack" });
  const chosen = make("h2", { id: "trial-title", tabindex: "-1" });
  let frontRows = new Map();

  function select(trial, go) {
    const row = view.front.find((candidate) => candidate.trial === trial);
    if (!row || !frontRows.size) return;
    selected = row;
    for (const [number, element] of frontRows) {
      if (number === trial) element.setAttribute("aria-current", "true");
      else element.removeAttribute("aria-current");
    }
    chosen.textContent = `Trial ${count(trial)}${row.design ? `, ${row.design}` : ""}`;
    forget(panel);
    panel.replaceChildren(...detailsOf(row));
    for (const element of figures.keys()) if (panel.contains(element)) draw(element);
    ring();
    if (go) {
      chosen.scrollIntoView({ block: "start" });
      chosen.focus({ preventScroll: true });
    }
  }

  function ring() {
    for (const cost of ["weight_bytes", "macs"]) {
      const element = document.getElementById(`front-${cost}`);
      const at = element && element.data ? element.data.findIndex((trace) => trace.meta === "selected") : -1;
      if (at >= 0 && selected) Plotly.restyle(element, { x: [[selected[cost]]], y: [[selected.accuracy]] }, [at]);
    }
  }

  // ---- the page --------------------------------------------------------------------------------------------

  function head() {
    const tally = (items) => items.map((item) => make("li", {}, make("b", {}, count(item.count)), ` ${item.name}`));
    return make("header", {},
      make("p", { class: "eyebrow" }, "Architecture search study"),
      make("h1", {}, view.name),
      make("p", { class: "soft", role: "status" }, view.status),
      facts(view.facts),
      view.states.length ? make("ul", { class: "chips", "aria-label": "Trials by state" }, tally(view.states)) : null);
  }

  function front() {
    if (!view.figures.front_weight_bytes) {
      return section("front", "Front", make("p", { class: "note" }, "No trial has been proposed yet, so there is nothing to plot."));
    }
    const titles = { weight_bytes: "weight bytes", macs: "MACs" };
    const drawn = Object.entries(titles).map(([cost, title]) => {
      const element = figure(view.figures[`front_${cost}`], `Accuracy against ${title}. ${view.captions.front}`);
      element.id = `front-${cost}`;
      return element;
    });
    return section("front", "Front", caption(view.captions.front), key(...drawn),
      make("div", { class: "pair" }, Object.values(titles).map((title, i) =>
        make("div", { class: "card" }, make("h3", {}, `Accuracy against ${title}`), drawn[i]))));
  }

  function tableOfFront() {
    if (!view.front.length) {
      return section("members", "Trials on the front", make("p", { class: "note" },
        "No trial is complete within the budget yet. The table appears with the first one."));
    }
    const made = frontTable();
    frontRows = made.rows;
    return section("members", "Trials on the front",
      make("div", { class: "bar" },
        make("p", { class: "soft grow" }, "Choose a trial to see its architecture, its curve and its devices. Input is mel bands by frames, headroom what is left to the limit."),
        make("button", { class: "action", type: "button", onclick: () => save(fileName("front.csv"), "text/csv", csv()) }, "Download CSV"),
        make("button", { class: "action", type: "button", onclick: () => save(fileName("front.json"), "application/json", JSON.stringify({ members: members() }, null, 1)) }, "Download JSON")),
      make("div", { class: "scroll tall" }, made.element));
  }

  function progress() {
    if (!view.figures.progress) return null;
    const drawn = figure(view.figures.progress, view.captions.progress);
    return section("progress", "Progress", caption(view.captions.progress), make("div", { class: "card" }, key(drawn), drawn));
  }

  function refusals() {
    if (!view.figures.refusals) return null;
    const drawn = figure(view.figures.refusals, view.captions.refusals, true);
    return section("refusals", "Refused proposals", caption(view.captions.refusals), make("div", { class: "card" }, key(drawn), drawn));
  }

  function test() {
    const result = view.test;
    if (!result) return null;
    const facts = [["Trial", count(result.trial)], ["Accuracy", percent(result.accuracy)], ["Log loss", decimal(result.log_loss)]];
    if (result.clips) facts.push(["Clips", count(result.clips)]);
    for (const [group, value] of Object.entries(result.groups || {})) facts.push([`${group} devices`, percent(value)]);
    return section("test", "Test result",
      caption("Measured once on the test list, which never steered the search."),
      make("div", { class: "pair" },
        make("div", { class: "card" }, make("h3", {}, "Scores"), pairs(facts)),
        make("div", { class: "card" }, make("h3", {}, "Accuracy by recording device"), meters(result.devices || {}))));
  }

  function provenance() {
    const { study_file: file, facts } = view.provenance;
    return section("provenance", "Provenance", make("div", { class: "pair" },
      make("div", { class: "card" }, make("h3", {}, "Study file, as it was run"), file ? make("pre", { tabindex: "0" }, file) : make("p", { class: "soft" }, "Not recorded.")),
      make("div", { class: "card" }, make("h3", {}, "Versions and digests"), facts.length ? pairs(facts.map((fact) => [fact.name, fact.value])) : make("p", { class: "soft" }, "Not recorded."))));
  }

  function next() {
    return section("next", "Next", caption(view.front.length
      ? "Export the best trial as a bundle, look at its exact cost, or train more students."
      : "Carry the study on, or look at its state."), view.commands.map(command));
  }

  page.replaceChildren(...[
    head(), front(), tableOfFront(),
    view.front.length ? make("section", { id: "trial", "aria-labelledby": "trial-title" }, chosen, panel) : null,
    progress(), refusals(), test(), next(), provenance(),
    make("footer", {}, `Made ${view.made.replace("T", " ").replace("+00:00", "")} UTC. Costs are those of the deployed form; kB is 1000 bytes.`),
  ].filter(Boolean));

  const drawAll = () => Promise.all([...figures.keys()].map(draw)).then(ring);
  if (view.front.length) select(view.front[0].trial, false);
  drawAll().then(() => { document.documentElement.dataset.ready = "yes"; });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();

// Draws the view document of an evaluation.
(() => {
  const { make, section, caption, pairs, facts, table, figure, drawAll, key } = kit;
  const view = JSON.parse(document.getElementById("document").textContent);
  const page = document.getElementById("page");

  // A cell is its text, or a value and its interval; the first columns are words, mostly one.
  const cell = (told) => Array.isArray(told) ? [told[0], make("span", { class: "range" }, told[1])] : told;
  const numbers = (told, label, words = 1) => make("div", { class: "scroll" },
    table(told.columns.map((name, i) => [name, i >= words]), told.rows.map((row) => row.map(cell)), { "aria-label": label }));

  function bars(id, title, told) {
    const drawn = figure(told.figure, told.caption);
    drawn.id = `${id}-figure`;
    const several = told.figure.data.length > 1;
    return section(id, title, caption(told.caption),
      make("div", { class: "stack" }, make("div", { class: "card" }, several ? key(drawn) : null, drawn), numbers(told, title)));
  }

  function confusion() {
    const cards = view.confusion.map((told) => {
      const drawn = figure(told.figure, told.caption);
      return make("div", { class: "card" }, make("h3", {}, told.title), make("p", { class: "soft" }, told.caption), drawn);
    });
    return section("confusion", "What is taken for what",
      caption("Rows are the scenes of the clips, columns the scenes that were heard; numbers are per cent of a row."),
      make("div", { class: cards.length > 1 ? "pair" : "" }, cards));
  }

  page.replaceChildren(...[
    make("header", {},
      make("p", { class: "eyebrow" }, "Evaluation"),
      make("h1", {}, view.name),
      make("p", { class: "soft", role: "status" }, view.status),
      facts(view.facts)),
    section("overall", "Overall", caption(`${view.method} Intervals are in small print.`), numbers(view.overall, "Overall")),
    bars("devices", "By recording device", view.devices),
    bars("scenes", "By scene", view.scenes),
    confusion(),
    section("costs", "Cost of each student", caption("For one clip. A student named base answers for all recording devices that have none of their own."),
      numbers(view.costs, "Cost of each student", view.costs.words)),
    view.runs ? section("runs", "Systems", caption("The accuracy of each by itself; its interval is over the locations of the clips."), numbers(view.runs, "Systems")) : null,
    section("origin", "Provenance", make("div", { class: "card" }, pairs(view.facts_of_origin))),
    make("footer", {}, `Made ${view.made.replace("T", " ").replace("+00:00", "")} UTC. Accuracy is the mean over scenes of the share of a scene's clips that were recognised.`),
  ].filter(Boolean));

  drawAll().then(() => { document.documentElement.dataset.ready = "yes"; });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();

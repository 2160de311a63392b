"use strict";

// What the pages have in common: elements, tables, figures in the page's colours. Every string is put on screen as a
// text node; nothing here parses markup.
const kit = (() => {
  const figures = new Map(); // element of a drawn figure -> its specification

  // ---- elements --------------------------------------------------------------------------------------------

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined) element.setAttribute(key, value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }

  function section(id, title, ...children) {
    const heading = make("h2", { id: `${id}-title` }, title);
    return make("section", { id, "aria-labelledby": `${id}-title` }, heading, ...children);
  }

  const caption = (text) => make("p", { class: "caption" }, text);

  function pairs(items) {
    return make("dl", { class: "pairs" }, items.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  }

  function facts(items) {
    return make("dl", { class: "facts" }, items.map((fact) =>
      make("div", {}, make("dt", {}, fact.label), make("dd", {}, fact.value), make("dd", {}, fact.note))));
  }

  function table(columns, rows, attributes = {}) {
    const cell = (tag, text, numeric, more = {}) => make(tag, { class: numeric ? "number" : null, ...more }, text);
    return make("table", attributes,
      make("thead", {}, make("tr", {}, columns.map(([name, numeric]) => cell("th", name, numeric, { scope: "col" })))),
      make("tbody", {}, rows.map((row) => make("tr", {}, row.map((text, i) =>
        i === 0 ? cell("th", text, columns[i][1], { scope: "row" }) : cell("td", text, columns[i][1]))))));
  }

  // ---- figures ---------------------------------------------------------------------------------------------

  // The figures' colours by the names under which the style sheet has them, brighter on a dark page.
  const palette = { "#0072B2": "--blue", "#D55E00": "--vermilion", "#009E73": "--green", "#CC79A7": "--purple", "#767676": "--grey" };

  function themed(figure) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const data = figure.data.map((trace) => {
      const copy = { ...trace };
      for (const part of ["marker", "line"]) {
        if (palette[trace[part]?.color]) copy[part] = { ...trace[part], color: colour(palette[trace[part].color]) };
      }
      for (const part of ["error_x", "error_y"]) if (trace[part]) copy[part] = { ...trace[part], color: colour("--ink") };
      if (trace.type === "heatmap") copy.colorscale = [[0, colour("--card")], [1, "#0072b2"]]; // numbers stay readable on it
      return copy;
    });
    const layout = structuredClone(figure.layout);
    layout.showlegend = false; // the page has its own key, which wraps on a phone and works from the keyboard
    layout.font = { ...layout.font, color: colour("--soft") };
    layout.hoverlabel = {
      bgcolor: colour("--card"), bordercolor: colour("--line"), align: "left",
      font: { color: colour("--ink"), size: 13, family: layout.font.family },
    };
    for (const [name, axis] of Object.entries(layout)) {
      if (/^[xy]axis\d*$/.test(name)) {
        Object.assign(axis, { gridcolor: colour("--grid"), linecolor: colour("--line"), dividercolor: colour("--line") });
      }
    }
    for (const note of layout.annotations || []) {
      note.font = { ...note.font, color: colour(note.name === "known design" ? "--ink" : "--limit") };
    }
    return { data, layout };
  }

  function figure(specification, label) {
    const element = make("div", { class: "figure", role: "img", "aria-label": label });
    element.style.height = `${specification.layout.height}px`;
    figures.set(element, specification);
    return element;
  }

  function draw(element) {
    const { data, layout } = themed(figures.get(element));
    return Plotly.react(element, data, layout, {
      responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
      toImageButtonOptions: { format: "svg", filename: "figure" },
    });
  }

  const drawAll = () => Promise.all([...figures.keys()].map(draw));

  // A key of bars: each name shows or hides its bars.
  function key(element) {
    const traces = figures.get(element).data;
    const toggle = (trace) => (event) => {
      const shown = event.currentTarget.getAttribute("aria-pressed") !== "true";
      event.currentTarget.setAttribute("aria-pressed", String(shown));
      trace.visible = shown;
      draw(element);
    };
    return make("ul", { class: "key", "aria-label": "What the bars mean; choose one to show or hide it" },
      traces.map((trace) => make("li", {},
        make("button", { type: "button", "aria-pressed": "true", onclick: toggle(trace) }, swatch(trace), trace.name))));
  }

  const hatchings = {
    "/": "M6 8L13 1M6 15L20 1M13 15L20 8",
    "x": "M6 1L20 15M6 15L20 1",
    ".": "M8 4h2M12 4h2M16 4h2M8 8h2M12 8h2M16 8h2M8 12h2M12 12h2M16 12h2",
  };

  function swatch(trace) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "0 0 26 16");
    svg.setAttribute("aria-hidden", "true");
    const colour = `var(${palette[trace.marker.color]})`;
    const drawn = [["M6 1H20V15H6z", `fill: ${colour}`]];
    const hatching = hatchings[trace.marker.pattern.shape];
    if (hatching) drawn.push([hatching, "stroke: rgba(255,255,255,0.75); stroke-width: 1.5"]);
    for (const [d, look] of drawn) {
      const path = document.createElementNS(space, "path");
      path.setAttribute("d", d);
      path.style.cssText = look;
      svg.append(path);
    }
    return svg;
  }

  return { make, section, caption, pairs, facts, table, palette, themed, figure, drawAll, key };
})();

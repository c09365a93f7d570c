"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const byId = (id) => document.getElementById(id);
  const specs = read("specs"), units = read("unit-data"), images = read("image-data");
  const colors = new Map(Object.entries(read("category-colors")));
  const CARDS_AT_ONCE = 48;
  const LARGEST_CROP = 0.8;  // of the image's shorter side; more is nearly the whole image

  // --- charts -------------------------------------------------------------------------------------------------
  const views = new Map();
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const theme = () => {
    const ink = css("--ink"), quiet = css("--quiet"), line = css("--line");
    const axis = { labelColor: ink, titleColor: quiet, gridColor: line, domainColor: line, tickColor: line,
      titleFontWeight: "normal", labelFontSize: 12 };
    return { background: "transparent", view: { stroke: null }, axis, mark: { tooltip: true },
      text: { color: ink, fontSize: 12 },
      title: { color: ink, subtitleColor: quiet, fontSize: 15, subtitleFontSize: 12, anchor: "start", offset: 8 },
      legend: { labelColor: ink, titleColor: quiet, labelFontSize: 12 }, font: "system-ui, sans-serif" };
  };
  // a name that is too long for its axis is cut; the pointer on it shows the whole
  const wholeNames = (chart) => {
    const named = new Set(chart.scales.filter((scale) => scale.type === "band").map((scale) => scale.name));
    for (const axis of (chart.axes ?? []).filter((each) => named.has(each.scale) && each.labels !== false)) {
      const labels = axis.encode?.labels;
      axis.encode = { ...axis.encode, labels: { ...labels, interactive: true,
        update: { ...labels?.update, tooltip: { signal: "datum.value" } } } };
    }
    return chart;
  };
  // the names that drawable_names.py marks because Vega cannot draw them, and as they were
  const MARK = "\u2060";
  const drawable = (name) => name in Object.prototype ? name + MARK : name;
  const asItWas = (name) => name?.endsWith(MARK) && name.slice(0, -1) in Object.prototype ? name.slice(0, -1) : name;
  // Vega only logs what goes wrong while it draws; its class of views is had from a view of nothing
  const watchedView = async () => {
    const { view } = await vegaEmbed(document.createElement("div"), {}, { mode: "vega", actions: false, ast: true });
    return class extends view.constructor {
      error(failure) {
        this.failure ??= failure;
        return this;
      }
    };
  };
  const viewClass = watchedView();
  const drawChart = async (place) => {
    const key = place.dataset.spec, { params, config } = specs[key];
    const layer = { name: "layer", value: drawable(byId("layer-of-charts").value) };
    const spec = { ...specs[key], config: { ...config, ...theme() }, params: params && [layer] };
    views.get(key)?.finalize();
    views.delete(key);
    const options = { actions: false, ast: true, renderer: "canvas", logLevel: 1, patch: wholeNames };
    const drawn = await vegaEmbed(place, spec, { ...options, viewClass: await viewClass });
    views.set(key, drawn);
    if (drawn.view.failure) throw drawn.view.failure;
    drawn.view.addEventListener("click", (_event, item) => {
      if (item?.datum?.concept !== undefined) showUnits(item.datum);
    });
  };
  const draw = async (which = ".plot") => {
    for (const place of document.querySelectorAll(which)) {
      try {
        await drawChart(place);
      } catch (error) {
        console.error(error);
        place.textContent = `This chart cannot be drawn: ${error.message ?? error}`;
      }
    }
    document.documentElement.dataset.charts = "drawn";
  };
  const chooseLayer = () => draw('.plot[data-spec^="learnt-"]');
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const text = button.parentElement.querySelector("pre");
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(text);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  // --- what the reader chose stands in the page's address: #section?control=value ---------------------------------
  const controls = { text: "search", model: "model", layer: "layer", category: "category", better: "significant",
    sort: "sort", charts: "layer-of-charts" };
  const stateOf = (control) => control.type === "checkbox" ? (control.checked ? "yes" : "") : control.value;
  const atFirst = Object.fromEntries(Object.values(controls).map((id) => [id, stateOf(byId(id))]));
  const address = () => {
    const [section, state] = location.hash.slice(1).split(/\?(.*)/s);
    return { section: section || "units", state: state === undefined ? null : new URLSearchParams(state) };
  };
  const writeAddress = (section) => {
    const state = new URLSearchParams();
    for (const [name, id] of Object.entries(controls)) {
      if (stateOf(byId(id)) !== atFirst[id]) state.set(name, stateOf(byId(id)));
    }
    try {
      history.replaceState(null, "", `#${section}${`${state}` && `?${state}`}`);
    } catch {
      // a page that is shown inside another has no address to write
    }
  };
  const readAddress = () => {
    const { state } = address();
    for (const [name, id] of Object.entries(controls)) {
      const control = byId(id), wanted = state.get(name) ?? atFirst[id];
      if (control.closest("[hidden]")) continue;
      if (control.type === "checkbox") control.checked = wanted === "yes";
      // a value that this page does not know leaves the control as it was at first
      else control.value = !control.options || [...control.options].some((option) => option.value === wanted)
        ? wanted : atFirst[id];
    }
  };
  const showSection = () => byId(address().section)?.scrollIntoView();
  addEventListener("hashchange", () => {
    const { section, state } = address();
    if (state === null) return writeAddress(section);  // a link to a section: what was chosen stays
    readAddress();
    filter();
    chooseLayer().then(showSection);
  });
  byId("layer-of-charts").addEventListener("change", () => {
    chooseLayer();
    writeAddress("learnt");
  });

  // --- the gallery of units -----------------------------------------------------------------------------------
  const total = units.unit.length;
  const lower = units.concept.map((concept) => (concept ?? "").toLowerCase());
  let chosen = [], shown = 0;

  const element = (tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  // a square of the image's receptive field around the unit's maximum, enlarged
  const crop = (row, place) => {
    const frame = element("div", "picture");
    const shape = element("img", "crop");
    shape.alt = "";
    shape.addEventListener("load", () => {
      const { naturalWidth: w, naturalHeight: h } = shape, field = units.receptive_field[row] * Math.min(w, h);
      const scale = 100 / field;  // percent of the frame for a pixel of the picture
      const start = (middle, side) => Math.max(0, Math.min(side - field, middle * side - field / 2));
      shape.style.width = `${w * scale}%`;
      shape.style.height = `${h * scale}%`;
      shape.style.left = `${-start(units.peaks_x[row][place], w) * scale}%`;
      shape.style.top = `${-start(units.peaks_y[row][place], h) * scale}%`;
    });
    shape.src = `data:image/webp;base64,${images[units.image_ids[row][place]].webp}`;
    frame.append(shape);
    return frame;
  };
  const picture = (row, place) => {
    const image = images[units.image_ids[row][place]];
    const frame = element("div", "picture");
    if (!image) return frame;
    frame.title = `${image.path}\nactivation ${units.activations[row][place]}`;
    const shape = element("img");
    shape.alt = image.path;
    shape.decoding = "async";
    frame.append(shape);
    const x = units.peaks_x[row][place], y = units.peaks_y[row][place];
    if (x !== null && y !== null) {
      shape.addEventListener("load", () => {
        // the picture is fitted into its square: the ring goes where the picture is
        const { naturalWidth: w, naturalHeight: h } = shape, side = Math.max(w, h);
        const ring = element("div", "ring");
        ring.style.left = `${(0.5 + (x - 0.5) * w / side) * 100}%`;
        ring.style.top = `${(0.5 + (y - 0.5) * h / side) * 100}%`;
        frame.append(ring);
      });
    }
    shape.src = `data:image/webp;base64,${image.webp}`;
    return frame;
  };
  const card = (row) => {
    const made = element("article", "unit");
    const title = element("h4");
    const concept = units.concept[row];
    title.append(element("bdi", "", concept ?? (units.status[row] === "live" ? "no label" : `no label: ${units.status[row]}`)));
    if (concept !== null) {
      const chip = element("span", "chip", units.category[row]);
      chip.style.setProperty("--dot", colors.get(units.category[row]) ?? colors.get("none"));
      title.append(chip);
      if (units.is_significant[row] === false) title.append(element("span", "chance", " not better than chance"));
    }
    made.append(title, element("div", "where", `${units.model[row]} · ${units.layer[row]} · unit ${units.unit[row]}`));
    if (concept !== null) {
      const scores = element("div", "scores");
      const q = units.q_value[row];
      const runnerUp = element("bdi", "", units.runner_up[row] ?? "none");
      scores.append(`similarity ${units.similarity[row] ?? "unknown"} · q ${q ?? "unknown"} · then `, runnerUp);
      if (units.margin[row] !== null) scores.append(` (−${units.margin[row]})`);
      made.append(scores);
    }
    const count = units.image_ids[row]?.length ?? 0;
    if (count) {
      const pictures = element("div", "pictures");
      for (let place = 0; place < count; place += 1) pictures.append(picture(row, place));
      made.append(pictures);
      const field = units.receptive_field[row];
      if (field !== null && field < LARGEST_CROP && images[units.image_ids[row][0]]?.webp) {
        const crops = element("div", "pictures");
        crops.title = "what the unit saw where it fired most: its receptive field";
        for (let place = 0; place < count; place += 1) crops.append(crop(row, place));
        made.append(crops);
      }
    }
    return made;
  };
  const showMore = () => {
    const next = chosen.slice(shown, shown + CARDS_AT_ONCE);
    byId("gallery").append(...next.map(card));
    shown += next.length;
  };
  // what is typed is a unit's number, whole words of a concept, or in quotation marks all of it
  const fitting = (text) => {
    if (text === "") return () => true;
    if (/^".*"$/s.test(text)) return (row) => `"${lower[row]}"` === text;
    const words = text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const found = new RegExp(`(^|[^\\p{L}\\p{N}])${words}($|[^\\p{L}\\p{N}])`, "u");
    return (row) => String(units.unit[row]) === text || found.test(lower[row]);
  };
  const filter = () => {
    const fits = fitting(byId("search").value.trim().toLowerCase());
    const model = byId("model").value, layer = byId("layer").value, category = byId("category").value;
    const significant = byId("significant").checked, sort = byId("sort").value;
    chosen = [];
    for (let row = 0; row < total; row += 1) {
      if (!fits(row)) continue;
      if (model && units.model[row] !== model) continue;
      if (layer && units.layer[row] !== layer) continue;
      if (category && (units.category[row] !== category || units.concept[row] === null)) continue;
      if (significant && !units.is_significant[row]) continue;
      chosen.push(row);
    }
    if (sort !== "unit") chosen.sort((a, b) => (units[sort][b] ?? -Infinity) - (units[sort][a] ?? -Infinity));
    byId("gallery").replaceChildren();
    shown = 0;
    byId("count").textContent = `${chosen.length.toLocaleString("en")} of ${total.toLocaleString("en")} units`;
    byId("no-units").hidden = chosen.length > 0;
    showMore();
  };
  const choose = () => {
    filter();
    writeAddress("units");
  };
  // those that a bar stands for; of all layers where the bar is, since none is called so
  const showUnits = ({ concept, model, layer }) => {
    byId("filters").reset();
    byId("search").value = `"${asItWas(concept)}"`;
    for (const [filter, value] of [["model", asItWas(model)], ["layer", asItWas(layer)]]) {
      if ([...byId(filter).options].some((option) => option.value === value)) byId(filter).value = value;
    }
    choose();
    byId("units").scrollIntoView({ behavior: "smooth" });
  };
  byId("filters").addEventListener("input", choose);
  byId("filters").addEventListener("reset", () => setTimeout(choose));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && shown < chosen.length) showMore();
  }, { rootMargin: "600px" }).observe(byId("more"));

  if (address().state) readAddress();
  filter();
  draw().then(() => address().state && showSection());  // only now is each section at its place
})();
